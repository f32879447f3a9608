"""Names as they are typed, looked up in the application; a mistyped one is refused with the nearest known name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from streams.app import App
from streams.cli.arguments.wrong_usage import WrongUsage
from streams.data import EventData
from streams.errors import DefinitionError, did_you_mean
from streams.namespace import Namespace
from streams.projection import Projection
from streams.view import View


def event_class(app: App, event_type: str) -> type[EventData]:
    """Raises WrongUsage naming the events that there are."""
    known = app.event_types()
    if event_type not in known:
        raise WrongUsage(
            f"{app.name} handles no event {event_type!r}{did_you_mean(event_type, known)}; it handles "
            f"{', '.join(sorted(known)) or 'none'}."
        )
    return known[event_type]


def projection_named(app: App, name: str) -> Projection[Any] | None:
    """None if no projection has this name."""
    return next((each for each in app.projections if each.name == name), None)


def view_named(app: App, path: str) -> tuple[View, Mapping[str, str]] | None:
    """The view that a path is of, with what stands for its names; None for the path of none, and for a table's name."""
    if projection_named(app, path) is not None or any(each.name == path for each in app.namespaces):
        return None
    found = ((each, each.match(path)) for each in app.views)
    return next(((each, names) for each, names in found if names is not None), None)


def namespace_named(app: App, name: str, *, or_projection: bool = False) -> Namespace[Any]:
    """Raises WrongUsage naming the namespaces that there are; and projections and views, if these might have been meant."""
    try:
        return app.namespace(name)
    except DefinitionError as error:
        spaces, folded = [each.name for each in app.namespaces], [each.name for each in app.projections]
        if name in folded and not or_projection:
            raise WrongUsage(
                f"{name} is a projection, and a namespace was expected; {app.name} has {', '.join(spaces) or 'none'}. `retold get "
                f"{name}` shows its rows"
            ) from None
        known, also = spaces, ""
        if or_projection and folded:
            known, also = [*spaces, *folded], f"; and the projections: {', '.join(folded)}"
        if or_projection and app.views:
            paths = [each.path for each in app.views]
            known, also = [*known, *paths], f"{also}; and the views: {', '.join(paths)}"
        raise WrongUsage(f"{error}{also}{did_you_mean(name, known)}") from None
