"""Rows of a past that is in a file, as of a time: each is folded alone, so that memory holds no table."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterator, Sequence, Set
from heapq import merge
from operator import attrgetter

from streams.data import namespace_of
from streams.engine.records import Entry
from streams.errors import HistoryError, StreamsError
from streams.history.branch.branch_times import TimedBranch
from streams.history.code.application_handlers import ApplicationHandlers
from streams.history.cut_past import Cut, CutPast
from streams.history.past import refuse_erased
from streams.history.recorded_event import Place, RecordedEvent
from streams.history.stored.stored_past import StoredPast

ALL = 2**62
"""µs: after all times."""
CHECKPOINT = """select seq, version, row from checkpoint where ns = ? and key = ? and code in (?, 'base') and row is not null
and recorded <= ? and coalesce(latest, high) <= ? order by seq desc limit 1"""


def kept_entry(handlers: ApplicationHandlers, namespace: str, kept: tuple[int, int, bytes]) -> tuple[int, Entry]:
    """Of a checkpoint's sequence, version and Avro: the sequence, and the row behind it.

    Raises HistoryError for one that does not read here, such as of a schema that is not known.
    """
    sequence, version, value = kept
    if not value:
        return sequence, (None, version)
    try:
        return sequence, (handlers.codec.decode_row(handlers.spaces[namespace].row_type, value), version)
    except StreamsError as error:
        raise HistoryError(f"a row of {namespace} that is kept of the past does not read here: {error}") from error


class StoredRows:
    """The rows of one cut. `read` counts the events that were read for them.

    A row is folded from its last checkpoint on that the same code has made; `code` names it. None: from its first event on.
    `counted` is the past as the corrections make it that were known then: it has what had happened by a time. What is asked for as
    it was known alone is as the log has it, since a row was what a correction's steps had set by then.
    """

    def __init__(
        self,
        past: StoredPast,
        cut: Cut,
        handlers: ApplicationHandlers,
        code: str | None = None,
        counted: TimedBranch | None = None,
    ) -> None:
        self.past, self.handlers = CutPast(past, cut), handlers
        self._whole, self._code = past, code
        self.counted = None if counted is None else CutPast(counted, Cut(cut.as_of))
        self.corrected: Set[Place] = set() if counted is None else counted.places
        """The rows that are not told as the log has them."""
        self._are_set = counted is not None and counted.are_set
        self.read = 0

    @property
    def db(self) -> sqlite3.Connection:
        """The file that they are in."""
        return self._whole.db

    def _begin(self, place: Place) -> tuple[int, Entry]:
        """The sequence and the row of the last checkpoint that the cut has."""
        if self._code is not None:
            known, as_of = (ALL if at is None else at for at in (self.past.cut.known, self.past.cut.as_of))
            kept = self._whole.db.execute(CHECKPOINT, (*place, self._code, known, as_of)).fetchone()
            if kept is not None:
                return kept_entry(self.handlers, place[0], kept)
        return 0, (None, 0)

    def entry(self, place: Place) -> Entry:
        """A row and its version; None without a row. Raises HistoryError if it cannot be told."""
        if self._counted_at(place) is None and not self.goes_on(place):
            refuse_erased(self.past, place)
        return self.fold(place)

    def goes_on(self, place: Place) -> bool:
        """Whether a row of which old events are not kept is told, from what is kept of it."""
        gone = self.past.first_erased(place)
        return gone is not None and gone.is_old and self._begin(place)[0] >= gone.until and not self._whole.is_erased(place)

    def fold(self, place: Place) -> Entry:
        """The same, of a row of which nothing was erased in the log."""
        if (counted := self._counted_at(place)) is not None:
            refuse_erased(counted, place)
            events = counted.key_events(place)
            self.read += len(events)
            return self.handlers.fold_all(events)
        sequence, entry = self._begin(place)
        return self.handlers.fold_all(self._behind(place, sequence), entry)

    def _behind(self, place: Place, sequence: int) -> Iterator[RecordedEvent]:
        for it in self._whole.key_events_behind(place, sequence):
            self.read += 1
            if not self.past.has(it):  # nor does it have any that follows: a cut is a prefix of each key
                return
            yield it

    def _counted_at(self, place: Place) -> CutPast | None:
        """Where a row's events are told from that corrections have made otherwise; None: it is as the log has it."""
        by_log = self.past.cut.as_of is None or self._are_set
        return None if by_log or place not in self.corrected else self.counted

    def keys(self, namespace: str, behind: str | None = None, *, falling: bool = False) -> Iterator[str]:
        """The keys of a namespace that have ever had an event, in their order, from behind one on."""
        sign, order, nearest = ("<", "desc", max) if falling else (">", "asc", min)
        texts = [
            (f"{text} order by key {order} limit 1", f"{text} and key {sign} ? order by key {order} limit 1")
            for text in ("select key from record where ns = ?", "select key from left_out where ns = ?")
        ]
        put_in = sorted((key for of, key in self.corrected if of == namespace), reverse=falling)
        while True:
            values = (namespace,) if behind is None else (namespace, behind)
            found = [self._whole.db.execute(text[behind is not None], values).fetchone() for text in texts]
            there = [it[0] for it in found if it is not None]
            there += [key for key in put_in if behind is None or (key < behind if falling else key > behind)][:1]
            if not there:
                return
            yield (behind := nearest(there))

    def accepted(self, types: frozenset[str]) -> Iterator[RecordedEvent]:
        """The accepted events of some types, in the total order."""
        namespaces = {namespace_of(name) for name in types}

        def is_one(it: RecordedEvent) -> bool:
            return it.accepted and it.event_type in types

        logged = (it for it in self._logged(namespaces) if is_one(it) and it.place not in self.corrected and self.past.has(it))
        return merge(logged, filter(is_one, self._counted_of(namespaces)), key=attrgetter("order"))

    def _logged(self, namespaces: Collection[str]) -> Iterator[RecordedEvent]:
        known = self.past.cut.known
        for it in self._whole.events_of(namespaces):
            self.read += 1
            if known is not None and it.order.recorded > known:
                return
            yield it

    def _counted_of(self, namespaces: Collection[str]) -> Sequence[RecordedEvent]:
        counted = self.counted
        if counted is None:
            return ()
        places = [place for place in self.corrected if place[0] in namespaces]
        for place in places:
            refuse_erased(counted, place)
        return sorted((it for place in places for it in counted.key_events(place)), key=attrgetter("order"))
