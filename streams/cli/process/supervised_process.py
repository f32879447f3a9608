"""Commands that run beside this one and are restarted: the server of `retold run`, the workers of `retold worker --processes`."""

from __future__ import annotations

import os
import re
import subprocess
import threading
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Self

from streams.cli.output.readiness import READY
from streams.cli.output.screen import talk
from streams.cli.process import exit_codes
from streams.cli.process.child_process import ChildProcess
from streams.cli.process.shutdown import Shutdown
from streams.engine.readable import in_a_line
from streams.errors import how_ended

LINE = re.compile(rf"^{re.escape(READY)}.*(?=\n)", re.MULTILINE)
MOST_TEXT = 10_000
"""Bytes of what it wrote before it was ready, such as by a `print` of the application."""
LEAST_PAUSE, MOST_PAUSE, FOREVER = 1.0, 30.0, float("inf")
"""s before a restart: the least after it was ready, twice as long each time that it was not."""


class SupervisedProcess:
    """A child process that is restarted when it ends by itself, until `shutdown` or the end of the block.

    It writes a line that begins with `READY` to stdout when it is ready: `line`. `ready` is set then, as long as it runs, and
    `starts` counts these times. `running` is False before it is started, and once it has ended. `name` begins a sentence.

    If `final` says so of the exit code that it ended with, it has said why itself, and everything ends with that code; with
    `waits`, it waits for `restart` instead. If supervising fails, everything ends.
    """

    def __init__(
        self,
        name: str,
        words: Sequence[str],
        shutdown: Shutdown,
        *,
        final: Callable[[int], bool],
        environ: Mapping[str, str] | None = None,
        keep: Sequence[int] = (),
        waits: bool = False,
    ) -> None:
        self.ready, self.pid, self.running = threading.Event(), 0, False
        self.starts, self.line = 0, ""
        self.name, self._words, self._shutdown, self._final = name, words, shutdown, final
        self._environ, self._keep, self._waits = environ, keep, waits
        self._again = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name)

    def restart(self) -> None:
        """Ends it and starts it again, with the code as it is then. From any thread."""
        self._again.set()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._shutdown.stop.set()
        self._thread.join()

    def _run(self) -> None:
        try:
            self._supervise()
        except BaseException as error:  # noqa: BLE001 - whatever it is, a process must not go on, or be missing, unnoticed
            what = f"{self.name} cannot be supervised, by a fault of retold's own ({in_a_line(error)}). Everything ends."
            talk(f"{what}\n{''.join(traceback.format_exception(error)).rstrip()}")
            self._shutdown.end(exit_codes.FAULT)

    def _supervise(self) -> None:
        pause, stop = LEAST_PAUSE, self._shutdown.stop
        while not stop.is_set():
            was_ready, why = self._once()
            if stop.is_set():
                return
            if self._again.is_set():
                self._again.clear()
                continue
            if why is None:
                talk(f"{self.name} has ended; it is started again when a file of the project changes.")
                self._wait(FOREVER)
                continue
            pause = LEAST_PAUSE if was_ready else pause
            talk(f"{self.name} {why}; restarting it in {pause:.0f} s. Everything else keeps running.")
            pause = LEAST_PAUSE if self._wait(pause) else min(2 * pause, MOST_PAUSE)

    def _wait(self, seconds: float) -> bool:
        """Wait so long, or until everything stops, or until `restart`: then True."""
        until = time.monotonic() + seconds
        while time.monotonic() < until and not self._again.is_set() and not self._shutdown.stop.wait(0.05):
            pass
        again = self._again.is_set()
        if again:
            self._again.clear()
        return again

    def _once(self) -> tuple[bool, str | None]:
        """From its start to its end: whether it was ready, and how it ended; None: for good, until the code changes."""
        try:
            child = self.start_child()
        except OSError as error:
            return False, f"could not be started ({error.strerror})"
        ready, text, self.pid, self.running = False, b"", child.process.pid, True
        said = child.process.stdout
        assert said is not None
        with said, child:
            os.set_blocking(said.fileno(), False)
            while child.code is None and not self._again.is_set() and not self._shutdown.stop.wait(0.1):
                text += said.read() or b""
                if not ready and (found := LINE.search(text.decode(errors="replace"))):
                    ready = True
                    self.is_ready(found[0])
                text = text[-MOST_TEXT:]
        self.running = False
        self.ready.clear()
        code = child.code or 0
        if self._final(code) and not self._shutdown.stop.is_set() and not self._again.is_set():
            if self._waits:
                return ready, None
            self._shutdown.end(code)
        return ready, how_ended(code)

    def start_child(self, *words: str, keep: Sequence[int] = ()) -> ChildProcess:
        """A new one, with words and open files beside those that each has. Raises OSError."""
        return ChildProcess(
            *self._words, *words, environ=self._environ, stdout=subprocess.PIPE, keep=[*self._keep, *keep]
        )

    def is_ready(self, line: str) -> None:
        """Called when the process has written this line."""
        self.line, self.starts = line, self.starts + 1
        self.ready.set()


class ReadyAgain:
    """Says once each time that all of them are ready: at first, and when one of them was started again."""

    def __init__(self, processes: Sequence[SupervisedProcess]) -> None:
        self._processes = processes
        self._last: list[int] = []

    def __call__(self) -> bool:
        starts = [process.starts for process in self._processes]
        if starts == self._last or not all(process.ready.is_set() for process in self._processes):
            return False
        self._last = starts
        return True
