"""The command `retold` in processes of its own, as a user or a supervisor runs it."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.support.prepared_commands import PROJECT, PreparedCommands
from tests.support.stacks import read_stacks

LAST_WORDS = 6_000
"""Characters of a log that are shown with a failure, before the stacks."""


def environment(broker: str, prefix: str, state: Path, **others: str) -> dict[str, str]:
    """The variables of a project of its own on this broker; a server takes any port that is free."""
    ours = {"BROKER": broker, "PREFIX": prefix, "STATE": str(state), "HTTP_PORT": "0"}
    settings = {**ours, **{k.upper(): v for k, v in others.items()}}
    return {**os.environ, **{f"RETOLD_{name}": value for name, value in settings.items()}}


def retold(*words: str, env: Mapping[str, str], folder: Path = PROJECT, timeout: float = 240.0) -> subprocess.CompletedProcess[str]:
    """Run a command to its end; whoever asks looks at its exit code.

    Its process has what it imports already. Where that is what is tested, the test starts Python itself.
    """
    return COMMANDS.run(words, env, folder, timeout)


COMMANDS = PreparedCommands()


def answer(*words: str, env: Mapping[str, str], timeout: float = 240.0) -> Any:
    """The JSON that a command ends with."""
    done = retold(*words, "--json", env=env, timeout=timeout)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


class Process:
    """What stays up, in a process of its own; leaving the block ends it, cleanly unless it was killed.

    `program` is the module that is run, with the command's words.
    """

    def __init__(
        self, *words: str, env: Mapping[str, str], log: Path, folder: Path = PROJECT, program: str = "streams.cli"
    ) -> None:
        self.log, self._log = log, log.open("ab")
        command = [sys.executable, "-m", program, *words]
        self.process = subprocess.Popen(
            command, env=dict(env), cwd=folder, stdout=self._log, stderr=self._log, stdin=subprocess.DEVNULL
        )

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Its exit code. Who does not listen for a minute is killed, and fails the test; the log then ends with its stacks."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            return self.ended(60)
        except subprocess.TimeoutExpired as late:
            late.add_note(self._killed())
            raise

    def _killed(self) -> str:
        """What it said and what its threads did before."""
        told = self._last_words()
        self.process.kill()
        self.ended(10)
        return told

    def _last_words(self) -> str:
        """The end of its log, and the stacks of its threads if it still runs."""
        said = self.log.read_text(errors="replace")
        told = f"what {self.log.name} ends with:\n{said[-LAST_WORDS:]}"
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGUSR1)
            time.sleep(2)  # nothing tells when all is written
            told += f"\nits threads:\n{read_stacks(self.log.read_text(errors='replace')[len(said) :])}"
        return told

    def ended(self, seconds: float) -> int:
        """Its exit code, when it ends by itself."""
        code = self.process.wait(seconds)
        self._log.close()
        return code

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if isinstance(error, AssertionError):  # its folder may be gone before somebody looks
            error.add_note(self._last_words())
        try:
            self.stop()
        except subprocess.TimeoutExpired as late:
            if error is None:
                raise
            error.add_note("\n".join([f"and it had to be killed: {late}", *late.__notes__]))


def broker_began(before: Mapping[int, str]) -> int:
    """The process of the broker that was started since `before`; beside it, Java may prepare a later start."""
    began = {pid: words for pid, words in descendants(os.getpid()).items() if pid not in before}
    [broker] = [pid for pid, words in began.items() if " kafka.Kafka " in words and words.split()[0].endswith("java")]
    return broker


def stand_still(pid: int) -> None:
    """Stop a process until SIGCONT. On a busy machine its other threads go on for a moment after the signal."""
    os.kill(pid, signal.SIGSTOP)
    deadline = time.monotonic() + 30
    while not all(_state(task) == "T" for task in Path(f"/proc/{pid}/task").iterdir()):
        assert time.monotonic() < deadline, f"process {pid} does not stop"
        time.sleep(0.01)


def _state(task: Path) -> str:
    """One letter, behind the name in brackets; of a thread that has just ended as of one that stands still."""
    try:
        return (task / "stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return "T"


def catches(pid: int, number: int) -> bool:
    """Whether a process has a handler for the signal `number`."""
    found = re.search(r"^SigCgt:\s*([0-9a-f]+)$", Path(f"/proc/{pid}/status").read_text(encoding="utf-8"), re.MULTILINE)
    return found is not None and bool(int(found[1], 16) >> (number - 1) & 1)


def is_there(pid: int) -> bool:
    """Whether a process has not ended; one that nobody has waited for has."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def descendants(pid: int) -> dict[int, str]:
    """The processes that it began, and those that these began, each with its command."""
    found: dict[int, str] = {}
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # a thread, or a process, that has just ended
            for child in map(int, (task / "children").read_text().split()):
                found |= {child: Path(f"/proc/{child}/cmdline").read_text().replace("\0", " "), **descendants(child)}
    return found
