"""Pending timers and gateway calls of a partition. Each is found without a search through all of them."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator, Mapping, Sequence
from heapq import heappop, heappush, merge
from typing import NamedTuple

from streams.engine.changes import PendingCall, PendingTimer

ScheduledTimer = tuple[int, int, PendingTimer]
"""When it is due, a number that counts timers in the order in which they were scheduled, and the timer."""


class FiringLimit(NamedTuple):
    """Until when timers fire, in µs since 1970: live ones, and those that were overdue when they were scheduled."""

    live: int
    overdue: int

    def allows(self, timer: PendingTimer) -> bool:
        return timer.at <= (self.overdue if timer.overdue else self.live)


class PendingTimers(Mapping[str, PendingTimer]):
    """By event id. Timers of the same time keep the order in which they were scheduled."""

    def __init__(self) -> None:
        self._by_id: dict[str, ScheduledTimer] = {}
        self._by_owner: dict[str, list[ScheduledTimer]] = {}
        self._live: list[ScheduledTimer] = []
        self._overdue: list[ScheduledTimer] = []
        self._scheduled = 0

    def add(self, timer: PendingTimer) -> None:
        self.discard(timer.event_id)
        self._scheduled += 1
        scheduled = self._by_id[timer.event_id] = (timer.at, self._scheduled, timer)
        insort(self._by_owner.setdefault(timer.owner, []), scheduled)
        heappush(self._overdue if timer.overdue else self._live, scheduled)

    def discard(self, event_id: str) -> None:
        """Its entry in a heap is removed when it comes to the top."""
        if (gone := self._by_id.pop(event_id, None)) is None:
            return
        of_owner = self._by_owner[gone[2].owner]
        del of_owner[bisect_left(of_owner, gone)]
        if not of_owner:
            del self._by_owner[gone[2].owner]
        heap = self._overdue if gone[2].overdue else self._live
        while heap and not self._waits(heap[0]):
            heappop(heap)

    @property
    def owners(self) -> Mapping[str, Sequence[ScheduledTimer]]:
        """The timers of each key's clock, earliest first; a key without timers is not there."""
        return self._by_owner

    def of(self, owner: str) -> Sequence[ScheduledTimer]:
        """The timers of one key's clock, earliest first."""
        return self._by_owner.get(owner, ())

    @property
    def earliest(self) -> int | None:
        """When the first one is due, in µs; None if there is none."""
        return min((heap[0][0] for heap in (self._live, self._overdue) if heap), default=None)

    def until(self, limit: FiringLimit) -> Iterator[PendingTimer]:
        """The timers that `limit` allows, earliest first. They stay until they are discarded."""
        for _, _, timer in merge(self._walk(self._live, limit.live), self._walk(self._overdue, limit.overdue)):
            yield timer

    def _walk(self, heap: list[ScheduledTimer], end: int) -> Iterator[ScheduledTimer]:
        """A walk down a heap: its cost grows with the number returned, not with the number pending."""
        next_ones = [(heap[0], 0)] if heap else []
        while next_ones:
            scheduled, index = heappop(next_ones)
            if scheduled[0] > end:
                return
            if self._waits(scheduled):
                yield scheduled
            for child in (2 * index + 1, 2 * index + 2):
                if child < len(heap):
                    heappush(next_ones, (heap[child], child))

    def _waits(self, scheduled: ScheduledTimer) -> bool:
        return self._by_id.get(scheduled[2].event_id) is scheduled

    def __getitem__(self, event_id: str) -> PendingTimer:
        return self._by_id[event_id][2]

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_id)

    def __len__(self) -> int:
        return len(self._by_id)


class PendingCalls(Mapping[str, PendingCall]):
    """By the request's reference; of a key in the order in which they were accepted."""

    def __init__(self) -> None:
        self._by_reference: dict[str, PendingCall] = {}
        self._by_key: dict[str, list[PendingCall]] = {}

    def add(self, call: PendingCall) -> None:
        self.discard(call.event.reference)
        self._by_reference[call.event.reference] = call
        self._by_key.setdefault(call.event.key, []).append(call)

    def discard(self, reference: str) -> None:
        call = self._by_reference.pop(reference, None)
        if call is not None:
            of_key = self._by_key[call.event.key]
            of_key.remove(call)
            if not of_key:
                del self._by_key[call.event.key]

    def of(self, key: str) -> Sequence[PendingCall]:
        return tuple(self._by_key.get(key, ()))

    def __getitem__(self, reference: str) -> PendingCall:
        return self._by_reference[reference]

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_reference)

    def __len__(self) -> int:
        return len(self._by_reference)
