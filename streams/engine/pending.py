"""Pending timers and gateway calls of a partition. Each is found without a search through all of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from heapq import heappop, heappush

from streams.engine.changes import PendingCall, PendingTimer


class PendingTimers(Mapping[str, PendingTimer]):
    """By event id. Timers of the same time keep the order in which they were scheduled."""

    def __init__(self) -> None:
        self._by_id: dict[str, PendingTimer] = {}
        self._heap: list[tuple[int, int, PendingTimer]] = []
        self._scheduled = 0

    def add(self, due: PendingTimer) -> None:
        self._by_id[due.event_id] = due
        self._scheduled += 1
        heappush(self._heap, (due.at, self._scheduled, due))

    def discard(self, event_id: str) -> None:
        """Its entry in the heap is removed when it comes to the top."""
        if self._by_id.pop(event_id, None) is not None:
            while self._heap and not self._waits(self._heap[0][2]):
                heappop(self._heap)

    @property
    def earliest(self) -> int | None:
        """When the first one is due, in µs; None if there is none."""
        return self._heap[0][0] if self._heap else None

    def until(self, now: int) -> Iterator[PendingTimer]:
        """The timers due by `now` (µs), earliest first. They stay until they are discarded.

        A walk down the heap: its cost grows with the number returned, not with the number pending.
        """
        heap = self._heap
        next_ones = [(heap[0], 0)] if heap else []
        while next_ones:
            (at, _, due), index = heappop(next_ones)
            if at > now:
                return
            if self._waits(due):
                yield due
            for child in (2 * index + 1, 2 * index + 2):
                if child < len(heap):
                    heappush(next_ones, (heap[child], child))

    def _waits(self, due: PendingTimer) -> bool:
        return self._by_id.get(due.event_id) is due

    def __getitem__(self, event_id: str) -> PendingTimer:
        return self._by_id[event_id]

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
