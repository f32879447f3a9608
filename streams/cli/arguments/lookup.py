"""Names as they are typed, looked up in the application; a mistyped one is refused with the nearest known name."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any

from streams.app import App
from streams.data import EventData
from streams.errors import DefinitionError, InvalidEvent
from streams.namespace import Namespace
from streams.projection import Projection


def event_class(app: App, event_type: str) -> type[EventData]:
    """Raises InvalidEvent naming the events that there are."""
    known = app.event_types()
    if event_type not in known:
        raise InvalidEvent(
            f"{app.name} handles no event {event_type!r}{_guess(event_type, known)}; it handles "
            f"{', '.join(sorted(known))}."
        )
    return known[event_type]


def projection_named(app: App, name: str) -> Projection[Any] | None:
    """None if no projection has this name."""
    return next((each for each in app.projections if each.name == name), None)


def namespace_named(app: App, name: str) -> Namespace[Any]:
    """Raises DefinitionError naming the namespaces that there are."""
    try:
        return app.namespace(name)
    except DefinitionError as error:
        known = [each.name for each in app.namespaces] + [each.name for each in app.projections]
        raise DefinitionError(f"{error}{_guess(name, known)}") from None


def _guess(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, list(known), n=1)
    return f" (did you mean {close[0]}?)" if close else ""
