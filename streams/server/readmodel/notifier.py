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
        self._subscriptions: set[Subscription] = set()
        self.ended = False

    def notify(self) -> None:
        with self._lock:
            subscriptions, self._subscriptions = self._subscriptions, set()
        for subscription in subscriptions:
            subscription.notify()

    def end(self) -> None:
        self.ended = True
        self.notify()

    def subscribe(self) -> Subscription:
        """To be asked for in a task."""
        subscription = Subscription(self, asyncio.get_running_loop())
        with self._lock:
            self._subscriptions.add(subscription)
        return subscription

    def unsubscribe(self, subscription: Subscription) -> None:
        with self._lock:
            self._subscriptions.discard(subscription)


class Subscription:
    def __init__(self, notifier: Notifier, loop: asyncio.AbstractEventLoop) -> None:
        self._notifier, self._loop, self._notified = notifier, loop, asyncio.Event()

    def notify(self) -> None:
        with suppress(RuntimeError):  # the loop has ended meanwhile, and so has whoever waited
            self._loop.call_soon_threadsafe(self._notified.set)

    async def wait(self, seconds: float) -> None:
        """Until the bell rings, `seconds` at most."""
        try:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._notified.wait(), max(seconds, 0.0))
        finally:
            self._notifier.unsubscribe(self)


async def until(notifier: Notifier, look: Callable[[], T | None], seconds: float) -> T | None:
    """What `look` gives, once it gives something; None after `seconds`, or once the bell has ended.

    It looks once at least, and never blocks.
    """
    clock = asyncio.get_running_loop().time
    deadline = clock() + seconds
    while True:
        subscription = notifier.subscribe()
        found, left = look(), deadline - clock()
        if found is not None or left <= 0 or notifier.ended:
            notifier.unsubscribe(subscription)
            return found
        await subscription.wait(left)
