"""Reading a stored past from its beginning to its end: each event once, in the total order, and its effects with it if asked."""

from __future__ import annotations

import sqlite3
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain, tee

from streams.engine.records import Codec
from streams.history.merged_pieces import merged
from streams.history.recorded_event import NamespacePartition, RecordedEvent
from streams.history.stored.read_event import ReadEvent
from streams.history.stored.stored_events import (
    COLUMNS,
    EFFECTS,
    WITH_EFFECTS,
    RowReader,
    StoredEvents,
    StoredRow,
    pick,
)

FIRST, MOST = 64, 1_024
"""Records of a partition that are read at first, and at most, at once: who wants only the first ones does not wait for many."""
AHEAD, FARTHEST = 1_024, 16_384
"""Events that are read ahead for the effects among them, at first and at most."""
FEW = 8
"""If the effects of more than one in so many events are farther, twice as many are read ahead."""


ID, CAUSE, HEADERS = 5, 6, -1
"""Where these are in a row: its cause is a number there, of 64 bits."""


class StoredScan:
    """Of some partitions, as far as `last` says. Raises as StoredPast does."""

    def __init__(self, db: sqlite3.Connection, codec: Codec, last: Mapping[NamespacePartition, int]) -> None:
        self._last, self._stored = last, StoredEvents(db, codec)

    def events(self, partitions: Iterable[NamespacePartition]) -> Iterator[RecordedEvent]:
        return map(self._stored.event, self.rows(partitions))

    def rows(self, partitions: Iterable[NamespacePartition]) -> Iterator[StoredRow]:
        """The rows of the file; nothing is decoded."""
        return chain.from_iterable(self._merged(partitions, COLUMNS))

    def _merged(self, partitions: Iterable[NamespacePartition], columns: str) -> Iterator[list[StoredRow]]:
        return merged([self._pieces(at, columns) for at in partitions])

    def _pieces(self, at: NamespacePartition, columns: str) -> Iterator[list[StoredRow]]:
        reached, last, size = 0, self._last[at], FIRST
        while found := self._stored.rows(at, reached, last, size, columns):
            yield found
            reached, size = found[-1][3], min(2 * size, MOST)


def read(row: StoredRow) -> ReadEvent:
    source, at, caused, cause_source, first = pick(row[HEADERS])
    cause = None if row[CAUSE] is None else (caused or b"").decode()
    return ReadEvent(row, source, at, cause, cause_source, first)


class EffectsScan(StoredScan):
    """One scan of all partitions, which knows the effects of the events that it gave last.

    Effects are mostly recorded soon, so they are among the events that are read ahead. How many there are the file says with each
    event; `far` finds all of one whose effects are not all among these, and `far_rows` their rows.
    """

    def __init__(
        self,
        db: sqlite3.Connection,
        codec: Codec,
        last: Mapping[NamespacePartition, int],
        far: Callable[[str], Sequence[RecordedEvent]],
        far_rows: Callable[[str], Sequence[StoredRow]],
    ) -> None:
        super().__init__(db, codec, last)
        self._rows, self._far, self._far_rows = self._merged(last, WITH_EFFECTS), far, far_rows
        self.advance: Callable[[int], None] | None = None
        """Is told how many events were given."""
        self.reader: RowReader = self._stored
        self._turned: dict[str, ReadEvent] = {}
        """By its reference: an event that was made as its turn came."""
        self.following: dict[str, list[ReadEvent]] = {}
        """By the id of their cause: those that were read, in order."""
        self._missed = 0
        """Events of the last piece whose effects were farther."""

    def logged(self) -> Iterator[StoredRow]:
        """The rows of all events, in the total order, of the same reading: to be asked for once, and before `all`.

        What one of both has not taken yet is kept for it, so they are to be read side by side.
        """
        self._rows, beside = tee(self._rows)
        return chain.from_iterable(beside)

    def all(self) -> Iterator[RecordedEvent]:
        """To be read once."""
        return (self.turned(it) for piece in self.pieces() for it in piece)

    def turned(self, it: ReadEvent) -> RecordedEvent:
        """The event of what was read, whose turn has come: its effects may be asked for."""
        made = self._made(it)
        self._turned[made.reference] = it
        return made

    def _made(self, it: ReadEvent) -> RecordedEvent:
        if it.made is None:
            it.made = self._stored.event(it.row)
        return it.made

    def effects(self, reference: str) -> Sequence[RecordedEvent]:
        """In order."""
        it = self._turned.get(reference)
        if it is not None:
            found = [made for each in self.following.get(it.row[ID], ()) if (made := self._made(each)).cause == reference]
            if len(found) == it.row[EFFECTS]:
                return found
        self._missed += 1
        return self._far(reference)

    def effects_of(self, it: ReadEvent) -> Sequence[ReadEvent]:
        """The effects of an event whose turn it is, in order, and maybe those of another one of its id or nearly so."""
        found = self.following.get(it.row[ID], ())
        if len(found) == it.row[EFFECTS]:
            return found
        self._missed += 1
        return [read(row) for row in self._far_rows(self._made(it).reference)]

    def pieces(self) -> Iterator[list[ReadEvent]]:
        """What is read, in pieces, to be read once: each as its events have their turns."""
        ahead, before = deque[list[ReadEvent]](), list[ReadEvent]()
        count, wanted, given = 0, AHEAD, 0
        for rows in self._rows:
            ahead.append(self._read(rows))
            count += len(rows)
            while count - len(ahead[0]) >= wanted:
                piece, self._missed = ahead.popleft(), 0
                count -= len(piece)
                given += len(piece)
                yield piece
                if self.advance is not None:
                    self.advance(given)
                self._forget(before)
                before = piece
                if FEW * self._missed > len(piece):
                    wanted = min(2 * wanted, FARTHEST)
        yield from ahead

    def _read(self, rows: list[StoredRow]) -> list[ReadEvent]:
        piece, following = list(map(read, rows)), self.following
        for it in piece:
            if (cause := it.cause) is None:
                continue
            if cause in following:
                following[cause].append(it)
            else:
                following[cause] = [it]
        return piece

    def _forget(self, piece: Iterable[ReadEvent]) -> None:
        """Their effects are not asked for any more, or seldom; and their causes had their turns before."""
        for it in piece:
            if it.cause is not None:
                self.following.pop(it.cause, None)
            if it.made is not None:
                self._turned.pop(it.made.reference, None)
