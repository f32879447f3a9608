"""When what stays up shall end: Ctrl-C, SIGTERM, or the end of the program that began it."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

from streams.cli import exits
from streams.cli.screen import is_terminal, talk

T = TypeVar("T")
GRACE = 1.0
"""s that what is begun has to come to its own end."""


class Ending:
    """Set by a signal, by the end of stdin or by `end`; `code` is the exit code. To be made in the main thread."""

    def __init__(self, with_stdin: bool = False) -> None:
        self.stop, self.code = threading.Event(), exits.OK
        signal.signal(signal.SIGINT, self._on_signal)
        signal.signal(signal.SIGTERM, self._on_signal)
        if with_stdin:
            threading.Thread(target=self._with_stdin, daemon=True).start()

    def end(self, code: int) -> None:
        """From any thread."""
        self.code = code
        self.stop.set()

    def unless_ended(self, act: Callable[[], T]) -> T | None:
        """What `act` gives or raises; None if the end came first. A broker that is away may hold `act`: it is left to itself."""
        found: Future[T] = Future()

        def run() -> None:
            try:
                found.set_result(act())
            except BaseException as error:  # noqa: BLE001 - raised again by whoever asks
                found.set_exception(error)

        threading.Thread(target=run, daemon=True).start()
        deadline: float | None = None
        while not found.done():
            time.sleep(0.02)  # not in a wait for `stop`: a signal that sets it then would wait for its lock for ever
            if self.stop.is_set():
                deadline = deadline or time.monotonic() + GRACE
                if time.monotonic() > deadline:
                    return None
        if self.stop.is_set() and found.exception(0) is not None:
            return None
        return found.result(0)

    def _on_signal(self, number: int, _: object) -> None:
        back = "\r" if is_terminal() else ""  # over the ^C that the terminal shows
        if number == signal.SIGINT and self.code == exits.INTERRUPTED:
            talk(f"{back}Ended at once. What was begun is not lost: it is aborted, and done again.")
            os._exit(exits.INTERRUPTED)  # a broker that is away may hold a thread in the client for as long as it is
        if number == signal.SIGINT:
            self.code = exits.INTERRUPTED
            talk(f"{back}Stopping: what was begun is finished first; Ctrl-C again ends at once.")
        self.stop.set()

    def _with_stdin(self) -> None:
        # Not sys.stdin.read: a thread that is in it when Python ends is a fatal error.
        while os.read(sys.stdin.fileno(), 4096):
            pass
        self.stop.set()
