"""What a worker needs from its process: time, flags between threads, and background work.

`worker.run` makes the real ones, and a simulator its own; they are passed to the other parts of a worker.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeVar

from streams.clock import Clock
from streams.kafka.cancellable_steps import Cancelled, Steps

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Flag(Protocol):
    """As `threading.Event`."""

    def is_set(self) -> bool: ...

    def set(self) -> None: ...

    def wait(self, timeout: float) -> bool: ...


class Job(Protocol[T_co]):
    """A piece of background work."""

    def done(self) -> bool: ...

    def value(self) -> T_co:
        """The result, once it is done. Raises what the work raised."""

    def cancel(self) -> None:
        """Cancel it: it ends at its next check of `Cancelled`, before its next step, or in a pause."""


class Background(Protocol):
    """Runs jobs step by step, concurrently. A job that pauses leaves its thread to others."""

    def start(self, work: Callable[[Cancelled], Steps[T]]) -> Job[T]: ...

    def close(self, *, wait: bool) -> None:
        """Start no more jobs; with `wait`, return when none is running. Cancel them first."""


@dataclass(frozen=True)
class Runtime:
    """`background(name, count)` has `count` threads, or a simulator's equivalent.

    `batch_taken` is called before a batch is handled, `batch_dropped` when that is over and it is gone; each from its thread.
    """

    clock: Clock
    flag: Callable[[], Flag]
    background: Callable[[str, int], Background]
    batch_taken: Callable[[], None] = lambda: None
    batch_dropped: Callable[[], None] = lambda: None
