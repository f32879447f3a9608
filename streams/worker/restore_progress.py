"""How far the restore of one partition is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from streams.kafka.offsets import Offsets, TopicAndPartition

SURE = 1.0
"""s after which the rate of a restore says how long the rest will take."""


@dataclass
class RestoreProgress:
    """In offsets of the partition's topics, of which some hold no record; other threads read it.

    `held`: it waits for an open transaction that has sent the group's offset. `left`: s that the rest will take at the rate so
    far, None while that is not known.
    """

    partition: int
    done: int = 0
    total: int = 0
    held: bool = False
    left: float | None = None
    _began: float = 0.0
    _before: int = 0

    def hold(self, held: bool) -> None:
        self.held = held

    def begin(self, rest: Mapping[TopicAndPartition, tuple[int, int]], now: float) -> None:
        """Begin to read `rest`: by topic and partition, the first offset and the end. `now` by the monotonic clock."""
        self.done, self.total = 0, sum(end - first for first, end in rest.values())
        self.left, self._began = None, now
        self._before = sum(first for first, _ in rest.values())

    def reach(self, position: Offsets, now: float) -> None:
        """Everything before these offsets is read."""
        self.done = min(self.total, sum(position.values()) - self._before)
        took = now - self._began
        self.left = took / self.done * (self.total - self.done) if took >= SURE and self.done else None
