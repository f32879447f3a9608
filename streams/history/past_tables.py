"""The tables of a past: rows, projections and views as they were."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any

from streams.app import view_at
from streams.data import Record
from streams.engine.projector import Projector
from streams.engine.readable import in_a_line
from streams.engine.records import Entry
from streams.errors import HistoryError
from streams.history.code.application_handlers import ApplicationHandlers
from streams.history.code.recorded_row import RecordedRow
from streams.history.cut_past import events_told_of
from streams.history.folded_projection import folded
from streams.history.past import Past, refuse_erased
from streams.history.past_views import view_of_past
from streams.history.unread_event import is_folded
from streams.history.untold_rows import UntoldRows, refuse_corrected, refuse_erased_of


class PastTable(Mapping[str, Record]):
    """The rows of one namespace: one that is asked for is folded alone, all are folded together, once.

    It is all of them or none: who loops over it is refused if one cannot be told (`untold_rows.py` has the rule).
    """

    def __init__(self, past: Past, handlers: ApplicationHandlers, namespace: str) -> None:
        self._past, self._handlers, self.namespace = past, handlers, namespace

    def entry(self, key: str) -> Entry:
        """A row and its version; None without a row. Raises HistoryError if it cannot be told, such as by this code."""
        refuse_erased(self._past, (self.namespace, key))
        return self._handlers.fold_all(self._past.key_events((self.namespace, key)))

    @cached_property
    def _folded(self) -> tuple[dict[str, Record], UntoldRows]:
        rows: dict[str, RecordedRow] = {}
        untold = UntoldRows(self._past, self.namespace)
        for it in events_told_of(self._past, self.namespace, untold.add):
            key = it.key
            if key not in untold:
                if (row := rows.get(key)) is None:
                    row = rows[key] = RecordedRow(self._handlers.fold)
                row.take(it)
        for key, row in rows.items():
            if row.untold is not None:
                untold.add(key, row.untold)
        entries = ((key, row.entry[0]) for key, row in rows.items() if key not in untold)
        return {key: found for key, found in entries if found is not None}, untold

    @property
    def told(self) -> Mapping[str, Record]:
        """The rows that can be told."""
        return self._folded[0]

    @property
    def untold(self) -> UntoldRows:
        """The others, with why."""
        return self._folded[1]

    def whole(self) -> Mapping[str, Record]:
        """All rows, or BeforeHistory or CodeChanged if one of them cannot be told."""
        self.untold.refuse()
        return self.told

    def __getitem__(self, key: str) -> Record:
        is_told = "_folded" in self.__dict__ and key not in self.untold
        row = self.told.get(key) if is_told else self.entry(key)[0]
        if row is None:
            raise KeyError(key)
        return row

    def __iter__(self) -> Iterator[str]:
        return iter(self.whole())

    def __len__(self) -> int:
        return len(self.whole())


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
        """The rows of each projection by name, as of the events that there are."""
        projector = Projector(self.app.projections, self._handlers.codec)
        for it in self._past.events():
            for projection in self.app.projections if it.accepted else ():
                if is_folded(projection, it):
                    rows = projector.rows[projection.name]
                    key, row = folded(projector, projection, it, rows)
                    projector.keep(projection, key, row)
        return projector.rows

    def view(self, path: str) -> Any:
        """A view's answer. Raises DefinitionError if there is no such view, and whatever the view raises."""
        try:
            return view_of_past(self, *view_at(self.app, path))
        except (Exception, KeyboardInterrupt):
            raise
        except BaseException as error:  # such as SystemExit, which would end the process as if all were well
            raise HistoryError(f"the view {path} raises {in_a_line(error)}") from error

    def entry(self, name: str, key: str) -> Entry:
        """A row and its version, which a projection's has not: 0."""
        return self._spaces[name].entry(key) if name in self._spaces else (self.of(name).get(key), 0)

    def whole(self, name: str) -> Mapping[str, Record]:
        """All rows, or BeforeHistory or CodeChanged if one of them cannot be told."""
        return self._spaces[name].whole() if name in self._spaces else self.of(name)

    def of(self, name: str) -> Mapping[str, Record]:
        """Raises BeforeHistory for a projection that may have folded an event which was erased."""
        if name in self._spaces:
            return self._spaces[name]
        [projection] = (it for it in self.app.projections if it.name == name)
        refuse_erased_of(self._past, projection)
        refuse_corrected(self._past, projection)
        return self.projections[name]
