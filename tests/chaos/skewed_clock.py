"""The command `retold` by a clock that a test sets: `python -m tests.chaos.skewed_clock WORDS`.

CHAOS_CLOCK names a file of eight bytes: by how many ns the clock is ahead. It may change at any time. What the process measures
by the monotonic clock is not affected, as where a machine's clock is set. The process is killed with the one that started it.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import signal
import struct
import time
from pathlib import Path

CLOCK = "CHAOS_CLOCK"
PR_SET_PDEATHSIG = 1
_AHEAD = struct.Struct("<q")


def set_ahead(file: Path, seconds: float) -> None:
    """Of the process that has this file as its clock."""
    with file.open("r+b" if file.exists() else "w+b") as opened:
        opened.write(_AHEAD.pack(round(seconds * 1e9)))


def follow(file: Path) -> None:
    """From now on this process has the clock of `file`."""
    with file.open("rb") as opened:
        ahead = mmap.mmap(opened.fileno(), _AHEAD.size, access=mmap.ACCESS_READ)
    real = time.time_ns
    time.time_ns = lambda: real() + _AHEAD.unpack_from(ahead)[0]
    time.time = lambda: time.time_ns() / 1e9


if __name__ == "__main__":
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    follow(Path(os.environ[CLOCK]))
    from streams.cli import main  # late: after the clock

    main()
