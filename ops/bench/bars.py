"""What is aimed at, as ratios within one run, and what was reached."""

from __future__ import annotations

from typing import NamedTuple

from ops.bench.figures import CPU, EVENTS, BenchFigures
from ops.bench.plan import CHAIN, FOLD, LATENCY, MEMORY, STORY


class Bar(NamedTuple):
    """`over`: the figure that `of` is divided by; None: `of` itself counts. `least`: it shall be no less; else no more."""

    what: str
    of: str
    over: str | None
    bar: float
    goal: float
    least: bool = True

    def reached(self, figures: BenchFigures) -> float | None:
        """None if one of its figures was not measured. It is not rounded: 0.296 does not reach 0.3."""
        of, over = figures.median(self.of), None if self.over is None else figures.median(self.over)
        if of is None or (self.over is not None and not over):
            return None
        return of / over if over else of

    def met(self, value: float) -> str:
        """`goal`, `bar` or `no`."""
        for name, limit in (("goal", self.goal), ("bar", self.bar)):
            if value >= limit if self.least else value <= limit:
                return name
        return "no"


US = f"us: {EVENTS}"
BARS = (
    Bar("beside Quix Streams, exactly-once", US, f"quix: {EVENTS}", 2, 3),
    Bar("beside stock Faust, exactly_once", US, f"faust: {EVENTS}", 25, 40),
    Bar("beside Kafka Streams, exactly_once_v2", US, f"kafka-streams: {EVENTS}", 0.6, 1),
    Bar("beside consume, headers and decode alone", US, f"raw: {EVENTS}", 0.3, 0.5),
    Bar("µs of CPU: plain", f"us: {CPU}", None, 27, 22, least=False),
    Bar("µs of CPU: a root that emits two", f"{CHAIN}, root that emits two: {CPU}", None, 70, 60, least=False),
    Bar("µs of CPU: derived", f"{CHAIN}, derived: {CPU}", None, 38, 33, least=False),
    Bar("sign-up, folder and mail beside the single stage", f"{STORY}: {EVENTS}", US, 0.5, 0.8),
    Bar("fold of a log beside consume, headers and decode", f"{FOLD}: {EVENTS}", f"raw: {EVENTS}", 0.5, 0.8),
    Bar("publish to visible, p50 ms at 10/s", f"{LATENCY}, 10/s: p50 ms", None, 10, 8, least=False),
    Bar("publish to visible, p50 ms at 2,000/s", f"{LATENCY}, 2,000/s: p50 ms", None, 40, 20, least=False),
    Bar("MB for 1,000,000 rows of the demo's users", f"{MEMORY}: MB for 1,000,000 rows", None, 1000, 500, least=False),
)
