"""Notifies tasks of event loops of what a thread has done."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterable
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
        """Each loop is woken once, however many of its tasks wait."""
        with self._lock:
            subscriptions, self._subscriptions = self._subscriptions, set()
        loops: dict[asyncio.AbstractEventLoop, list[Subscription]] = {}
        for subscription in subscriptions:
            loops.setdefault(subscription.loop, []).append(subscription)
        for loop, some in loops.items():
            with suppress(RuntimeError):  # the loop has ended meanwhile, and its tasks too
                loop.call_soon_threadsafe(_notify, some)

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
        self._notifier, self.loop = notifier, loop
        self._notified: asyncio.Future[None] = loop.create_future()

    def end(self) -> None:
        """It was notified, or has waited long enough. Called by its loop."""
        if not self._notified.done():
            self._notified.set_result(None)

    async def wait(self, seconds: float) -> None:
        """Wait for a notification, at most `seconds`. Once."""
        timer = self.loop.call_later(max(seconds, 0.0), self.end)
        try:
            await self._notified
        finally:
            timer.cancel()
            self._notifier.unsubscribe(self)


def _notify(subscriptions: Iterable[Subscription]) -> None:
    for subscription in subscriptions:
        subscription.end()


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
