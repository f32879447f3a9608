"""What a worker takes from the process that it runs in: time, flags between threads, and work beside its own.

`worker.run` makes the real ones, a simulator its own; everything else of a worker is given them.
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
    """Work that is done beside."""

    def done(self) -> bool: ...

    def value(self) -> T_co:
        """What it came to, once it is done. Raises what it raised."""

    def cancel(self) -> None:
        """Nobody waits for it any more: it ends at its next look at `Cancelled`, or before its next step, or in a pause."""


class Background(Protocol):
    """Jobs go on step by step, beside each other. One that pauses leaves its place to others."""

    def start(self, work: Callable[[Cancelled], Steps[T]]) -> Job[T]: ...

    def close(self, *, wait: bool) -> None:
        """No job is started any more; `wait` until none goes on. Cancel them first."""


@dataclass(frozen=True)
class Runtime:
    """`background(name, count)` has `count` threads, or what stands for them."""

    clock: Clock
    flag: Callable[[], Flag]
    background: Callable[[str, int], Background]
