"""How long the follower's transactions took, and how often its file could not be written."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from typing import NamedTuple

BOUNDS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0)
"""s: the upper bounds of the classes that are counted; one more is without a bound."""


class CommitTotals(NamedTuple):
    """s of all transactions, times that the file could not be written, and how many transactions are in each class."""

    sum: float
    errors: int
    counts: list[int]


class CommitTimes:
    """One thread counts, all others read."""

    def __init__(self) -> None:
        self.sum = 0.0
        self.errors = 0
        self._counts = [0] * (len(BOUNDS) + 1)

    def take(self, seconds: float | None, errors: int) -> None:
        """What one report of the follower tells; None: of no transaction."""
        self.errors += errors
        if seconds is not None:
            self._counts[bisect_left(BOUNDS, seconds)] += 1
            self.sum += seconds

    def begin_with(self, totals: CommitTotals) -> None:
        self.sum, self.errors, self._counts = totals.sum, totals.errors, [*totals.counts]

    @property
    def totals(self) -> CommitTotals:
        return CommitTotals(self.sum, self.errors, [*self._counts])

    def buckets(self) -> Sequence[tuple[str, float]]:
        """By upper bound, how many took at most so long."""
        found, total = list[tuple[str, float]](), 0
        for bound, count in zip((*map(str, BOUNDS), "+Inf"), self._counts, strict=True):
            total += count
            found.append((bound, float(total)))
        return found
