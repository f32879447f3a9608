"""What was found: each figure's value of every round, and what they come to."""

from __future__ import annotations

import os
import statistics
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ops.bench.measure import Window

Say = Callable[[str], None]
EVENTS, CPU = "events/s", "CPU µs an event"


@dataclass
class BenchFigures:
    """A figure's name is `<work>: <unit>` or `<work>, <part of it>: <unit>`.

    `left_out`: which works have no figure, and why. `repeated`: runs that were made again, and why."""

    say: Say
    least_window: float
    values: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    windows: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    left_out: dict[str, str] = field(default_factory=dict)
    repeated: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    loads: list[float] = field(default_factory=list)
    prefixes: list[str] = field(default_factory=list)
    """With which the names of topics begin that were made."""

    def add(self, name: str, value: float, window: float | None = None) -> None:
        """`window`: s over which it was measured."""
        self.values[name].append(value)
        if window is not None:
            self.windows[name].append(window)

    def add_window(self, who: str, found: Window) -> None:
        """Its rate, and the CPU of its process."""
        self.add(f"{who}: {EVENTS}", found.rate, found.seconds)
        self.add(f"{who}: {CPU}", found.cpu_micros, found.seconds)
        self.loads.append(os.getloadavg()[0])
        short = "" if found.seconds >= self.least_window else f", a window shorter than {self.least_window:.0f} s"
        self.say(
            f"{who:16}{found.rate:9,.0f} events/s {found.cpu_micros:7.1f} µs of CPU each  ({found.events:,} in "
            f"{found.seconds:.1f} s, {found.steps} commits seen; load {self.loads[-1]:.1f}{short})"
        )

    def rate(self, who: str) -> float:
        """The highest so far, to size the next run by."""
        return max(self.values.get(f"{who}: {EVENTS}", [0.0]))

    def median(self, name: str) -> float | None:
        """None for a figure that is not there, or that is left out."""
        if self._left_out(name) or not self.values.get(name):
            return None
        return statistics.median(self.values[name])

    def _left_out(self, name: str) -> bool:
        return name.partition(":")[0].partition(",")[0] in self.left_out

    def summary(self) -> dict[str, dict[str, Any]]:
        """Median, lowest and highest of each, and the shortest window in s where there was one."""
        return {name: self._one(name, found) for name, found in self.values.items() if not self._left_out(name)}

    def _one(self, name: str, found: list[float]) -> dict[str, Any]:
        one: dict[str, Any] = {"median": _short(statistics.median(found)), "low": _short(min(found)), "high": _short(max(found))}
        one["values"] = [_short(value) for value in found]
        if windows := self.windows.get(name):
            one["shortest_window"] = round(min(windows), 1)
        return one


def _short(value: float) -> float:
    """Enough digits to compare, and no more than were measured."""
    return round(value) if abs(value) >= 1000 else round(value, 2)
