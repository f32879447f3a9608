"""`make bench`: everyone does the same work in one go, one after the other, three rounds, and latency at two rates."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from pathlib import Path

from rich.console import Console

from ops.bench import report
from ops.bench.broker import broker
from ops.bench.contestant import MAKERS, Contestant
from ops.bench.latency import Trial
from ops.bench.measure import TooFewSteps
from ops.bench.plan import FULL, QUICK, Plan
from ops.bench.run import GaveUp, Run, WrongResult

NO_FIGURE = (GaveUp, WrongResult, TooFewSteps, TimeoutError)


class Benchmark:
    """One go: who takes part, what was found, and who has no figure and why."""

    def __init__(self, plan: Plan, names: list[str], address: str, folder: Path, console: Console) -> None:
        self.plan, self.address, self.folder, self.console = plan, address, folder, console
        self.started = time.monotonic()
        self.contestants = [MAKERS[name](self.say) for name in plan.events if name in names]
        self.rates: dict[str, list[float]] = {contestant.name: [] for contestant in self.contestants}
        self.latency: dict[str, list[dict[str, float]]] = defaultdict(list)
        self.left_out: dict[str, str] = {}

    def say(self, words: str) -> None:
        self.console.print(f"[dim]{time.monotonic() - self.started:5.0f} s[/dim]  {words}", highlight=False)

    def throughput(self) -> None:
        """Interleaved, so that a change of the machine's mood meets everyone."""
        for round_number in range(1, self.plan.rounds + 1):
            for contestant in self.contestants:
                name = contestant.name
                prefix = f"r{round_number}-{name}-"
                run = Run(contestant, prefix, self.plan.events[name], self.address, self.folder / prefix)
                self._attempt(name, partial(self._one, run))

    def _one(self, run: Run) -> None:
        found = run.go()
        self.rates[run.contestant.name].append(found.rate)
        self.say(
            f"{run.contestant.name:6}{found.rate:9,.0f} events/s  "
            f"({found.events:,} in {found.seconds:.1f} s, {found.steps} commits seen)"
        )

    def latencies(self, contestant: Contestant) -> None:
        for round_number in range(1, self.plan.rounds + 1):
            for rate, events in self.plan.latency.items():
                prefix = f"l{round_number}-{rate}-"
                trial = Trial(contestant, prefix, rate, events, self.address, self.folder / prefix)
                self._attempt(f"{rate}/s", partial(self._one_latency, trial))

    def _one_latency(self, trial: Trial) -> None:
        found = trial.go()
        self.latency[f"{trial.rate}/s"].append(found)
        self.say(f"at {trial.rate}/s: p50 {found['p50']:.1f} ms, p99 {found['p99']:.1f} ms")

    def _attempt(self, name: str, work: Callable[[], None]) -> None:
        """Who failed once has no figure at all, and is not tried again."""
        if name in self.left_out:
            return
        try:
            work()
        except NO_FIGURE as error:
            self.left_out[name] = str(error)
            self.say(f"no figure for {name}: {error}")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench ARGS=…", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer events: under 4 minutes")
    parser.add_argument("--json", action="store_true", help="the last line is one JSON object")
    parser.add_argument("--only", default=",".join(MAKERS), help="who takes part, with commas between: %(default)s")
    parser.add_argument("--broker", help="host:port of a Kafka to use; default: an embedded one")
    found = parser.parse_args()
    unknown = [name for name in found.only.split(",") if name not in MAKERS]
    if unknown:
        parser.error(f"--only names {', '.join(unknown)}; expected some of {', '.join(MAKERS)}")
    return found


def main() -> int:
    """0; 1 if somebody has no figure; 130 after Ctrl-C."""
    asked = arguments()
    console = Console(stderr=asked.json)
    plan = QUICK if asked.quick else FULL
    with tempfile.TemporaryDirectory(prefix="retold-bench-") as name, broker(asked.broker, Path(name, "broker")) as at:
        go = Benchmark(plan, asked.only.split(","), at, Path(name, "runs"), console)
        go.throughput()
        for contestant in go.contestants:
            if contestant.name == "us" and "us" not in go.left_out:
                go.latencies(contestant)
    figures = report.summary(go.rates, go.latency, go.left_out)
    report.show(figures, console)
    if asked.json:
        print(json.dumps(figures))
    return 1 if go.left_out else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        sys.exit(130)
