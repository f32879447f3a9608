"""The shutdown of a command that stays up: on Ctrl-C, on SIGTERM, or with the program that started it."""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

from streams.cli.output.screen import is_terminal, talk
from streams.cli.process import exit_codes

T = TypeVar("T")
GRACE = 1.0
"""s that work in progress has to finish."""
STDERR = 2


class Shutdown:
    """`stop` is set by a signal, by the end of stdin or by `end`; `code` is the exit code. To be made in the main thread.

    From then on SIGUSR1 writes the stack of every thread to stderr, also if one of them holds up all others.
    """

    def __init__(self, with_stdin: bool = False) -> None:
        self.stop, self.code = threading.Event(), exit_codes.OK
        signal.signal(signal.SIGINT, self._on_signal)
        signal.signal(signal.SIGTERM, self._on_signal)
        faulthandler.register(signal.SIGUSR1, file=STDERR, all_threads=True)
        if with_stdin:
            threading.Thread(target=self._with_stdin, daemon=True).start()

    def end(self, code: int) -> None:
        """From any thread."""
        self.code = code
        self.stop.set()

    def unless_stopped(self, act: Callable[[], T]) -> T | None:
        """What `act` returns or raises; None if the shutdown came first. `act` may wait for a broker: it is left behind then."""
        found = Future[T]()
        threading.Thread(target=_settle, args=(found, act), daemon=True).start()
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
        if number == signal.SIGINT and self.code == exit_codes.INTERRUPTED:
            talk(
                f"{back}Stopped at once. Nothing is lost: open transactions are aborted, their events are handled again."
            )
            # Not sys.exit: a broker that is away may hold a thread in the client for as long as it is away.
            os._exit(exit_codes.INTERRUPTED)
        if number == signal.SIGINT:
            self.code = exit_codes.INTERRUPTED
            talk(f"{back}Stopping after work in progress; press Ctrl-C again to stop at once.")
        self.stop.set()

    def _with_stdin(self) -> None:
        # Not sys.stdin.read: a thread that is in it when Python ends is a fatal error.
        while os.read(sys.stdin.fileno(), 4096):
            pass
        self.stop.set()


def run_beside_signals(name: str, work: Callable[[], T], meanwhile: Callable[[], None] = lambda: None) -> T:
    """Runs `work` to its end in a thread of this name, so that the main thread answers signals, and looks after `meanwhile`.

    Gives what `work` returns, or raises what it raises.
    """
    found = Future[T]()
    thread = threading.Thread(target=_settle, args=(found, work), name=name)
    thread.start()
    while thread.is_alive():
        thread.join(0.1)  # with a limit, so that signals are answered
        meanwhile()
    return found.result(0)


def _settle(future: Future[T], act: Callable[[], T]) -> None:
    try:
        future.set_result(act())
    except BaseException as error:  # noqa: BLE001 - raised again by whoever asks for the result
        future.set_exception(error)
