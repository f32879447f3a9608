"""Work in steps: each asks a broker something that ends in time, and says how long to wait before the next one.

So many pieces of work share one thread, and whoever drives them decides when each goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import TypeVar

T = TypeVar("T")
Steps = Generator[float, None, T]
"""Gives s to wait before the next step, and returns what the work came to."""


def run(steps: Steps[T], sleep: Callable[[float], None]) -> T:
    """All of them, one after the other."""
    while True:
        try:
            pause = next(steps)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]  # what Steps[T] returns
        if pause:
            sleep(pause)
