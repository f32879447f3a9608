"""The clock that is passed to the code that uses Kafka, so that a test or a simulator can pass another one."""

from __future__ import annotations

import time
from collections.abc import Collection
from concurrent.futures import Future, wait
from typing import Any, Protocol


class Clock(Protocol):
    """`sleep` and `wait` are the only ways in which adapters wait, apart from Kafka clients themselves."""

    def now(self) -> int:
        """µs since 1970."""

    def monotonic(self) -> float:
        """Seconds since some moment; it never goes back."""

    def sleep(self, seconds: float) -> None: ...

    def wait(self, futures: Collection[Future[Any]], seconds: float) -> bool:
        """Wait until all are done, at most `seconds`; returns whether they are."""


class SystemClock:
    """This machine's clock."""

    def now(self) -> int:
        return time.time_ns() // 1000

    def monotonic(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)

    def wait(self, futures: Collection[Future[Any]], seconds: float) -> bool:
        return not wait(futures, seconds).not_done


SYSTEM = SystemClock()
