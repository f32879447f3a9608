"""How a worker's start is shown: restoring with a bar, then one line when it is ready."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import TYPE_CHECKING, Self

from streams.cli.progress import Advance, bar
from streams.cli.screen import say, talk

if TYPE_CHECKING:
    from streams.worker.run import Snapshot


def tell_ready(what: str, to_program: bool) -> None:
    """To a person on stderr; to the program that began this, on stdout."""
    if to_program:
        say(f"Ready: {what}")
    else:
        talk(f"Ready: {what}. Ctrl-C ends it.")


class Watching:
    """Called several times a second with how each namespace is doing. `also` says whether all the rest is ready.

    A program that began the worker reads one line on stdout, and there is no bar.
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

    def __call__(self, namespaces: Sequence[Snapshot]) -> None:
        if self._ready:
            return
        progress = [shot.restoring for shot in namespaces if shot.restoring is not None]
        done, total = sum(part[0] for part in progress), sum(part[1] for part in progress)
        if done < total and not self._to_program:
            self._restoring(done, total)
        if all(shot.ready for shot in namespaces) and self._also():
            self._open.close()
            self._ready = True
            tell_ready(", ".join(shot.namespace for shot in namespaces), self._to_program)

    def _restoring(self, done: int, total: int) -> None:
        if self._bar is None or self._bar[0] != total:
            self._open.close()
            self._bar = (total, self._open.enter_context(bar("restoring", total, "records")))
        self._bar[1](done)
