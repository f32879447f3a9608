"""The tables of a past: rows, projections and views as they were."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any

from streams.app import view_at
from streams.data import Record
from streams.engine.projector import Projector
from streams.engine.records import Entry
from streams.history.application_handlers import ApplicationHandlers
from streams.history.past import Past, refuse_erased
from streams.view import Tables


class PastTable(Mapping[str, Record]):
    """The rows of one namespace: one that is asked for is folded alone, all are folded together, once."""

    def __init__(self, past: Past, handlers: ApplicationHandlers, namespace: str) -> None:
        self._past, self._handlers, self._namespace = past, handlers, namespace

    def entry(self, key: str) -> Entry:
        """A row and its version; None without a row. Raises HistoryError if it cannot be told, such as by this code."""
        refuse_erased(self._past, (self._namespace, key))
        return self._handlers.fold_all(self._past.key_events((self._namespace, key)))

    @cached_property
    def entries(self) -> Mapping[str, Entry]:
        """All rows with their versions; None for one that was deleted."""
        entries: dict[str, Entry] = {}
        for key in self._past.erased_keys(self._namespace):
            refuse_erased(self._past, (self._namespace, key))
        for it in self._past.namespace_events(self._namespace):
            entries[it.key] = self._handlers.fold(entries.get(it.key, (None, 0)), it)
        return entries

    @cached_property
    def _rows(self) -> dict[str, Record]:
        return {key: row for key, (row, _) in self.entries.items() if row is not None}

    def __getitem__(self, key: str) -> Record:
        row = self._rows.get(key) if "_rows" in self.__dict__ else self.entry(key)[0]
        if row is None:
            raise KeyError(key)
        return row

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)


class PastTables:
    """All tables of an application, as they were. Raises HistoryError where its code cannot tell them."""

    def __init__(self, past: Past, handlers: ApplicationHandlers) -> None:
        self._past, self._handlers = past, handlers
        self.app = handlers.app
        self._spaces = {space.name: PastTable(past, handlers, space.name) for space in self.app.namespaces}

    def table(self, namespace: str) -> PastTable:
        """Raises DefinitionError for a namespace that the application does not have."""
        return self._spaces[self.app.namespace(namespace).name]

    @cached_property
    def projections(self) -> Mapping[str, Mapping[str, Record]]:
        """The rows of each projection by name."""
        projector = Projector(self.app.projections, self._handlers.codec)
        for it in self._past.events():
            if it.accepted:
                projector.fold(it.event)
        return projector.rows

    @property
    def tables(self) -> Tables:
        """What a view is given."""
        return Tables(_Rows(self))

    def view(self, path: str) -> Any:
        """A view's answer. Raises DefinitionError if there is no such view."""
        view, names = view_at(self.app, path)
        return view.answer(self.tables, **names)

    def of(self, name: str) -> Mapping[str, Record]:
        return self._spaces[name] if name in self._spaces else self.projections[name]


class _Rows(Mapping[str, Mapping[str, Any]]):
    """Each table by its name, folded when it is asked for."""

    def __init__(self, tables: PastTables) -> None:
        self._tables = tables
        app = tables.app
        self._names = [*(it.name for it in app.namespaces), *(it.name for it in app.projections)]

    def __getitem__(self, name: str) -> Mapping[str, Any]:
        if name not in self._names:
            raise KeyError(name)
        return self._tables.of(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)
