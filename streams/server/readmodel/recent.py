"""The latest events of each partition's log, and the latest outcomes, in bounded memory."""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections import deque
from itertools import islice

from streams.kafka.messages import LogEvent
from streams.receipt import EventOutcome

EVENTS = 2_000
"""Kept of each partition; older ones are read from Kafka."""
OUTCOMES = 50_000
STEP = 1_000
"""The offset of one in so many records is remembered."""

At = tuple[str, int, int]
"""Namespace, partition, inbox offset."""


class KnownOutcome(EventOutcome, frozen=True, kw_only=True):
    """An outcome with its event's type, key and id. For a duplicate they are None, since a marker does not have them."""

    event_type: str | None = None
    key: str | None = None
    id: str | None = None


def known_outcome(
    became: EventOutcome, event_type: str | None = None, key: str | None = None, event_id: str | None = None
) -> KnownOutcome:
    facts = {name: getattr(became, name) for name in EventOutcome.__struct_fields__}
    return KnownOutcome(event_type=event_type, key=key, id=event_id, **facts)


class RecentOutcomes:
    """The latest outcomes that were read, by inbox offset."""

    def __init__(self, size: int = OUTCOMES) -> None:
        self._size, self._by_offset = size, dict[At, KnownOutcome]()

    def add(self, at: At, became: KnownOutcome) -> None:
        """Add an outcome. For an event that was parked and handled later, the later one is kept, whichever was read first."""
        known_outcome = self._by_offset.pop(at, became)
        if known_outcome.sequence is not None and became.sequence is None:
            became = known_outcome
        self._by_offset[at] = became
        if len(self._by_offset) > self._size:
            del self._by_offset[next(iter(self._by_offset))]

    def get(self, at: At) -> KnownOutcome | None:
        return self._by_offset.get(at)


class RecentEvents:
    """The end of one partition's log. Sequences increase; where an operator deleted records, they have gaps.

    It also has approximate offsets of older sequences, for reading them from Kafka. Its lock is held only for moments, so a
    task of the event loop may read.
    """

    def __init__(self, size: int = EVENTS) -> None:
        self._events: deque[LogEvent] = deque(maxlen=size)
        self._forgotten = 0
        """The last sequence that was followed and is no longer kept here."""
        self._offsets: list[tuple[int, int]] = []
        self._lock = threading.Lock()

    @property
    def last(self) -> int:
        """The last sequence followed; 0: none."""
        return self._events[-1].sequence if self._events else 0

    def add(self, event: LogEvent) -> None:
        with self._lock:
            if event.sequence % STEP == 1:
                self._offsets.append((event.sequence, event.offset))
            if len(self._events) == self._events.maxlen:
                self._forgotten = self._events[0].sequence
            self._events.append(event)

    def after(self, sequence: int, limit: int) -> list[LogEvent] | None:
        """At most `limit` events after `sequence`; None if some of them are no longer kept here."""
        with self._lock:
            if sequence < self._forgotten:
                return None
            begin = bisect_right(self._events, sequence, key=lambda event: event.sequence)
            return list(islice(self._events, begin, begin + limit))

    def offset_before(self, sequence: int) -> int:
        """A log offset at or before the record after `sequence`."""
        with self._lock:
            index = bisect_right(self._offsets, sequence + 1, key=lambda mark: mark[0]) - 1
            return self._offsets[index][1] if index >= 0 else 0
