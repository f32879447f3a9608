"""The rows of a table that have changed, in pieces that all who watch it share: each is read, decoded and written once for all.

A piece has the rows whose last change is in it, each as it is now; a row that changes again is in a later one. So whoever goes
from piece to piece has in the end all rows as they are, however often they have changed.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable, Iterator, Sequence
from functools import cached_property
from typing import Any, Final, NamedTuple
from weakref import WeakValueDictionary

from streams.data import Record
from streams.server.http.stream_text import StreamEvent
from streams.server.readmodel.change_log import KEPT, PIECE, ChangeEnd
from streams.server.readmodel.model import ReadModel
from streams.server.readmodel.row_json import RowDecoder
from streams.server.readmodel.store_moment import StoreMoment

AT_ONCE: Final = 5_000
"""Changes of a piece at the most: a piece ends where their number is a multiple of it, so those who are apart meet there."""
READ_AT_ONCE: Final = 200
"""Rows that are read at a time."""
LARGE: Final = 1024 * 1024
"""Bytes of rows in a piece, about."""
PIECES: Final = 4
"""Pieces of a table that are kept for others who watch it."""
MOST_KNOWN: Final = KEPT + 2 * PIECE
"""Changes of a table that are known at once."""

NO_ROW: Final[tuple[int, bytes | None, bytes | None, str | None]] = (0, None, None, None)


class ChangedRow(NamedTuple):
    """`tick` is its last change. `body` is its JSON; None: there is no row, or `problem` says why it does not read here."""

    key: str
    tick: int
    version: int
    body: bytes | None
    raw: bytes | None
    problem: str | None


class ChangedRows:
    """A piece. `end` is the place behind it."""

    def __init__(self, rows: Sequence[ChangedRow], end: ChangeEnd, decoder: RowDecoder) -> None:
        self.rows, self.end, self._decoder = rows, end, decoder
        self._told: dict[Hashable, dict[str, StreamEvent]] = {}

    @cached_property
    def records(self) -> Sequence[Record | None]:
        """The rows as conditions see them; None where nothing reads."""
        compared = self._decoder.compared
        return [None if it.body is None else compared(it.body, it.raw) for it in self.rows]

    @cached_property
    def _at(self) -> dict[str, int]:
        return {it.key: at for at, it in enumerate(self.rows)}

    def only(self, key: str) -> ChangedRows:
        """With the row of one key alone, if it is there."""
        at = self._at.get(key)
        found = ChangedRows([] if at is None else [self.rows[at]], self.end, self._decoder)
        found._told = self._told
        return found

    def told(self, form: Hashable) -> dict[str, StreamEvent]:
        """What is told of its rows in this form, by key, as far as somebody has made it. Whoever makes more adds it."""
        return self._told.setdefault(form, {})


class KnownChanges:
    """The keys of changes of one generation, without a gap: those of the ticks behind `_begin`."""

    def __init__(self) -> None:
        self._generation, self._begin = "", 0
        self._keys: list[str] = []
        self._last: dict[str, int] = {}

    def learn(self, moment: StoreMoment, table: str, before: ChangeEnd, end: ChangeEnd) -> None:
        """All from one place on to the end of the moment."""
        is_gap = before.tick < self._begin or self._begin + len(self._keys) < end.dropped
        if self._generation != before.generation or is_gap:
            self._generation, self._begin, self._keys, self._last = before.generation, before.tick, [], {}
        known = self._begin + len(self._keys)
        new = moment.keys_changed(table, known, end.tick)
        self._keys += new
        self._last.update(zip(new, range(known + 1, end.tick + 1), strict=True))
        if len(self._keys) > MOST_KNOWN and end.dropped > self._begin:
            del self._keys[: end.dropped - self._begin]
            self._begin = end.dropped
            self._last = {key: tick for key, tick in self._last.items() if tick > end.dropped}

    def last_between(self, after: int, upto: int) -> list[tuple[str, int]]:
        """The keys that have changed there, and not again since; with their ticks, in the order of these."""
        keys = self._keys[after - self._begin : upto - self._begin]
        return [(key, tick) for tick, key in enumerate(keys, after + 1) if self._last[key] == tick]


class TableChanges:
    """Those of one table. Threads may share it."""

    def __init__(self, model: ReadModel, table: str, decoder: RowDecoder) -> None:
        self._model, self._table, self._decoder = model, table, decoder
        self._lock, self._known = threading.Lock(), KnownChanges()
        self._pieces: OrderedDict[tuple[str, int], ChangedRows] = OrderedDict()

    def behind(self, before: ChangeEnd) -> ChangedRows | None:
        """The piece behind a place; None: not all that has changed since is known. Raises StoreAway, sqlite3.Error."""
        at = before.generation, before.tick
        with self._lock:
            if (kept := self._pieces.get(at)) is not None:
                return kept
            with self._model.moment() as moment:
                end = moment.change_end(self._table)
                if not continues_from(end, before):
                    return None
                self._known.learn(moment, self._table, before, end)
                found = self._read(moment, before, end)
            if found.end.tick > before.tick:  # else there may soon be something
                self._pieces[at] = found
                while len(self._pieces) > PIECES:
                    self._pieces.popitem(last=False)
            return found

    def _read(self, moment: StoreMoment, before: ChangeEnd, end: ChangeEnd) -> ChangedRows:
        upto = min(end.tick, (before.tick // AT_ONCE + 1) * AT_ONCE)
        rows, size = list[ChangedRow](), 0
        for some in _in_parts(self._known.last_between(before.tick, upto), READ_AT_ONCE):
            there = moment.whole_rows(self._table, [key for key, _ in some])
            for key, tick in some:
                rows.append(ChangedRow(key, tick, *there.get(key, NO_ROW)))
                size += len(rows[-1].body or b"")
            if size >= LARGE:
                upto = rows[-1].tick
                break
        return ChangedRows(rows, end._replace(tick=upto), self._decoder)


class WatchedTables:
    """The changes of each table, for as long as somebody watches it."""

    def __init__(self, model: ReadModel) -> None:
        self._model = model
        self._tables: WeakValueDictionary[str, TableChanges] = WeakValueDictionary()

    def of(self, name: str) -> TableChanges:
        """Of a namespace or a projection. To be asked by one thread."""
        found = self._tables.get(name)
        if found is None:
            table = (self._model.tables | self._model.projected)[name]
            found = self._tables[name] = TableChanges(self._model, table, self._model.decoders[name])
        return found


def continues_from(end: ChangeEnd, before: ChangeEnd) -> bool:
    """Whether all changes between the two are known."""
    return end.generation == before.generation and end.dropped <= before.tick <= end.tick


def _in_parts(found: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    return (found[at : at + size] for at in range(0, len(found), size))
