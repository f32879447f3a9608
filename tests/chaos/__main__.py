"""Runs by seeds on a real Kafka, with faults: `python -m tests.chaos --seeds 20`; one of them: `--seed 17`.

The exit code is 1 if a run failed.
"""

from __future__ import annotations

import argparse
import json
import logging
import shlex
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from tests.chaos.chaos_applications import APPLICATIONS
from tests.chaos.chaos_report import SeedResult, kind_lines, totals
from tests.chaos.plan import KINDS, Plan, Size, plan_of
from tests.chaos.seed_run import SeedRun
from tests.chaos.small_disk import with_own_mounts


def main() -> int:
    given = arguments()
    size = Size(given.events, given.seconds, given.faults)
    applications, kinds = given.only or list(APPLICATIONS), given.kinds or list(KINDS)
    seeds = [given.seed] if given.seed is not None else range(given.first, given.first + given.seeds)
    logging.getLogger("asyncio").setLevel(logging.ERROR)  # connections that are cut are written to for a while
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that every block is left, and ends what it has started
    results: list[SeedResult] = []
    until = time.monotonic() + 60 * given.minutes
    for seed in seeds:
        if time.monotonic() > until:
            print(f"{given.minutes:g} minutes are over: seed {seed} and those behind it are not run.", file=sys.stderr)
            break
        plan = plan_of(seed, applications, size, kinds)
        results.append(run(plan, given.keep))
        print(results[-1].line(), file=sys.stderr, flush=True)
        if given.pauses:
            print("\n".join([*results[-1].plan.lines(), *results[-1].pause_lines()]), file=sys.stderr, flush=True)
        if results[-1].failed:
            _tell(results[-1], given)
    found = totals(results)
    if given.json:
        print(json.dumps(found))
    else:
        print(
            f"{found['seeds']} seeds, {found['faults']} faults, {found['events']:,} events: {found['lost']} lost, "
            f"{found['doubled']} doubled, {found['misordered']} misordered, {found['unequal']} unequal, {found['hung']} hung; "
            f"longest pause {found['longest_pause_s']} s; in {found['seconds']:.0f} s"
        )
        print("\n".join(kind_lines(found["kinds"])))
        if found["not_run"]:
            print(f"Not run on this machine: {', '.join(found['not_run'])}")
    return 1 if found["failed"] else 0


def run(plan: Plan, keep: Path | None = None) -> SeedResult:
    """What the processes leave is kept in a folder of `keep`, and Kafka's data if the run failed: they tell what happened."""
    folder = Path(tempfile.mkdtemp(prefix=f"retold-chaos-{plan.seed}-"))
    try:
        result = SeedRun(plan, folder).run()
        if keep is not None:
            failed = bool(result.hung or result.failures)
            without = None if failed else shutil.ignore_patterns("data")
            shutil.copytree(folder, keep / f"seed-{plan.seed}", dirs_exist_ok=True, ignore=without)
        return result
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _tell(result: SeedResult, given: argparse.Namespace) -> None:
    """What failed, the plan, and how to run it again."""
    names = ("events", "seconds", "faults", "only", "kinds")
    values = {name: ",".join(it) if isinstance(it := getattr(given, name), list) else it for name in names}
    options = "".join(f" --{name} {shlex.quote(str(value))}" for name, value in values.items() if value is not None)
    for text in [*([f"hung: {result.hung}"] if result.hung else []), *result.failures]:
        print(f"  {text}", file=sys.stderr)
    print("\n".join(result.plan.lines()), file=sys.stderr)
    print(f'Run it again: make chaos ARGS="--seed {result.plan.seed}{options} --keep FOLDER"', file=sys.stderr, flush=True)


def among(names: Iterable[str]) -> Callable[[str], list[str]]:
    """Reads names with commas between them."""

    def read(text: str) -> list[str]:
        found = [name.strip() for name in text.split(",")]
        if unknown := [name for name in found if name not in names]:
            raise argparse.ArgumentTypeError(f"{unknown[0]!r} is none of: {', '.join(names)}")
        return found

    return read


def at_least(least: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not text.isdecimal() or int(text) < least:
            raise argparse.ArgumentTypeError(f"{text!r} was given, and a whole number of at least {least} was expected")
        return int(text)

    return read


def arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make chaos", description=__doc__)
    parser.add_argument("--seeds", type=at_least(1), default=20, help="how many runs")
    parser.add_argument("--from", type=int, default=0, dest="first", help="the first seed")
    parser.add_argument("--seed", type=int, help="this run alone")
    parser.add_argument("--events", type=at_least(1), default=Size.events, help="how many events are published in each run")
    parser.add_argument("--seconds", type=at_least(2), default=Size.seconds, help="for how long that is done, and faults happen")
    parser.add_argument("--faults", type=at_least(0), default=Size.faults, help="how many faults happen in each run")
    parser.add_argument("--only", type=among(APPLICATIONS), help=f"applications, with commas: {', '.join(APPLICATIONS)}")
    parser.add_argument("--kinds", type=among(KINDS), help=f"kinds of faults, with commas: {', '.join(KINDS)}")
    parser.add_argument("--minutes", type=float, default=55.0, help="begin no run after so many minutes")
    parser.add_argument("--keep", type=Path, help="a folder for what the processes of each run leave")
    parser.add_argument("--pauses", action="store_true", help="show each plan, and its longest pauses")
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    return parser.parse_args(words)


if __name__ == "__main__":
    with_own_mounts(["tests.chaos", *sys.argv[1:]])
    try:
        code = main()
    except KeyboardInterrupt:
        code = 130
    sys.stdout.flush()
    sys.exit(code)
