"""Thread pools for blocking calls. Each kind of call has its own, so that none starves another."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from anyio import CapacityLimiter, to_thread

T = TypeVar("T")
THREADS = 40
"""For publishing and for reading Kafka: with a slow broker they wait for seconds."""
FEW = 8
"""For computing: more threads would not be faster."""
WATCHING = 2
"""For what has changed: each thread that computes makes the event loop wait 5 ms for its turn, after whatever it has waited for."""


class Pools:
    """The pools of one server: a limiter belongs to one event loop."""

    def __init__(self) -> None:
        self.publishing = CapacityLimiter(THREADS)
        self.kafka = CapacityLimiter(THREADS)
        """For what is not in the read model: forgotten outcomes, the status, schemas."""
        self.memory = CapacityLimiter(FEW)
        """For what takes longer in the read model: pages of rows, metrics."""
        self.watching = CapacityLimiter(WATCHING)
        """For telling all who watch what has changed, piece by piece."""
        self.results = CapacityLimiter(FEW)
        """For whole results, each of which may look through a table for minutes."""
        self.results_at_once = CapacityLimiter(FEW)
        """Each holds a moment of the file, and what is sorted for it in memory, until its client has all."""


InThread = Callable[..., Awaitable[Any]]
"""Calls a function in a thread, with arguments: `in_thread` with a limiter, or something that waits no longer than it may."""


async def in_thread(limiter: CapacityLimiter, function: Callable[..., T], *args: object) -> T:
    return await to_thread.run_sync(function, *args, limiter=limiter)
