"""A process that stays up, asked what it does."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import os, signal
from streams.cli.process.shutdown import Shutdown

def somewhere():
    os.kill(os.getpid(), signal.SIGUSR1)

Shutdown()
somewhere()
print("goes on")
"""


def test_a_process_says_where_its_threads_are() -> None:
    """At SIGUSR1, for whoever looks at one that hangs; it goes on."""
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "goes on\n"
    assert "in somewhere" in done.stderr
