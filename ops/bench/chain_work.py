"""Two works of a worker of ours beside the plain one: a root that emits two events, and what follows from it."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from ops.bench.attempts import attempt
from ops.bench.contestant import chain
from ops.bench.figures import BenchFigures
from ops.bench.plan import CHAIN, Plan
from ops.bench.watch import WrongResult
from ops.bench.work import Expected, fill, records
from ops.bench.worker_run import WorkerRun

ROOTS, FOLLOW = 60_000, 2
"""How many are handled before anything is measured, and how many events follow from each."""
ROOT, DERIVED = f"{CHAIN}, root that emits two", f"{CHAIN}, derived"


class ChainWork:
    """A worker for the roots alone, and when it has ended one for what they emitted: the CPU of each is by itself."""

    def __init__(self, plan: Plan, figures: BenchFigures, broker: str, folder: Path) -> None:
        self.plan, self.figures, self.broker, self.folder = plan, figures, broker, folder
        self.events = ROOTS

    def warm_up(self) -> None:
        attempt(self.figures, CHAIN, partial(self._go, measured=False))

    def round(self, _: int) -> None:
        attempt(self.figures, CHAIN, self._go)

    def _go(self, prefix: str, *, measured: bool = True, again: bool = True) -> None:
        """With too short a window it is made again, once, with more events."""
        first = WorkerRun(chain("bench"), prefix, self.broker, self.folder / f"{prefix}root")
        first.contestant.prepare(first.admin, prefix)
        expected = Expected()
        fill(self.broker, prefix + "bench", records(self.events, expected))
        roots = first.go({"bench": self.events})
        second = WorkerRun(chain("leaf"), prefix, self.broker, self.folder / f"{prefix}leaf")
        derived = second.go({"leaf": FOLLOW * self.events})
        if (rows := second.keys()) != FOLLOW * len(expected.rows):
            raise WrongResult(f"{CHAIN}: {rows} leaves; expected {FOLLOW * len(expected.rows)}")
        short = min(roots.seconds, derived.seconds) < self.plan.window
        if short or not measured:
            self.events = max(self.plan.events(CHAIN, roots.rate, ROOTS), self.plan.events(CHAIN, derived.rate / FOLLOW))
        if measured and short and again:
            self.figures.say(f"{CHAIN:16}too short a window, so again with {self.events:,} events")
            self._go(f"{prefix}again-", again=False)
        elif measured:
            self.figures.add_window(ROOT, roots)
            self.figures.add_window(DERIVED, derived)
