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
        self._waiting: dict[float, deque[tuple[float, asyncio.Future[bool]]]] = {}
        """Who waits until when, by for how long: nearly all wait for the same time, so the first that came ends first."""

    async def told(self, receipt: Receipt, seconds: float) -> bool:
        """Whether something was said of it in so many seconds: that the broker has it, or never will."""
        loop = asyncio.get_running_loop()
        waiting: asyncio.Future[bool] = loop.create_future()
        self._end_in(loop, seconds, waiting)
        self._publisher.when_told(receipt, partial(self._tell, loop, waiting))
        return await waiting

    def _end_in(self, loop: asyncio.AbstractEventLoop, seconds: float, waiting: asyncio.Future[bool]) -> None:
        """With one timer for all who wait as long."""
        others = self._waiting.get(seconds)
        if others is None:
            others = self._waiting[seconds] = deque()
            loop.call_later(seconds, self._end_late, loop, seconds)
        while others and others[0][1].done():
            others.popleft()
        others.append((loop.time() + seconds, waiting))

    def _end_late(self, loop: asyncio.AbstractEventLoop, seconds: float) -> None:
        others, now = self._waiting[seconds], loop.time()
        while others and (others[0][1].done() or others[0][0] <= now):
            _end(others.popleft()[1], False)
        if others:
            loop.call_at(others[0][0], self._end_late, loop, seconds)
        else:
            del self._waiting[seconds]

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
