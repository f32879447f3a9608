"""An application: the one literal list of what it is made of. Nothing is found by scanning."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from streams.data import EventData, namespace_of
from streams.errors import BadName, DefinitionError, DuplicateHandler
from streams.gateway import Gateway
from streams.namespace import Namespace, location_of
from streams.projection import Projection
from streams.view import View

NAME = re.compile(r"[a-z][a-z0-9_-]{0,62}")


@dataclass(frozen=True, kw_only=True)
class App:
    """An application: its namespaces, gateways, projections and views, listed in one place.

    The setting `app` of `[tool.retold]` names a function without required arguments that returns one.

    Args:
        name: What the application is called: a lower-case letter, then at most 62 lower-case letters, digits, `-` and `_`.
        namespaces: Its namespaces, with their handlers.
        gateways: Its gateways. Each handles one event of one of these namespaces.
        projections: Its projections.
        views: Its views.

    Raises:
        BadName: `name` is not a name.
        DuplicateHandler: One event would be handled in two ways, or two tables have one name.
        DefinitionError: A gateway's event belongs to no namespace of the application.

    """

    name: str
    namespaces: Sequence[Namespace[Any]]
    gateways: Sequence[Gateway[Any]] = ()
    projections: Sequence[Projection[Any]] = ()
    views: Sequence[View] = ()

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.name):
            raise BadName(
                f"the application {self.name!r} is not a name: lower-case letters, digits, - and _, a letter first"
            )
        names = [space.name for space in self.namespaces] + [projection.name for projection in self.projections]
        for name in names:
            if names.count(name) > 1:
                raise DuplicateHandler(f"two tables of the application {self.name!r} are called {name!r}")
        self._check_gateways()

    def _check_gateways(self) -> None:
        seen: set[type[EventData]] = set()
        for gateway in self.gateways:
            home = next((n for n in self.namespaces if n.name == namespace_of(gateway.data.event_type)), None)
            if home is None:
                raise DefinitionError(f"the gateway of {gateway.data.event_type} has no namespace in {self.name!r}")
            if gateway.data in seen:
                raise DuplicateHandler(f"{gateway.data.event_type} has two gateways; an event is handled in one way")
            if (handler := home.handlers.get(gateway.data)) is not None:
                raise DuplicateHandler(
                    f"{gateway.data.event_type} has a gateway and a handler at {location_of(handler)}: remove one of them"
                )
            seen.add(gateway.data)

    def namespace(self, name: str) -> Namespace[Any]:
        """The namespace of this name.

        Args:
            name: Such as `user`.

        Raises:
            DefinitionError: There is none. The message names those that there are.

        """
        for namespace in self.namespaces:
            if namespace.name == name:
                return namespace
        known = ", ".join(n.name for n in self.namespaces) or "none"
        raise DefinitionError(f"the application {self.name!r} has no namespace {name!r}; it has: {known}")

    def event_types(self) -> dict[str, type[EventData]]:
        """The class of every event that the application handles, by the event's name, such as `user.signup`."""
        handled = [data for namespace in self.namespaces for data in namespace.handlers]
        return {data.event_type: data for data in (*handled, *(gateway.data for gateway in self.gateways))}

    def flow(self) -> dict[str, tuple[str, ...]]:
        """The names of the events that each event can lead to, by its name.

        Read from declarations alone: the `emits` of handlers and the `answers` of gateways.
        """
        edges = {d.event_type: out for namespace in self.namespaces for d, out in namespace.emits.items()}
        edges |= {gateway.data.event_type: gateway.answers for gateway in self.gateways}
        return {name: tuple(e.event_type for e in out) for name, out in edges.items()}


def view_at(app: App, path: str) -> tuple[View, dict[str, str]]:
    """The view that a path is of, with what stands for its names. Raises DefinitionError, which names the views that there are."""
    for view in app.views:
        if (names := view.match(path)) is not None:
            return view, names
    known = ", ".join(view.path for view in app.views) or "none"
    raise DefinitionError(f"{app.name} has no view {path!r}; it has: {known}")


def emits_into(app: App, namespace: str) -> set[str]:
    """The namespaces of what a namespace's handlers emit, at once or scheduled."""
    return {namespace_of(data.event_type) for emits in app.namespace(namespace).emits.values() for data in emits}
