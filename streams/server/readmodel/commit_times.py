"""How long the follower's transactions took, and how often its file could not be written."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

BOUNDS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0)
"""s: the upper bounds of the classes that are counted; one more is without a bound."""


class CommitTimes:
    """One thread counts, all others read."""

    def __init__(self) -> None:
        self.sum = 0.0
        self.errors = 0
        self._counts = [0] * (len(BOUNDS) + 1)

    def took(self, seconds: float) -> None:
        self._counts[bisect_left(BOUNDS, seconds)] += 1
        self.sum += seconds

    def buckets(self) -> Sequence[tuple[str, float]]:
        """By upper bound, how many took at most so long."""
        found, total = list[tuple[str, float]](), 0
        for bound, count in zip((*map(str, BOUNDS), "+Inf"), self._counts, strict=True):
            total += count
            found.append((bound, float(total)))
        return found
