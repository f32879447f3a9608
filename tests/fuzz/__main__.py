"""`make fuzz`: random requests for some minutes, by new seeds, until something is found or the time is over."""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from pathlib import Path

from tests.fuzz.api_fuzz import ApiFuzz, fuzzed_shop


def main() -> int:
    parser = argparse.ArgumentParser(prog="make fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=180.0, help="how long (default: 180)")
    parser.add_argument("--seed", type=int, help="this one alone")
    parser.add_argument("--examples", type=int, default=10, help="right and wrong requests of each operation, by each seed")
    given = parser.parse_args()
    until, asked = time.monotonic() + given.seconds, 0
    while time.monotonic() < until:
        number = random.randrange(2**32) if given.seed is None else given.seed
        with tempfile.TemporaryDirectory() as folder, fuzzed_shop(Path(folder)) as (url, spec):
            fuzz = ApiFuzz(url, spec, number, given.examples)
            fuzz.run(until)
        asked += fuzz.statuses.total()
        told = ", ".join(f"{count} of {status}" for status, count in sorted(fuzz.statuses.items()))
        print(f"seed {number}: {fuzz.statuses.total()} answers ({told}), {len(fuzz.findings)} findings", flush=True)
        if fuzz.findings:
            print(*fuzz.findings.values(), f"again: make fuzz ARGS=\"--seed {number}\"", sep="\n")
            return 1
        if given.seed is not None:
            break
    print(f"{asked} answers, nothing found")
    return 0


if __name__ == "__main__":
    sys.exit(main())
