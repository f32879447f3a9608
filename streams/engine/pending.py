"""Pending timers and gateway calls of a partition. Each is found without a search through all of them."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator, Mapping, Sequence
from heapq import heappop, heappush, merge
from typing import Any, NamedTuple

import msgspec

from streams.engine.changes import KeptCall, KeptTimer, PendingCall, PendingTimer


class ScheduledTimer(msgspec.Struct, order=True, gc=False):
    """When it is due, a number that counts timers in the order in which they were scheduled, and the timer."""

    at: int
    number: int
    timer: KeptTimer


class FiringLimit(NamedTuple):
    """Until when timers fire, in µs since 1970: live ones, and those that were overdue when they were scheduled."""

    live: int
    overdue: int

    def allows(self, timer: KeptTimer) -> bool:
        return timer.at <= (self.overdue if timer.overdue else self.live)


class PendingTimers(Mapping[str, KeptTimer]):
    """By event id. Timers of the same time keep the order in which they were scheduled.

    `memory` is how many bytes, about, those take whose events are in memory.
    """

    def __init__(self) -> None:
        self._by_id: dict[str, ScheduledTimer] = {}
        self._by_owner: dict[str, list[ScheduledTimer]] = {}
        self._live: list[ScheduledTimer] = []
        self._overdue: list[ScheduledTimer] = []
        self._scheduled = self.memory = 0

    def add(self, timer: KeptTimer) -> None:
        self.discard(timer.event_id)
        self._scheduled += 1
        scheduled = self._by_id[timer.event_id] = ScheduledTimer(timer.at, self._scheduled, timer)
        of_owner = self._by_owner.get(timer.owner)
        if of_owner is None:
            self._by_owner[timer.owner] = [scheduled]
        else:
            insort(of_owner, scheduled)
        heappush(self._overdue if timer.overdue else self._live, scheduled)
        if isinstance(timer, PendingTimer):
            self.memory += timer.memory

    def discard(self, event_id: str) -> None:
        """Its entry in a heap is removed when it comes to the top."""
        if (gone := self._by_id.pop(event_id, None)) is None:
            return
        timer = gone.timer
        of_owner = self._by_owner[timer.owner]
        del of_owner[bisect_left(of_owner, gone)]
        if not of_owner:
            del self._by_owner[timer.owner]
        if isinstance(timer, PendingTimer):
            self.memory -= timer.memory
        heap = self._overdue if timer.overdue else self._live
        while heap and not self._waits(heap[0]):
            heappop(heap)

    def discard_all(self, event_ids: Iterable[str]) -> None:
        """Those of them that there are: most are of calls, and of no timers."""
        there = self._by_id
        for event_id in event_ids if there else ():
            if event_id in there:
                self.discard(event_id)

    def exchange(self, timer: KeptTimer) -> None:
        """Have it in the place of the one of its id, which is the same timer: its event leaves memory, or comes back."""
        scheduled = self._by_id[timer.event_id]
        for it, sign in ((scheduled.timer, -1), (timer, 1)):
            if isinstance(it, PendingTimer):
                self.memory += sign * it.memory
        scheduled.timer = timer

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
        return min((heap[0].at for heap in (self._live, self._overdue) if heap), default=None)

    def until(self, limit: FiringLimit) -> Iterator[KeptTimer]:
        """The timers that `limit` allows, earliest first. They stay until they are discarded."""
        live, overdue = self._live, self._overdue
        if not overdue or overdue[0].at > limit.overdue:  # as a rule
            found = self._walk(live, limit.live)
        else:
            found = merge(self._walk(live, limit.live), self._walk(overdue, limit.overdue))
        for scheduled in found:
            yield scheduled.timer

    def _walk(self, heap: list[ScheduledTimer], end: int) -> Iterator[ScheduledTimer]:
        """A walk down a heap: its cost grows with the number returned, not with the number pending."""
        next_ones = [(heap[0], 0)] if heap else []
        while next_ones:
            scheduled, index = heappop(next_ones)
            if scheduled.at > end:
                return
            if self._waits(scheduled):
                yield scheduled
            for child in (2 * index + 1, 2 * index + 2):
                if child < len(heap):
                    heappush(next_ones, (heap[child], child))

    def _waits(self, scheduled: ScheduledTimer) -> bool:
        return self._by_id.get(scheduled.timer.event_id) is scheduled

    def count_after(self, new: set[str], gone: set[str]) -> int:
        """How many there are with `new` and then without `gone`."""
        return _count_after(self._by_id, new, gone)

    def __getitem__(self, event_id: str) -> KeptTimer:
        return self._by_id[event_id].timer

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_id)

    def __len__(self) -> int:
        return len(self._by_id)


class PendingCalls(Mapping[str, KeptCall]):
    """By the request's reference; of a key in the order in which they were accepted. `memory` as that of timers."""

    def __init__(self) -> None:
        self._by_reference: dict[str, KeptCall] = {}
        self._by_key: dict[str, list[str]] = {}
        self.memory = 0

    def add(self, call: KeptCall) -> None:
        self.add_all({call.reference: call})

    def add_all(self, calls: Mapping[str, KeptCall]) -> None:
        """By their references: to derive one takes as long as all the rest."""
        there, by_key = self._by_reference, self._by_key
        for reference, call in calls.items():
            if reference in there:
                self.discard(reference)
            there[reference] = call
            by_key.setdefault(call.key, []).append(reference)
            if isinstance(call, PendingCall):
                self.memory += call.memory

    def discard(self, reference: str) -> None:
        self.discard_all((reference,))

    def discard_all(self, references: Iterable[str]) -> None:
        """Those of them that there are."""
        take, by_key = self._by_reference.pop, self._by_key
        for reference in references:
            call = take(reference, None)
            if call is None:
                continue
            of_key = by_key[key := call.key]
            of_key.remove(reference)
            if not of_key:
                del by_key[key]
            if isinstance(call, PendingCall):
                self.memory -= call.memory

    def exchange(self, call: KeptCall) -> None:
        """Have it in the place of the one of its reference, which is the same call: its body leaves memory, or comes back."""
        for it, sign in ((self._by_reference[call.reference], -1), (call, 1)):
            if isinstance(it, PendingCall):
                self.memory += sign * it.memory
        self._by_reference[call.reference] = call

    def of(self, key: str) -> Sequence[KeptCall]:
        return tuple(self._by_reference[it] for it in self._by_key.get(key, ()))

    def count_after(self, new: set[str], gone: set[str]) -> int:
        """How many there are with `new` and then without `gone`."""
        return _count_after(self._by_reference, new, gone)

    def __getitem__(self, reference: str) -> KeptCall:
        return self._by_reference[reference]

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_reference)

    def __len__(self) -> int:
        return len(self._by_reference)


def _count_after(there: dict[str, Any], new: set[str], gone: set[str]) -> int:
    """`there` may be large, and nothing goes through it: a set minus a dict's keys would."""
    added, never = new.difference(there), gone.difference(there)
    return len(there) + len(added) - (len(gone) - len(never)) - len(added & never)
