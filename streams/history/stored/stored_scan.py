"""Reading a stored past from its beginning to its end: each event once, in the total order, and its effects with it if asked."""

from __future__ import annotations

import sqlite3
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain, tee

from streams.engine.identity import short_fingerprints
from streams.engine.records import Codec
from streams.history.merged_pieces import merged
from streams.history.recorded_event import NamespacePartition, RecordedEvent
from streams.history.stored.stored_events import COLUMNS, EFFECTS, WITH_EFFECTS, StoredEvents, StoredRow

FIRST, MOST = 64, 1_024
"""Records of a partition that are read at first, and at most, at once: who wants only the first ones does not wait for many."""
AHEAD, FARTHEST = 1_024, 16_384
"""Events that are read ahead for the effects among them, at first and at most."""
FEW = 8
"""If the effects of more than one in so many events are farther, twice as many are read ahead."""


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


class EffectsScan(StoredScan):
    """One scan of all partitions, which knows the effects of the events that it gave last.

    Effects are mostly recorded soon, so they are among the events that are read ahead. How many there are the file says with each
    event; `far` finds all of one whose effects are not all among these.
    """

    def __init__(
        self,
        db: sqlite3.Connection,
        codec: Codec,
        last: Mapping[NamespacePartition, int],
        far: Callable[[str], Sequence[RecordedEvent]],
    ) -> None:
        super().__init__(db, codec, last)
        self._rows, self._far = self._merged(last, WITH_EFFECTS), far
        self._counts: dict[str, int] = {}
        """By the reference of an event that was read: how many effects it has."""
        self._effects: dict[str, list[RecordedEvent]] = {}
        """By the reference of their cause: those that were read, in order."""
        self._shared: set[str] = set()
        """Ids of roots that are another event's reference: the file counts the effects of each of the two alone."""
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
        return chain.from_iterable(self._in_turn())

    def effects(self, reference: str) -> Sequence[RecordedEvent]:
        """In order."""
        if self._shared and reference in self._shared:
            return self._far(reference)
        count, found = self._counts.get(reference), self._effects.get(reference, ())
        if len(found) == count:
            return found
        self._missed += 1
        return self._far(reference)

    def _in_turn(self) -> Iterator[list[RecordedEvent]]:
        ahead, before = deque[list[RecordedEvent]](), list[RecordedEvent]()
        count, wanted = 0, AHEAD
        self._shared = self._find_shared()
        for rows in self._rows:
            ahead.append(self._read(rows))
            count += len(rows)
            while count - len(ahead[0]) >= wanted:
                piece, self._missed = ahead.popleft(), 0
                count -= len(piece)
                yield piece
                self._forget(before)
                before = piece
                if FEW * self._missed > len(piece):
                    wanted = min(2 * wanted, FARTHEST)
        yield from ahead

    def _read(self, rows: list[StoredRow]) -> list[RecordedEvent]:
        piece, effects = list(map(self._stored.event, rows)), self._effects
        for it in piece:
            if (cause := it.cause) is None:
                continue
            if cause in effects:
                effects[cause].append(it)
            else:
                effects[cause] = [it]
        self._counts.update(zip([it.reference for it in piece], [row[EFFECTS] for row in rows], strict=True))
        return piece

    def _find_shared(self) -> set[str]:
        """Which ids of roots are references of other events: of all, since the other one may stand far before."""
        others, found = {short_fingerprints(it)[1]: it for it in self._stored.derived_roots()}, set[str]()
        numbers = list(others)
        for at in range(0, len(numbers), MOST):
            found.update(others[number] for number in self._stored.known(numbers[at : at + MOST]))
        return found

    def _forget(self, piece: Iterable[RecordedEvent]) -> None:
        """Their effects are not asked for any more, or seldom; and their causes had their turns before."""
        for it in piece:
            self._counts.pop(it.reference, None)
            if it.cause is not None:
                self._effects.pop(it.cause, None)
