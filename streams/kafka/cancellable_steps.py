"""Work in steps: each asks a broker something that ends in time, and says how long to wait before the next one.

Whoever drives the steps decides what happens in between: a thread waits, or takes up other work, and a simulator lets others act.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import TypeVar

from streams.errors import PartitionLost

T = TypeVar("T")
Steps = Generator[float, None, T]
"""Gives s to wait before the next step, and returns what the work came to."""
Cancelled = Callable[[], bool]
"""Whether an answer is no longer wanted; asked from the thread that waits for it."""


def never_cancelled() -> bool:
    """For who cannot be cancelled."""
    return False


def raise_if_cancelled(cancelled: Cancelled) -> None:
    """Raises PartitionLost when cancelled."""
    if cancelled():
        raise PartitionLost("given up: the partition was taken away, or its worker stops")
