"""The works that no peer does: how soon a row is visible, how fast a log is folded, and what rows take in memory."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from ops.bench import measure
from ops.bench.attempts import attempt
from ops.bench.child import ROOT, running
from ops.bench.contestant import MAKERS, answering, environment
from ops.bench.figures import BenchFigures
from ops.bench.latency import WARM_UP, Trial, request
from ops.bench.plan import ANSWERS, FOLD, LATENCY, MEMORY, RACE, Plan
from ops.bench.race import Race
from ops.bench.watch import watch_words

RATES, REQUESTS = (10, 2_000), 5
"""Events a second that are published; and requests a second for a gateway that answers at once."""


class LatencyWork:
    """Each rate is a window: its first quarter is not measured."""

    def __init__(self, plan: Plan, figures: BenchFigures, broker: str, folder: Path) -> None:
        self.plan, self.figures, self.broker, self.folder = plan, figures, broker, folder

    def warm_up(self) -> None:
        """Each trial settles by itself."""

    def round(self, _: int) -> None:
        attempt(self.figures, LATENCY, self._events)

    def _events(self, prefix: str) -> None:
        plan = {rate: int(rate * self.plan.latency) for rate in RATES}
        found = Trial(MAKERS["us"](self.figures.say), prefix, plan, self.broker, self.folder / prefix).go()
        for rate, times in found.items():
            add_times(self.plan, self.figures, f"{LATENCY}, {rate:,}/s", times)


class AnswersWork:
    """The same, of the row that a gateway's answer makes."""

    def __init__(self, plan: Plan, figures: BenchFigures, broker: str, folder: Path) -> None:
        self.plan, self.figures, self.broker, self.folder = plan, figures, broker, folder

    def warm_up(self) -> None:
        """Each trial settles by itself."""

    def round(self, _: int) -> None:
        attempt(self.figures, ANSWERS, self._answers)

    def _answers(self, prefix: str) -> None:
        plan = {REQUESTS: int(REQUESTS * self.plan.latency)}
        found = Trial(answering(), prefix, plan, self.broker, self.folder / prefix, request).go()
        add_times(self.plan, self.figures, f"{ANSWERS}, {REQUESTS} requests/s", found[REQUESTS])


def add_times(plan: Plan, figures: BenchFigures, what: str, times: dict[str, float]) -> None:
    for percentile, milliseconds in times.items():
        figures.add(f"{what}: {percentile} ms", milliseconds, plan.latency * (1 - WARM_UP))
    figures.say(f"published to visible, {what}: p50 {times['p50']:.1f} ms, p99 {times['p99']:.1f} ms")


class FoldWork:
    """Of the log that retold's latest run in the race has left; without such a run, one is made."""

    def __init__(self, plan: Plan, figures: BenchFigures, race: Race, broker: str, folder: Path) -> None:
        self.plan, self.figures, self.race, self.broker, self.folder = plan, figures, race, broker, folder

    def warm_up(self) -> None:
        """The race has read the log."""

    def round(self, _: int) -> None:
        attempt(self.figures, FOLD, self._fold)

    def _fold(self, prefix: str) -> None:
        log, events = self.race.log or self.race.make_log(MAKERS["us"](self.figures.say), RACE["us"])
        folder = self.folder / prefix
        folder.mkdir(parents=True)
        told = environment(prefix, FOLD, self.broker, folder) | {"BENCH_LOG": log, "BENCH_EVENTS": str(events)}
        words = folder / "output.txt"
        with running((sys.executable, "-m", "ops.bench.fold_log"), told, words) as child:
            points = watch_words(FOLD, child, words, self.plan.watched)
        self.figures.add_window(FOLD, measure.window(points, points[-1].events + 1))


def memory(plan: Plan, figures: BenchFigures) -> None:
    """Once: it does not vary."""
    command = [sys.executable, "-m", "ops.bench.row_memory", str(plan.rows)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=600)
    if done.returncode:
        figures.left_out[MEMORY] = done.stderr[-500:]
        return
    figures.add(f"{MEMORY}: MB for 1,000,000 rows", float(done.stdout))
    figures.say(f"1,000,000 rows of the demonstration's users take {float(done.stdout):,.0f} MB ({plan.rows:,} were measured)")
