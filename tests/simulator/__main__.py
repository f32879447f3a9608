"""Runs by seeds: `python -m tests.simulator --seeds 2000`; one of them, line by line: `--seed 17 --trace`."""

from __future__ import annotations

import argparse
import gc
import json
import logging
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import structlog

from tests.simulator.against_kafka import against_kafka
from tests.simulator.faults import Fault
from tests.simulator.seeded import SeededRun
from tests.simulator.switched_off import RULES

SHOWN = 120
"""Characters of what was found."""


@dataclass
class Result:
    """`failure` is empty if all that must hold did."""

    seed: int
    failure: str
    faults: int
    events: int
    trace: list[str]


def run(seed: int, plan: Sequence[Fault] | None = None, without: str | None = None) -> Result:
    """One run; `without` is a rule that is switched off."""
    result = _ran(seed, plan, without)
    gc.collect()  # else the runs of a process add up
    return result


def _ran(seed: int, plan: Sequence[Fault] | None, without: str | None) -> Result:
    logging.disable(logging.CRITICAL)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    with tempfile.TemporaryDirectory() as state, RULES[without]() if without else nullcontext():
        made = SeededRun(seed, Path(state), plan)
        failure = ""
        try:
            made.run()
        except Exception as error:  # noqa: BLE001 - whatever it is, it is what the run found
            failure = f"{type(error).__name__}: {error}"
        made.forget()
        return Result(seed, failure, made.trouble.happened, len(made.publisher.published), made.trouble.trace)


def _uncollected() -> None:
    """In a process of runs: each collects what it leaves at its end, and nothing is found in what was imported."""
    gc.disable()
    gc.freeze()


def shortest(seed: int, failure: str, without: str | None = None) -> list[Fault]:
    """The faults of a seed without those that it fails without, too. It may fail for another reason then: the kind stays."""
    with tempfile.TemporaryDirectory() as state:
        plan = SeededRun(seed, Path(state)).plan
    kind = failure.partition(":")[0]
    for fault in list(plan):
        fewer = [it for it in plan if it is not fault]
        if run(seed, fewer, without).failure.partition(":")[0] == kind:
            plan = fewer
    return plan


def as_test(seed: int, plan: Sequence[Fault]) -> str:
    listed = "".join(f"        {fault!r},\n" for fault in plan)
    return (
        f"def test_seed_{seed}(tmp_path: Path) -> None:\n"
        f'    """…"""\n    SeededRun({seed}, tmp_path, [\n{listed}    ]).run()\n'
    )


def main() -> int:
    parser = argparse.ArgumentParser(prog="make simulate", description=__doc__)
    parser.add_argument("--seeds", type=int, default=200, help="how many runs")
    parser.add_argument("--from", type=int, default=0, dest="first", help="the first seed")
    parser.add_argument("--seed", type=int, help="this run alone")
    parser.add_argument("--trace", action="store_true", help="with --seed: what happened in it")
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    parser.add_argument("--without", choices=list(RULES), help="switch a rule off, and end at the first seed that finds it")
    parser.add_argument("--rules", nargs="?", const="", metavar="TEXT", help="switch off each rule in turn whose name begins so")
    parser.add_argument("--against-kafka", type=int, metavar="N", help="play N scripts on a real Kafka too, and compare")
    parser.add_argument("--keep", type=Path, help="with --against-kafka: add scripts that show no difference to this file")
    given = parser.parse_args()
    if given.against_kafka is not None:
        return 1 if against_kafka(given.against_kafka, given.keep) else 0
    if given.rules is not None:
        return _rules(given.rules, given.first, given.seeds)
    seeds = [given.seed] if given.seed is not None else range(given.first, given.first + given.seeds)
    began, faults, events, failed = time.monotonic(), 0, 0, list[Result]()
    with ProcessPoolExecutor(os.cpu_count(), initializer=_uncollected) as pool:
        for result in pool.map(run, seeds, [None] * len(seeds), [given.without] * len(seeds)):
            faults, events = faults + result.faults, events + result.events
            if result.failure:
                failed.append(result)
                print(f"seed {result.seed}: {result.failure[:1000]}", file=sys.stderr)
            if given.trace and given.seed is not None:
                print("\n".join(result.trace))
            if failed and given.without:
                pool.shutdown(wait=False, cancel_futures=True)
                break
    for result in failed[:1]:
        plan = shortest(result.seed, result.failure, given.without)
        print(f"The shortest list of faults that fails so:\n\n{as_test(result.seed, plan)}", file=sys.stderr)
    seconds = time.monotonic() - began
    if given.json:
        counts = {"seeds": len(seeds), "faults": faults, "events": events, "failed": len(failed), "seconds": round(seconds, 1)}
        print(json.dumps(counts))
    else:
        print(f"{len(seeds):,} seeds, {events:,} events, {faults:,} faults, {len(failed)} failed, in {seconds:.0f} s")
    return 1 if failed else 0


def _rules(begin: str, first: int, most: int) -> int:
    """Say after how many seeds each is found, and by what: a run that ends for another reason has not found it."""
    missed = 0
    for rule in [rule for rule in RULES if rule.startswith(begin)]:
        failures = ((seed, failure) for seed in range(first, first + most) if (failure := run(seed, None, rule).failure))
        found = next(failures, None)
        missed += found is None
        says = f"not found in {most} seeds" if found is None else f"found after {found[0] - first + 1} seeds: {found[1][:SHOWN]}"
        print(f"{rule}: {says}", flush=True)
    return 1 if missed else 0


if __name__ == "__main__":
    if os.environ.get("PYTHONHASHSEED") != "0":  # the order of a set of names is chosen anew in each process otherwise
        os.execve(sys.executable, [sys.executable, "-m", "tests.simulator", *sys.argv[1:]], {**os.environ, "PYTHONHASHSEED": "0"})
    sys.exit(main())


