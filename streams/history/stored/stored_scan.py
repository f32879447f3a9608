"""Reading a stored past from its beginning to its end: each event once, in the total order, and its effects with it if asked."""

from __future__ import annotations

import sqlite3
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, tee
from operator import attrgetter, itemgetter
from typing import Any, NamedTuple

from streams.engine.records import Codec
from streams.history.merged_pieces import merged
from streams.history.recorded_event import LogPlace, NamespacePartition, RecordedEvent
from streams.history.stored.stored_events import COLUMNS, StoredEvents, StoredRow

FIRST, MOST = 64, 1_024
"""Records of a partition that are read at first, and at most, at once: who wants only the first ones does not wait for many."""
EFFECTS = """select cause.seq, it.ns, it.part, it.seq from record cause cross join record it on it.causeh = cause.idh
    where cause.ns = ? and cause.part = ? and cause.seq > ? and cause.seq <= ?"""
KEPT = 100_000
"""Effects that are kept until their turn comes."""
_order: Any = attrgetter("order")
_row_order: Any = itemgetter(slice(4))


class StoredScan:
    """Of some partitions, as far as `last` says. Raises as StoredPast does."""

    def __init__(self, db: sqlite3.Connection, codec: Codec, last: Mapping[NamespacePartition, int]) -> None:
        self._db, self._last = db, last
        self._stored = StoredEvents(db, codec)

    def events(self, partitions: Iterable[NamespacePartition]) -> Iterator[RecordedEvent]:
        return chain.from_iterable(merged(map(self._events, partitions), _order))

    def rows(self, partitions: Iterable[NamespacePartition]) -> Iterator[StoredRow]:
        """The rows of the file; nothing is decoded."""
        return chain.from_iterable(merged(map(self._pieces, partitions), _row_order))

    def _pieces(self, at: NamespacePartition, columns: str = COLUMNS) -> Iterator[list[StoredRow]]:
        reached, last, size = 0, self._last[at], FIRST
        while found := self._stored.rows(at, reached, last, size, columns):
            yield found
            reached, size = found[-1][3], min(2 * size, MOST)

    def _events(self, at: NamespacePartition) -> Iterator[list[RecordedEvent]]:
        event = self._stored.event
        return ([event(row) for row in piece] for piece in self._pieces(at))


class _Piece(NamedTuple):
    """What was read of a partition at once; the sequences are mostly dense."""

    first: int
    events: list[RecordedEvent]

    def at(self, sequence: int) -> RecordedEvent | None:
        events, number = self.events, sequence - self.first
        if 0 <= number < len(events) and (found := events[number]).order[3] == sequence:
            return found
        if number < 0 or not events or events[-1].order[3] < sequence:
            return None
        number = bisect_left(events, sequence, key=lambda it: it.order.sequence)
        return found if (found := events[number]).order.sequence == sequence else None


class _Pieces:
    """The pieces of a partition, of which the next one may be looked into."""

    def __init__(self, pieces: Iterator[list[StoredRow]]) -> None:
        self._pieces = pieces
        self._following: list[StoredRow] = []

    def __iter__(self) -> Iterator[list[StoredRow]]:
        while piece := self._following or next(self._pieces, []):
            self._following = []
            yield piece

    def row(self, sequence: int) -> StoredRow | None:
        """None: it is not in the next piece."""
        following = self._following = self._following or next(self._pieces, [])
        number = sequence - following[0][3] if following else -1
        found = following[number] if 0 <= number < len(following) else None
        return found if found is not None and found[3] == sequence else None


class EffectsScan(StoredScan):
    """One scan of all partitions, which knows the effects of the events that it gave last.

    Effects are mostly recorded soon: they are among what was read ahead, or in the next piece. The others are read one by one, and
    kept for their turn.
    """

    def __init__(self, db: sqlite3.Connection, codec: Codec, last: Mapping[NamespacePartition, int]) -> None:
        super().__init__(db, codec, last)
        self._ahead: dict[NamespacePartition, tuple[_Piece, _Piece]] = {}
        """What was read last, and before that."""
        self._effects: dict[str, list[LogPlace] | tuple[()]] = {}
        """By the reference of each of these: the places of its effects."""
        self._sources = {at: _Pieces(self._pieces(at)) for at in last}
        self._far: dict[LogPlace, RecordedEvent] = {}
        """Effects whose turn is not soon."""

    def logged(self) -> Iterator[StoredRow]:
        """The rows of all events, in the total order, of the same reading: to be asked for once, and before `all`.

        What one of both has not taken yet is kept for it, so they are to be read side by side.
        """
        beside = []
        for at in self._last:
            pieces, rows = tee(self._pieces(at))
            self._sources[at] = _Pieces(pieces)
            beside.append(rows)
        return chain.from_iterable(merged(beside, _row_order))

    def all(self) -> Iterator[RecordedEvent]:
        """To be read once."""
        return chain.from_iterable(merged(map(self._events_and_effects, self._last), _order))

    def effects(self, reference: str) -> Sequence[RecordedEvent] | None:
        """In order; None: it was given too long ago, or not yet."""
        found = self._effects.get(reference)
        if not found:
            return None if found is None else ()
        if len(found) == 1:
            only = self._at(found[0])
            return (only,) if only.cause == reference else ()
        return sorted((it for it in map(self._at, set(found)) if it.cause == reference), key=_order)

    def _at(self, place: LogPlace) -> RecordedEvent:
        namespace, partition, sequence = place
        for piece in self._ahead.get((namespace, partition), ()):
            if (known := piece.at(sequence)) is not None:
                return known
        if (known := self._far.get(place)) is None:
            if len(self._far) >= KEPT:
                self._far.clear()
            row = self._sources[namespace, partition].row(sequence)
            if row is None:
                [row] = self._stored.where("ns = ? and part = ? and seq = ?", *place)
            known = self._far[place] = self._stored.event(row)
        return known

    def _events_and_effects(self, at: NamespacePartition) -> Iterator[list[RecordedEvent]]:
        event, far, effects = self._stored.event, self._far, self._effects
        piece, before = _Piece(0, []), _Piece(0, [])
        for rows in self._sources[at]:
            for it in before.events:
                effects.pop(it.reference, None)
            events = [far.pop(place) if (place := row[1:4]) in far else event(row) for row in rows]
            piece, before = _Piece(rows[0][3], events), piece
            self._ahead[at] = piece, before
            effects.update(dict.fromkeys([it.reference for it in events], ()))
            self._find_effects(at, piece, rows[-1][3])
            yield events

    def _find_effects(self, at: NamespacePartition, piece: _Piece, last: int) -> None:
        for cause, namespace, partition, sequence in self._db.execute(EFFECTS, (*at, piece.first - 1, last)).fetchall():
            it = piece.at(cause)
            if it is not None and sequence <= self._last.get((namespace, partition), 0):
                self._effects[it.reference] = [*self._effects[it.reference], (namespace, partition, sequence)]
