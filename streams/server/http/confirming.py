"""Waits in the event loop for what the broker says of events: a thread for each would cost more than all else of a request."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Protocol

from streams.receipt import Receipt


class Tells(Protocol):
    """As a publisher of the server's does."""

    def when_told(self, receipt: Receipt, call: Callable[[], object]) -> None: ...


class Confirming:
    """Used by one event loop. It is woken once for all that is said meanwhile."""

    def __init__(self, publisher: Tells) -> None:
        self._publisher = publisher
        self._told: deque[asyncio.Future[bool]] = deque()
        self._is_awake = False

    async def told(self, receipt: Receipt, seconds: float) -> bool:
        """Whether something was said of it in so many seconds: that the broker has it, or never will."""
        loop = asyncio.get_running_loop()
        waiting: asyncio.Future[bool] = loop.create_future()
        timer = loop.call_later(seconds, _end, waiting, False)
        self._publisher.when_told(receipt, partial(self._tell, loop, waiting))
        try:
            return await waiting
        finally:
            timer.cancel()

    def _tell(self, loop: asyncio.AbstractEventLoop, waiting: asyncio.Future[bool]) -> None:
        """In any thread."""
        self._told.append(waiting)
        if not self._is_awake:  # else it comes to this one, too
            self._is_awake = True
            with suppress(RuntimeError):  # the loop has ended meanwhile, and its tasks too
                loop.call_soon_threadsafe(self._wake)

    def _wake(self) -> None:
        self._is_awake = False
        while self._told:
            _end(self._told.popleft(), True)


def _end(waiting: asyncio.Future[bool], is_told: bool) -> None:
    if not waiting.done():
        waiting.set_result(is_told)
