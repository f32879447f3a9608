"""What is in a World, to look at: tables, views, logs and images."""

from __future__ import annotations

from typing import Any, TypeVar

from streams.app import App, view_at
from streams.data import Record
from streams.engine.fold import LoggedEvent
from streams.engine.image import Image
from streams.engine.records import LogRecord
from streams.engine.stored import log_record
from streams.namespace import Namespace
from streams.projection import Projection
from streams.testing.memory_application import MemoryApplication
from streams.view import Table, Tables

R = TypeVar("R", bound=Record)


class WorldContents:
    """The part of a World that changes nothing."""

    def __init__(self, app: App, run: MemoryApplication) -> None:
        self.app, self._run = app, run

    @property
    def tables(self) -> Tables:
        """All tables, of namespaces and of projections."""
        return Tables({name: space.rows() for name, space in self._run.spaces.items()} | self._run.projecting.rows)

    def table(self, source: Namespace[R] | Projection[R]) -> Table[R]:
        """The table of a namespace or projection, with rows of its class: `world.table(user)["u1"].email`.

        Args:
            source: The namespace or projection itself.

        """
        return self.tables.of(source)

    def view(self, path: str) -> Any:
        """A view's answer: `world.view("orders-of/c7")`.

        Args:
            path: The view's path, with values in place of the names in braces.

        Returns:
            What the view's function returned. The type checker takes it for Any, since a path is a text.

        Raises:
            DefinitionError: There is no such view. The message names those that there are.

        """
        view, names = view_at(self.app, path)
        return view.answer(self.tables, **names)

    def log(self, namespace: str) -> list[LoggedEvent]:
        """The event log of a namespace, in order: each has `event`, and `header` with `sequence`, `outcome` and `reason`.

        Args:
            namespace: The namespace's name.

        Raises:
            DefinitionError: The application does not have it.

        """
        return self._run.space(namespace).logged()

    def log_records(self, namespace: str) -> list[LogRecord]:
        """The same as records: key, value and headers, in bytes.

        Args:
            namespace: The namespace's name.

        Raises:
            DefinitionError: The application does not have it.

        """
        return [log_record(it) for it in self._run.space(namespace).log]

    def image(self, namespace: str) -> Image:
        """The state that the engine works on, for tests of retold itself.

        Args:
            namespace: The namespace's name.

        Raises:
            DefinitionError: The application does not have it.

        """
        return self._run.space(namespace).image

    @property
    def blocked(self) -> dict[str, str]:
        """The names of the namespaces that are blocked because a schema or a handler is missing, with the reasons."""
        return {name: space.blocked for name, space in self._run.spaces.items() if space.blocked is not None}
