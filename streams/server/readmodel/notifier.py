"""Telling tasks of an event loop what a thread has done."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

T = TypeVar("T")


class Notifier:
    """Rung by any thread, heard by tasks of any loop.

    Take a ticket, look, then wait with the ticket: what is rung after the look is not missed. Once it has `ended`, since the
    server ends, nobody waits any more.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._tickets: set[Subscription] = set()
        self.ended = False

    def ring(self) -> None:
        with self._lock:
            tickets, self._tickets = self._tickets, set()
        for ticket in tickets:
            ticket.ring()

    def end(self) -> None:
        self.ended = True
        self.ring()

    def ticket(self) -> Subscription:
        """To be asked for in a task."""
        ticket = Subscription(self, asyncio.get_running_loop())
        with self._lock:
            self._tickets.add(ticket)
        return ticket

    def forget(self, ticket: Subscription) -> None:
        with self._lock:
            self._tickets.discard(ticket)


class Subscription:
    def __init__(self, bell: Notifier, loop: asyncio.AbstractEventLoop) -> None:
        self._bell, self._loop, self._rung = bell, loop, asyncio.Event()

    def ring(self) -> None:
        with suppress(RuntimeError):  # the loop has ended meanwhile, and so has whoever waited
            self._loop.call_soon_threadsafe(self._rung.set)

    async def wait(self, seconds: float) -> None:
        """Until the bell rings, `seconds` at most."""
        try:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._rung.wait(), max(seconds, 0.0))
        finally:
            self._bell.forget(self)


async def until(bell: Notifier, look: Callable[[], T | None], seconds: float) -> T | None:
    """What `look` gives, once it gives something; None after `seconds`, or once the bell has ended.

    It looks once at least, and never blocks.
    """
    clock = asyncio.get_running_loop().time
    deadline = clock() + seconds
    while True:
        ticket = bell.ticket()
        found, left = look(), deadline - clock()
        if found is not None or left <= 0 or bell.ended:
            bell.forget(ticket)
            return found
        await ticket.wait(left)
