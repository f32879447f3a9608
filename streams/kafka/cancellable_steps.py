"""Cancellable work in steps: each step makes a bounded request to a broker, and yields how long to wait before the next one.

The driver of the steps decides what happens in between: a thread waits or does other work, and a simulator lets others run.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import TypeVar

from streams.errors import PartitionLost

T = TypeVar("T")
Steps = Generator[float, None, T]
"""Yields the s to wait before the next step, and returns the result."""
Cancelled = Callable[[], bool]
"""Whether the work is cancelled; called in the thread that does it."""


def never_cancelled() -> bool:
    """The `Cancelled` of work that nobody cancels."""
    return False


def raise_if_cancelled(cancelled: Cancelled) -> None:
    """Raises PartitionLost when cancelled."""
    if cancelled():
        raise PartitionLost("given up: the partition was taken away, or its worker stops")
