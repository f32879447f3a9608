"""How a worker's start is shown: restoring with a bar, then one line when it is ready."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import TYPE_CHECKING, Self

from streams.cli.progress import Advance, bar
from streams.cli.screen import talk

if TYPE_CHECKING:
    from streams.worker.run import Snapshot


class Watching:
    """Called several times a second with how each namespace is doing. `also` says whether all the rest is ready."""

    def __init__(self, also: Callable[[], bool]) -> None:
        self._also = also
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
        if done < total:
            self._restoring(done, total)
        if all(shot.ready for shot in namespaces) and self._also():
            self._open.close()
            self._ready = True
            talk(f"Ready: {', '.join(shot.namespace for shot in namespaces)}. Ctrl-C ends it.")

    def _restoring(self, done: int, total: int) -> None:
        if self._bar is None or self._bar[0] != total:
            self._open.close()
            self._bar = (total, self._open.enter_context(bar("restoring", total, "records")))
        self._bar[1](done)
