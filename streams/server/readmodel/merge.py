"""Merges the past of several logs by recorded time (rule 18), in bounded memory."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from streams.event import Event
from streams.kafka.messages import LogFacts

NamespacePartition = tuple[str, int]
IN_MEMORY = 50_000
"""The most events, over all partitions, that may wait for an earlier one."""


class ArrivedRecord(NamedTuple):
    """A record of a log. `recorded` in µs; `event` is there if projections fold it."""

    recorded: int
    namespace: str
    partition: int
    sequence: int
    offset: int
    event_type: str
    facts: LogFacts
    event: Event[Any] | None


def time_order(item: ArrivedRecord) -> tuple[int, str, int, int]:
    return item[:4]


class LogMerger:
    """An event is released when every partition that is not at its end has a later one.

    Events after a partition's end are ordered with those that have arrived, not with later ones, which are not known.
    """

    def __init__(self, partitions: Iterable[NamespacePartition], in_memory: int = IN_MEMORY) -> None:
        self._queues: dict[NamespacePartition, deque[ArrivedRecord]] = {partition: deque() for partition in partitions}
        self._open = set(self._queues)
        self._missing = set(self._queues)
        """Partitions that are not at their end and have no event queued."""
        self._heads: list[tuple[tuple[int, str, int, int], NamespacePartition]] = []
        self._high = max(100, in_memory // max(1, len(self._queues)))

    def add(self, partition: NamespacePartition, item: ArrivedRecord) -> None:
        queue = self._queues[partition]
        queue.append(item)
        self._missing.discard(partition)
        if len(queue) == 1:
            heapq.heappush(self._heads, (time_order(item), partition))

    def ended(self, partition: NamespacePartition) -> None:
        self._open.discard(partition)
        self._missing.discard(partition)

    def waiting(self, partition: NamespacePartition) -> bool:
        """Whether events of this partition wait for earlier ones."""
        return bool(self._queues[partition])

    def full(self, partition: NamespacePartition) -> bool:
        """Whether to pause this partition until others have caught up."""
        return bool(self._open) and len(self._queues[partition]) >= self._high

    def low(self, partition: NamespacePartition) -> bool:
        return not self._open or len(self._queues[partition]) < self._high // 4

    def ready(self) -> Iterator[ArrivedRecord]:
        while self._heads and not self._missing:
            _, partition = heapq.heappop(self._heads)
            queue = self._queues[partition]
            item = queue.popleft()
            if queue:
                heapq.heappush(self._heads, (time_order(queue[0]), partition))
            elif partition in self._open:
                self._missing.add(partition)
            yield item
