"""`make bench`: everyone does the same work in one go, one after the other, three rounds, and latency at two rates."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from pathlib import Path

from rich.console import Console

from ops.bench import history, report
from ops.bench.broker import broker
from ops.bench.contestant import MAKERS, Contestant, answering
from ops.bench.latency import Trial, request
from ops.bench.measure import TooFewSteps
from ops.bench.plan import FULL, QUICK, Plan
from ops.bench.read_model import measure
from ops.bench.run import GaveUp, Run, WrongResult

READ = "read"
"""Not in the race: the server's read side."""
HISTORY = "history"
"""Nor is this: the recorded past, beside one library that keeps events."""
CHOICES = (*MAKERS, READ, HISTORY)
STUCK = (GaveUp, TooFewSteps, TimeoutError)


class Benchmark:
    """One go: who takes part, what was found, and who has no figure and why."""

    def __init__(self, plan: Plan, names: list[str], address: str, folder: Path, console: Console) -> None:
        self.plan, self.address, self.folder, self.console = plan, address, folder, console
        self.started = time.monotonic()
        self.contestants = [MAKERS[name](self.say) for name in plan.events if name in names]
        self.rates: dict[str, list[float]] = {contestant.name: [] for contestant in self.contestants}
        self.latency: dict[str, list[dict[str, float]]] = defaultdict(list)
        self.left_out: dict[str, str] = {}
        self.repeated: dict[str, int] = {}
        self.reading: dict[str, float] = {}
        self.history: history.Figures = {}

    def say(self, words: str) -> None:
        self.console.print(f"[dim]{time.monotonic() - self.started:5.0f} s[/dim]  {words}", highlight=False)

    def throughput(self) -> None:
        """Interleaved, so that a change of the machine's mood meets everyone."""
        for _ in range(self.plan.rounds):
            for contestant in self.contestants:
                self._attempt(contestant.name, partial(self._run, contestant))

    def _run(self, contestant: Contestant, prefix: str) -> None:
        events = self.plan.events[contestant.name]
        found = Run(contestant, prefix, events, self.address, self.folder / prefix).go()
        self.rates[contestant.name].append(found.rate)
        self.say(
            f"{contestant.name:6}{found.rate:9,.0f} events/s  "
            f"({found.events:,} in {found.seconds:.1f} s, {found.steps} commits seen)"
        )

    def latencies(self, contestant: Contestant) -> None:
        for _ in range(self.plan.rounds):
            self._attempt("latency", partial(self._trial, contestant))

    def answers(self) -> None:
        """Of a gateway that answers at once, on a worker that is idle otherwise."""
        for _ in range(self.plan.rounds):
            self._attempt("answers", self._answer_trial)

    def _answer_trial(self, prefix: str) -> None:
        found = Trial(answering(), prefix, self.plan.answers, self.address, self.folder / prefix, request).go()
        for rate, times in found.items():
            self.latency[f"{rate} requests/s, answered by a gateway"].append(times)
            self.say(f"a gateway's answer at {rate}/s: p50 {times['p50']:.1f} ms, p99 {times['p99']:.1f} ms")

    def reads(self) -> None:
        """Of a server, on the demonstration's rows."""
        try:
            self.reading = measure(self.address, self.folder / "reading", *self.plan.reading, self.say)
        except (TimeoutError, RuntimeError) as error:
            self.left_out["read"] = str(error)

    def past(self) -> None:
        """No broker is asked."""
        try:
            self.history = history.measure(self.folder / "history", *self.plan.history, self.say)
        except RuntimeError as error:
            self.left_out[HISTORY] = str(error)

    def _trial(self, contestant: Contestant, prefix: str) -> None:
        found = Trial(contestant, prefix, self.plan.latency, self.address, self.folder / prefix).go()
        for rate, times in found.items():
            self.latency[f"{rate}/s"].append(times)
            self.say(f"latency at {rate}/s: p50 {times['p50']:.1f} ms, p99 {times['p99']:.1f} ms")

    def _attempt(self, name: str, work: Callable[[str], None]) -> None:
        """`work` is given a prefix that nobody used before.

        A run that stuck is told and repeated once; a wrong result is never repeated. Without a right result in every
        round there is no figure.
        """
        for attempt in range(2):
            if name in self.left_out:
                return
            try:
                work(f"bench{time.time_ns() // 1_000_000}-")
                return
            except STUCK as error:
                if attempt:
                    self.left_out[name] = str(error)
                self.repeated[name] = self.repeated.get(name, 0) + 1
                self.say(f"{name}: {error}")
            except WrongResult as error:
                self.left_out[name] = str(error)
                self.say(f"{name}: {error}")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench ARGS=…", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer events: under 4 minutes")
    parser.add_argument("--json", action="store_true", help="the last line is one JSON object")
    parser.add_argument("--only", default=",".join(CHOICES), help="who takes part, with commas between: %(default)s")
    parser.add_argument("--broker", help="host:port of a Kafka to use; default: an embedded one")
    found = parser.parse_args()
    unknown = [name for name in found.only.split(",") if name not in CHOICES]
    if unknown:
        parser.error(f"--only names {', '.join(unknown)}; expected some of {', '.join(CHOICES)}")
    return found


def main() -> int:
    """0; 1 if somebody has no figure; 130 after Ctrl-C."""
    asked = arguments()
    console = Console(stderr=asked.json)
    plan = QUICK if asked.quick else FULL
    names = asked.only.split(",")
    with (
        tempfile.TemporaryDirectory(prefix="retold-bench-") as name,
        nullcontext("") if names == [HISTORY] else broker(asked.broker, Path(name, "broker"), console.print) as at,
    ):
        go = Benchmark(plan, names, at, Path(name, "runs"), console)
        if HISTORY in names:
            go.past()
        go.throughput()
        if READ in names:
            go.reads()
        for contestant in go.contestants:
            if contestant.name == "us" and "us" not in go.left_out:
                go.latencies(contestant)
                go.answers()
    figures = report.summary(go.rates, go.latency, go.left_out)
    figures |= {"repeated": go.repeated, "reading": go.reading, "history": go.history}
    report.show(figures, console)
    if asked.json:
        print(json.dumps(figures))
    return 1 if go.left_out else 0


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # the contestant and the broker end with us
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        sys.exit(130)
