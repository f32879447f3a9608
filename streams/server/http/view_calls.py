"""Calls of views, which are the application's own functions: one may never return, and nothing ends a thread from outside."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from contextvars import copy_context
from functools import partial
from threading import Thread
from typing import Final, TypeVar

from anyio import CapacityLimiter

from streams.server.http.problems import Problem

T = TypeVar("T")
AT_ONCE: Final = 8
"""For computing: more threads would not be faster."""
KIND: Final = "view-too-slow"


class ViewCalls:
    """Of one server, `AT_ONCE` at a time. Used by its event loop; `overdue` by any thread.

    Who asks hears after `seconds` that it takes too long. The call goes on and keeps its place until it returns, so that there
    are never more of them.
    """

    def __init__(self, seconds: float, refused: Counter[str]) -> None:
        self._seconds, self._refused = seconds, refused
        self._places = CapacityLimiter(AT_ONCE)
        self._running: dict[object, tuple[str, float]] = {}
        """By a call's place, the view's path and when it began."""

    async def call(self, path: str, function: Callable[..., T], *args: object) -> T:
        """What the function returns, which calls the view of this path. Raises a 503 problem if it takes too long."""
        place, limit = object(), f"{self._seconds:g} s"
        try:
            async with asyncio.timeout(self._seconds):
                await self._places.acquire_on_behalf_of(place)
        except TimeoutError:
            raise self._problem(f"{AT_ONCE} calls of views go on ({self._named()}), and none has ended for {limit}") from None
        self._running[place] = path, time.monotonic()
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[T] = loop.create_future()
        # A thread of its own, which lets the process end while a view does not return; and it runs whatever its caller does.
        work = partial(copy_context().run, function, *args)
        thread = Thread(target=self._run, args=(place, loop, answer, work), name=f"view {path}", daemon=True)
        try:
            thread.start()
        except BaseException:  # the system gives no more threads, for now
            self._give_back(place)
            raise
        try:
            async with asyncio.timeout(self._seconds):
                return await answer
        except TimeoutError:
            raise self._problem(f"the view {path} has not answered within {limit} (RETOLD_VIEW_SECONDS)") from None

    def overdue(self) -> Mapping[str, tuple[int, float]]:
        """By the paths of views, how many calls have not returned in time, and for how many s the longest goes on."""
        now, found = time.monotonic(), dict[str, tuple[int, float]]()
        for path, began in list(self._running.values()):
            if (seconds := now - began) > self._seconds:
                count, longest = found.get(path, (0, 0.0))
                found[path] = count + 1, max(longest, seconds)
        return found

    def _run(
        self, place: object, loop: asyncio.AbstractEventLoop, answer: asyncio.Future[T], work: Callable[[], T]
    ) -> None:
        """In its thread."""
        end: Callable[[], None]
        try:
            end = partial(answer.set_result, work())
        except BaseException as error:  # noqa: BLE001 - whatever it is, it is for who asked
            end = partial(answer.set_exception, error)
        with suppress(RuntimeError):  # the server has ended meanwhile
            loop.call_soon_threadsafe(self._returned, place, answer, end)

    def _returned(self, place: object, answer: asyncio.Future[T], end: Callable[[], None]) -> None:
        self._give_back(place)
        if not answer.cancelled():  # somebody still waits
            end()

    def _give_back(self, place: object) -> None:
        self._running.pop(place, None)
        self._places.release_on_behalf_of(place)

    def _named(self) -> str:
        return ", ".join(sorted({path for path, _ in self._running.values()}))

    def _problem(self, what: str) -> Problem:
        self._refused["view"] += 1
        return Problem(503, f"{what}; what it does is the application's own: compute less, or in a projection", kind=KIND)
