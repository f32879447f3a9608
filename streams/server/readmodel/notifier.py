"""Notifies tasks of event loops of what a thread has done."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

T = TypeVar("T")


class Notifier:
    """Notified by any thread, awaited by tasks of any loop.

    Subscribe, look, then wait on the subscription: so no notification after the look is missed. Once it has `ended`, since the
    server stops, nobody waits any more.
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
        """A new subscription; to be called in a task."""
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
        with suppress(RuntimeError):  # the loop has ended meanwhile, and its tasks too
            self._loop.call_soon_threadsafe(self._notified.set)

    async def wait(self, seconds: float) -> None:
        """Wait for a notification, at most `seconds`."""
        try:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._notified.wait(), max(seconds, 0.0))
        finally:
            self._notifier.unsubscribe(self)


async def until(notifier: Notifier, look: Callable[[], T | None], seconds: float) -> T | None:
    """The first result of `look` that is not None; None after `seconds`, or once the notifier has ended.

    It calls `look` at least once, and never blocks.
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
