"""A server ends in order, and says what it did not wait for."""

from __future__ import annotations

import subprocess
import sys

from streams.cli.process import exit_codes

PROGRAM = """
import threading
from streams.cli.process import server_ending
from streams.cli.process.shutdown import Shutdown, run_beside_signals

server_ending.SECONDS = {seconds}
shutdown = Shutdown()
shutdown.code = 7
ending = server_ending.ServerEnding(shutdown)

def work():
    ending.waits_for("the client that publishes")
    threading.Event().wait({lasts})

run_beside_signals("server", work=work, meanwhile=ending.look)
raise SystemExit(8)
"""


def ended(seconds: float, lasts: float) -> tuple[int, str]:
    """The exit code of a process that waits for so long (s) at its end, of which `seconds` are allowed; and what it says."""
    program = PROGRAM.format(seconds=seconds, lasts=lasts)
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    return found.returncode, found.stderr


def test_what_holds_a_server_up_is_named() -> None:
    """And not waited for; with time enough it is."""
    code, said = ended(0.1, 60)
    assert (code, "ends without the client that publishes" in said, "in work" in said) == (7, True, True), said
    assert ended(60, 0.2) == (8, "")


def test_why_a_process_ends_is_said_once() -> None:
    """Whoever looks after it sees the fault again until the process has ended."""
    program = PROGRAM.partition("def work")[0]
    program += "shutdown.code = 0\nfor _ in range(3):\n    ending.fail('it is gone')\nraise SystemExit(shutdown.code)"
    found = subprocess.run(
        [sys.executable, "-c", program.format(seconds=1)], capture_output=True, text=True, timeout=60, check=False
    )
    assert (found.returncode, found.stderr) == (exit_codes.FAULT, "A process of the server ends: it is gone.\n")
