"""`make bench`: the same work for all, one after the other, in rounds; and what retold alone does."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from rich.console import Console

from ops.bench import correct, history, read_model, rebuild, report, restore, topic, watching
from ops.bench.broker import broker
from ops.bench.chain_work import ChainWork
from ops.bench.contestant import MAKERS
from ops.bench.figures import BenchFigures
from ops.bench.other_works import AnswersWork, FoldWork, LatencyWork, memory
from ops.bench.plan import (
    ANSWERS,
    ASIDE,
    CHAIN,
    CORRECT,
    FOLD,
    FULL,
    HISTORY,
    LATENCY,
    MEMORY,
    QUICK,
    RACE,
    READ,
    REBUILD,
    RESTORE,
    STORY,
    WATCH,
    WORKS,
    Plan,
)
from ops.bench.race import Race
from ops.bench.story_work import StoryWork

CHOICES = (*RACE, *WORKS, *ASIDE)
RESULTS = Path(__file__).parent / "results" / "bench.json"


class Work(Protocol):
    """Something that is measured in rounds."""

    def warm_up(self) -> None:
        """Once before all rounds; nothing of it is a figure."""

    def round(self, number: int) -> None:
        """One value of each of its figures."""


class Benchmark:
    """One go: who takes part, and what was found."""

    def __init__(self, plan: Plan, names: Collection[str], console: Console) -> None:
        self.plan, self.names, self.console = plan, names, console
        self.started = time.monotonic()
        self.figures = BenchFigures(self.say, plan.window)
        self.others: dict[str, Any] = {}

    def say(self, words: str) -> None:
        self.console.print(f"{time.monotonic() - self.started:5.0f} s  {words}", highlight=False, markup=False, soft_wrap=True)

    def go(self, address: str, folder: Path) -> None:
        """The rounds of all works, and then what is measured once."""
        try:
            self._rounds(self._works(address, folder))
        finally:
            if self.figures.prefixes:
                topic.tidy(address, self.figures.prefixes)
        if MEMORY in self.names:
            memory(self.plan, self.figures)
        if HISTORY in self.names:
            self._aside(HISTORY, lambda: history.measure(folder / HISTORY, *self.plan.history, self.say))
        if CORRECT in self.names:
            self._aside(CORRECT, lambda: correct.measure(self.say))
        if READ in self.names:
            self._aside(READ, lambda: read_model.measure(address, folder / READ, *self.plan.reading, self.say))
        if WATCH in self.names:
            self._aside(WATCH, lambda: watching.measure(address, folder / WATCH, self.plan.window, self.say))
        if RESTORE in self.names:
            self._aside(RESTORE, lambda: restore.measure(address, folder / RESTORE, self.plan.rows, self.say))
        if REBUILD in self.names:
            events = self.plan.reading[1]
            self._aside(REBUILD, lambda: rebuild.measure(address, folder / REBUILD, events, self.plan.window, self.say))

    def _rounds(self, works: Sequence[Work]) -> None:
        for work in works:
            work.warm_up()
        for number in range(self.plan.rounds):
            self.say(f"round {number + 1} of {self.plan.rounds}, load {os.getloadavg()[0]:.1f}")
            for work in works:
                work.round(number)

    def _works(self, address: str, folder: Path) -> list[Work]:
        plan, figures = self.plan, self.figures
        race = Race(plan, figures, [MAKERS[name](self.say) for name in RACE if name in self.names], address, folder)
        made: dict[str, Work] = {
            CHAIN: ChainWork(plan, figures, address, folder), STORY: StoryWork(plan, figures, address, folder),
            FOLD: FoldWork(plan, figures, race, address, folder), LATENCY: LatencyWork(plan, figures, address, folder),
            ANSWERS: AnswersWork(plan, figures, address, folder),
        }  # fmt: skip
        return [race, *(work for name, work in made.items() if name in self.names)]

    def _aside(self, name: str, measured: Any) -> None:
        try:
            self.others[name] = measured()
        except (TimeoutError, RuntimeError) as error:
            self.figures.left_out[name] = str(error)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench ARGS=…", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="shorter windows, 3 rounds: not for figures that are kept")
    parser.add_argument("--json", action="store_true", help="the last line is one JSON object")
    default = ",".join(name for name in CHOICES if name not in ASIDE)
    parser.add_argument("--only", default=default, help=f"of {', '.join(CHOICES)}, with commas between; default: %(default)s")
    parser.add_argument("--broker", help="host:port of a Kafka to use; default: an embedded one")
    parser.add_argument("--output", type=Path, help=f"where the figures go; after a full run {RESULTS.name}")
    found = parser.parse_args()
    unknown = [name for name in found.only.split(",") if name not in CHOICES]
    if unknown:
        parser.error(f"--only names {', '.join(unknown)}; expected some of {', '.join(CHOICES)}")
    return found


def results_of(quick: bool, names: Collection[str]) -> Path | None:
    """Where the figures are kept; None for a run that is shorter, or has only some of them."""
    return RESULTS if not quick and {*RACE, *WORKS} <= set(names) else None


def results_aside(quick: bool, others: Mapping[str, Any]) -> dict[Path, Any]:
    """What of the others is kept, each in a file of its own; nothing of a run that is shorter."""
    return {} if quick else {RESULTS.with_name(f"{name}.json"): others[name] for name in (HISTORY, CORRECT) if name in others}


def main() -> int:
    """0; 1 if somebody has no figure; 130 after Ctrl-C."""
    asked = arguments()
    console = Console(stderr=asked.json)
    plan = QUICK if asked.quick else FULL
    names = asked.only.split(",")
    go = Benchmark(plan, names, console)
    windows = f"windows of {plan.window:.0f} s and more" + (", so no figures to keep" if asked.quick else "")
    go.say(f"this takes about {plan.seconds(names) / 60:.0f} minutes on two quiet cores: {plan.rounds} rounds, {windows}")
    with (
        tempfile.TemporaryDirectory(prefix="retold-bench-") as name,
        nullcontext("") if {*names} <= {HISTORY, CORRECT} else broker(asked.broker, Path(name, "broker"), go.say) as at,
    ):
        go.go(at, Path(name, "runs"))
    found = report.results(go.figures) | go.others
    found |= {
        "at": datetime.now(UTC).isoformat(timespec="seconds"), "quick": asked.quick, "rounds": plan.rounds,
        "seconds": round(time.monotonic() - go.started), "cores": os.cpu_count(), "python": sys.version.split()[0],
    }  # fmt: skip
    report.show(found, console)
    go.say(f"done; load {os.getloadavg()[0]:.1f}")
    if output := asked.output or results_of(asked.quick, names):
        output.write_text(json.dumps(found, indent=1) + "\n")
    for file, one in results_aside(asked.quick, go.others).items():
        file.write_text(json.dumps(one, indent=1) + "\n")
    if asked.json:
        print(json.dumps(found))
    return 1 if go.figures.left_out else 0


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # the contestant and the broker end with us
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        sys.exit(130)
