"""Work in steps, taken one after the other by whoever has nothing else to do."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from typing import TypeVar

from streams.kafka.cancellable_steps import Steps

T = TypeVar("T")


def run(steps: Steps[T], sleep: Callable[[float], None]) -> T:
    """What they came to."""
    with closing(steps):
        while True:
            try:
                pause = next(steps)
            except StopIteration as end:
                return end.value  # type: ignore[no-any-return]  # what Steps[T] returns
            if pause:
                sleep(pause)
