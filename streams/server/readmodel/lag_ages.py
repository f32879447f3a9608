"""For how long the server has not caught up with a topic: a lag in records says nothing of time."""

from __future__ import annotations

from collections import deque

Key = tuple[str, str, int]
KEPT, EVERY = 600, 1.0
"""Ends that are remembered for each partition, and s between two of them."""


class LagAges:
    """One thread measures, all others read. Times by the monotonic clock, in s."""

    def __init__(self) -> None:
        self._ends: dict[Key, deque[tuple[float, int]]] = {}
        self._current: dict[Key, tuple[float, bool]] = {}

    def measured(self, key: Key, read: int, end: int, now: float) -> None:
        """`read` is the offset up to which the server has read, `end` where the partition ended at this time."""
        ends = self._ends.setdefault(key, deque(maxlen=KEPT))
        since = self._current.get(key, (now, True))[0]
        while ends and ends[0][1] <= read:
            since = ends.popleft()[0]
        if read >= end:
            ends.clear()
            since = now
        elif not ends or (end > ends[-1][1] and now - ends[-1][0] >= EVERY):
            ends.append((now, end))
        self._current[key] = since, read >= end

    def seconds(self, key: Key, now: float) -> float:
        """How long ago the server had read everything that there was; 0 if it has read everything now."""
        since, complete = self._current.get(key, (now, True))
        return 0.0 if complete else max(0.0, now - since)

    def oldest(self, now: float) -> float:
        """The largest of all."""
        return max((self.seconds(key, now) for key in list(self._current)), default=0.0)

    def behind_since(self, key: Key) -> float | None:
        """When the server had read everything that there was; None if it has now."""
        since, complete = self._current.get(key, (0.0, True))
        return None if complete else since

    def told(self, key: Key, since: float | None) -> None:
        """Take over what another process has measured."""
        self._current[key] = since or 0.0, since is None
