"""A command of retold in a process of its own, which ends with this one, however this one ends."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Self

SECONDS_TO_STOP = 20.0


class ChildProcess:
    """`ChildProcess("worker", "--wait", "60")`: a command that takes --ends-with-stdin. Leaving its block ends it.

    Its stdin is a pipe that is never written to. Closing it asks the child to end, and a process that is killed closes
    it too. Without `environ` and `folder` it has ours, and by that the same settings. `stdout` and `stderr` are as in
    subprocess; without them it writes where we do. `keep` are numbers of open files that it shall have as well.
    Raises OSError if it cannot be started.
    """

    def __init__(
        self,
        *words: str,
        environ: Mapping[str, str] | None = None,
        folder: Path | None = None,
        stdout: IO[bytes] | int | None = None,
        stderr: IO[bytes] | int | None = None,
        keep: Sequence[int] = (),
    ) -> None:
        self.process = subprocess.Popen(
            # -P: what lies in the current folder hides none of the modules that retold imports
            [sys.executable, "-P", "-m", "streams.cli", *words, "--ends-with-stdin"],
            cwd=folder,
            env=environ,
            stdin=subprocess.PIPE,
            stdout=stdout,
            stderr=stderr,
            pass_fds=keep,
            start_new_session=True,  # Ctrl-C in the terminal is ours to answer
        )

    @property
    def code(self) -> int | None:
        """Its exit code, the negative number of the signal that ended it, or None while it runs."""
        return self.process.poll()

    def ask(self) -> None:
        """Asks it to end, and does not wait for that."""
        assert self.process.stdin is not None
        self.process.stdin.close()

    def stop(self, seconds: float = SECONDS_TO_STOP) -> int:
        """Ends it, by force after `seconds`. Gives `code`; nothing happens if it has ended."""
        self.ask()
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self.process.wait(seconds)
        self.process.kill()
        return self.process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()
