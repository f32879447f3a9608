"""Processes that leave others little of the machine's processors."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence

LOOPS = 6
"""More than the machine has processors, as where tests or a build run beside."""
PROGRAM = """
import sys, time
until = time.monotonic() + float(sys.argv[1])
while time.monotonic() < until:
    sum(range(10_000))
"""
SPARE = 5.0
"""s after which they end by themselves, if nobody has ended them."""


class BusyMachine:
    """From now on until `end`, which comes after `seconds`."""

    def __init__(self, seconds: float, loops: int = LOOPS) -> None:
        command = [sys.executable, "-I", "-S", "-c", PROGRAM, str(seconds + SPARE)]
        self._loops: Sequence[subprocess.Popen[bytes]] = [subprocess.Popen(command) for _ in range(loops)]

    def end(self) -> None:
        for it in self._loops:
            it.kill()
        for it in self._loops:
            it.wait()
