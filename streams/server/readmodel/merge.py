"""Merges the past of several logs by recorded time (rule 18), in bounded memory."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from typing import Any

from streams.event import Event
from streams.history.recorded_event import NamespacePartition
from streams.server.readmodel.log_record import LogRecord

IN_MEMORY = 50_000
"""The most events, over all partitions, that may wait for an earlier one."""

ArrivedRecord = tuple[int, str, int, int, int, LogRecord, Event[Any] | None]
"""A record of a log, in the order of time: recorded (µs), namespace, partition, sequence, offset, what is kept of it, and its
event if projections fold it. A plain tuple, since each record of each log is one."""


class LogMerger:
    """An event is released when every partition that is not at its end has a later one.

    Events after a partition's end are ordered with those that have arrived, not with later ones, which are not known.
    """

    def __init__(self, partitions: Iterable[NamespacePartition], in_memory: int = IN_MEMORY) -> None:
        self._queues: dict[NamespacePartition, list[ArrivedRecord]] = {partition: [] for partition in partitions}
        self._open = set(self._queues)
        self._high = max(100, in_memory // max(1, len(self._queues)))

    def add(self, partition: NamespacePartition, item: ArrivedRecord) -> None:
        """The recorded time of `item` is not before that of the last one of the partition."""
        self._queues[partition].append(item)

    def ended(self, partition: NamespacePartition) -> None:
        self._open.discard(partition)

    def waiting(self, partition: NamespacePartition) -> bool:
        """Whether events of this partition wait for earlier ones."""
        return bool(self._queues[partition])

    def full(self, partition: NamespacePartition) -> bool:
        """Whether to pause this partition until others have caught up."""
        return bool(self._open) and len(self._queues[partition]) >= self._high

    def low(self, partition: NamespacePartition) -> bool:
        return not self._open or len(self._queues[partition]) < self._high // 4

    def ready(self) -> tuple[Sequence[ArrivedRecord], Sequence[ArrivedRecord]]:
        """What is released now, by time; and of it the last of each partition."""
        last = [self._queues[partition][-1:] for partition in self._open]
        if not all(last):
            return [], []
        found, ends = list[ArrivedRecord](), list[ArrivedRecord]()
        bound = min((of[0] for of in last), default=None)
        for queue in self._queues.values():
            count = len(queue) if bound is None else bisect_right(queue, bound)
            if count:
                found += queue[:count]
                ends.append(queue[count - 1])
                del queue[:count]
        found.sort()  # of queues that are sorted, so it merges them; no two have one place
        return found, ends
