"""Threads for what blocks. Each kind of waiting has its own number of them, so that none starves another."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from anyio import CapacityLimiter, to_thread

T = TypeVar("T")
THREADS = 40
"""For publishing and for reading Kafka: a broker that is slow lets them wait for seconds."""
FEW = 8
"""For what computes: more threads would not be faster."""


class Pools:
    """One server's own: a limiter belongs to one event loop."""

    def __init__(self) -> None:
        self.publishing = CapacityLimiter(THREADS)
        self.kafka = CapacityLimiter(THREADS)
        """What is not in memory: older events and outcomes, the status, schemas."""
        self.memory = CapacityLimiter(FEW)
        """Lists, figures."""
        self.views = CapacityLimiter(FEW)
        """The application's own functions, which may take long."""


async def in_thread(limiter: CapacityLimiter, function: Callable[..., T], *args: object) -> T:
    return await to_thread.run_sync(function, *args, limiter=limiter)
