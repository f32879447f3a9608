"""Time, as the code that talks to Kafka is given it, so that a test or a simulator can give another one."""

from __future__ import annotations

import time
from collections.abc import Collection
from concurrent.futures import Future, wait
from typing import Any, Protocol


class Clock(Protocol):
    """`sleep` and `wait` are how adapters wait, beside what a Kafka client does itself."""

    def now(self) -> int:
        """µs since 1970."""

    def monotonic(self) -> float:
        """In s, since some moment; it never goes back."""

    def sleep(self, seconds: float) -> None: ...

    def wait(self, futures: Collection[Future[Any]], seconds: float) -> bool:
        """Until all are done, `seconds` at most; whether they are."""


class SystemClock:
    """This machine's."""

    def now(self) -> int:
        return time.time_ns() // 1000

    def monotonic(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)

    def wait(self, futures: Collection[Future[Any]], seconds: float) -> bool:
        return not wait(futures, seconds).not_done


SYSTEM = SystemClock()
