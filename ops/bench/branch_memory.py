"""`python -m ops.bench.branch_memory FILE`: kB that a branch takes for each event, where all of a bank is decided again."""

from __future__ import annotations

import sqlite3
import sys
from pathlib import Path

from streams.codec import codec_of
from streams.history.branch.branch import what_if
from streams.history.code.application_handlers import ApplicationHandlers
from streams.history.stored.stored_past import StoredPast
from tests.applications import bank


def resident() -> int:
    """kB of memory that this process has now."""
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS:"))


def main(file: str) -> None:
    app = bank.app()
    codec = codec_of(app)
    past = StoredPast(sqlite3.connect(file), codec)
    for _ in zip(range(1_000), past.events(), strict=False):
        pass
    before = resident()
    branch = what_if(past, ApplicationHandlers(app, codec), everything=True)
    print((resident() - before) / branch.difference.decided)


if __name__ == "__main__":
    main(sys.argv[1])
