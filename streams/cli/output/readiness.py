"""Reports when a worker or a server is ready, and what it waits for until then."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import TYPE_CHECKING, Self

from streams.cli.output.progress import Advance, bar
from streams.cli.output.screen import say, talk

if TYPE_CHECKING:
    from streams.worker.run import NamespaceProgress

REPORT_EVERY = 10.0
"""s between two reports of what a server waits for."""


READY = "Ready: "
"""How the line begins that a program reads."""


def report_ready(what: str, to_program: bool) -> None:
    """To an operator on stderr; to the program that started this, on stdout."""
    if to_program:
        say(f"{READY}{what}")
    else:
        talk(f"{READY}{what}. Press Ctrl-C to stop.")


class WorkerReadinessReporter:
    """Called several times a second with how each namespace is doing. `also` says whether all the rest is ready.

    A program that started the worker reads one line on stdout, and there is no bar.
    """

    def __init__(self, also: Callable[[], bool] = lambda: True, *, to_program: bool = False) -> None:
        self._also, self._to_program = also, to_program
        self._bar: tuple[int, Advance] | None = None
        self._open = ExitStack()
        self._ready = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._open.close()

    def __call__(self, namespaces: Sequence[NamespaceProgress]) -> None:
        if self._ready:
            return
        progress = [shot.restoring for shot in namespaces if shot.restoring is not None]
        done, total = sum(part[0] for part in progress), sum(part[1] for part in progress)
        if done < total and not self._to_program:
            self._show_restore(done, total)
        if all(shot.ready for shot in namespaces) and self._also():
            self._open.close()
            self._ready = True
            report_ready(", ".join(shot.namespace for shot in namespaces), self._to_program)

    def _show_restore(self, done: int, total: int) -> None:
        if self._bar is None or self._bar[0] != total:
            self._open.close()
            self._bar = (total, self._open.enter_context(bar("restoring", total, "records")))
        self._bar[1](done)


class ServerReadinessReporter:
    """Called several times a second with what the server waits for. Its reader is an operator, or the program that started it."""

    def __init__(self, url: str, *, to_program: bool) -> None:
        self._url, self._to_program = url, to_program
        self._ready, self._last = False, time.monotonic()
        if not to_program:
            talk(f"Listening at {url}; reading tables and event logs.")

    def __call__(self, waits: str | None) -> None:
        """Reports once that the server is ready; until then, every 10 s, why it is not."""
        if self._ready:
            return
        if waits is None:
            self._ready = True
            if self._to_program:
                say(f"{READY}{self._url}")
            else:
                talk("Ready. Press Ctrl-C to stop.")
        elif time.monotonic() - self._last >= REPORT_EVERY:
            self._last = time.monotonic()
            talk(f"The server is not ready: {waits}.")
