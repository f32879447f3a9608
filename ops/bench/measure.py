"""How fast a run was: from points (seconds, events committed so far) to events per second.

The same for everyone: the window opens at the first point past the warm-up and closes at the last point before the
work was complete. The last step is left out because its transaction waits for its interval with nothing to do.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from typing import NamedTuple

WARM_UP = 0.2
"""The part of the events that is not measured: start, JIT, caches, first transaction."""

LEAST = 0.3
"""The part of the events that a window must hold, or there is no figure."""

Point = tuple[float, int]


class TooFewSteps(RuntimeError):
    """The run committed so seldom that no window remains: it needs more events."""


class Window(NamedTuple):
    seconds: float
    events: int
    steps: int

    @property
    def rate(self) -> float:
        return self.events / self.seconds


def window(points: Sequence[Point], total: int) -> Window:
    """Raises TooFewSteps."""
    steps = [point for i, point in enumerate(points) if not i or point[1] > points[i - 1][1]]
    inside = [point for point in steps if WARM_UP * total <= point[1] < total]
    if len(inside) < 2 or inside[-1][1] - inside[0][1] < LEAST * total:
        raise TooFewSteps(f"no steady window in {len(steps)} commits of {total} events: {steps[:10]}")
    (start, before), (end, after) = inside[0], inside[-1]
    return Window(end - start, after - before, len(inside) - 1)


def counted(samples: Sequence[tuple[float, Mapping[int, int]]], offsets: Mapping[int, Sequence[int]]) -> list[Point]:
    """Stable offsets per partition, turned into numbers of records.

    Offsets have gaps (a transaction's end takes one), so the records that lie below each are counted.
    """
    return [
        (seconds, sum(bisect_left(offsets[partition], stable) for partition, stable in sample.items()))
        for seconds, sample in samples
    ]
