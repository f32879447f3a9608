"""How fast a run was: from points (seconds, events committed so far, CPU seconds so far) to events per second.

The same for everyone: the window opens at the first point past the warm-up and closes at the last point before the
work was complete. The last step is left out because its transaction waits for its interval with nothing to do.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ops.bench.plan import WARM_UP

LEAST = 0.3
"""The part of the events that a window must hold, or there is no figure."""
LEAST_TIME = 0.1
"""The part of the run's time that it must last: one commit can be seen in two steps, a moment apart."""

Place = tuple[str, int]
"""A topic and one of its partitions."""


class Point(NamedTuple):
    """`cpu` is what the measured process has used so far."""

    seconds: float
    events: int
    cpu: float = 0.0


class Sample(NamedTuple):
    """What was seen at one moment: up to where each log is stable."""

    seconds: float
    stable: Mapping[Place, int]
    cpu: float


class TooFewSteps(RuntimeError):
    """The run committed so seldom that no window remains: it needs more events."""


class Window(NamedTuple):
    """`cpu` are seconds of the process."""

    seconds: float
    events: int
    steps: int
    cpu: float = 0.0

    @property
    def rate(self) -> float:
        return self.events / self.seconds

    @property
    def cpu_micros(self) -> float:
        """CPU of the process for an event."""
        return self.cpu / self.events * 1e6


def window(points: Sequence[Point], total: int, warm_up: float = WARM_UP) -> Window:
    """`warm_up`: the part of the events that comes before it. Raises TooFewSteps."""
    steps = [point for i, point in enumerate(points) if not i or point.events > points[i - 1].events]
    inside = [point for point in steps if warm_up * total <= point.events < total]
    least = LEAST_TIME * (points[-1].seconds - points[0].seconds) if points else 0.0
    if (
        len(inside) < 2
        or inside[-1].events - inside[0].events < LEAST * total
        or inside[-1].seconds - inside[0].seconds < least
    ):
        found = ", ".join(f"{point.events:,} after {point.seconds - points[0].seconds:.1f} s" for point in steps[:10])
        raise TooFewSteps(f"no steady window in {len(steps)} commits of {total:,} events ({found})")
    first, last = inside[0], inside[-1]
    return Window(last.seconds - first.seconds, last.events - first.events, len(inside) - 1, last.cpu - first.cpu)


def counted(samples: Sequence[Sample], offsets: Mapping[Place, Sequence[int]]) -> list[Point]:
    """Stable offsets per partition, turned into numbers of records.

    Offsets have gaps (a transaction's end takes one), so the records that lie below each are counted.
    """
    return [
        Point(sample.seconds, sum(bisect_left(offsets[place], end) for place, end in sample.stable.items()), sample.cpu)
        for sample in samples
    ]
