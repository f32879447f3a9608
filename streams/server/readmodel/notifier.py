"""Notifies tasks of event loops of what a thread has done."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Generic, TypeVar

T = TypeVar("T")
S = TypeVar("S", bound="Subscription")


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
            subscriptions = self._subscriptions
            self._subscriptions = {it for it in subscriptions if it.stays}
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
        return self.add(Subscription(self, asyncio.get_running_loop()))

    def add(self, subscription: S) -> S:
        with self._lock:
            self._subscriptions.add(subscription)
        return subscription

    def unsubscribe(self, subscription: Subscription) -> None:
        with self._lock:
            self._subscriptions.discard(subscription)


class Subscription:
    """To one notification. `stays`: to all until it is unsubscribed."""

    stays = False

    def __init__(self, notifier: Notifier, loop: asyncio.AbstractEventLoop) -> None:
        self._notifier, self.loop = notifier, loop
        self._notified: asyncio.Future[None] = loop.create_future()

    def end(self) -> None:
        """It was notified, or has waited long enough. Called by its loop."""
        if not self._notified.done():
            self._notified.set_result(None)

    def told(self) -> None:
        """Something has changed. Called by its loop."""
        self.end()

    async def wait(self, seconds: float) -> None:
        """Wait for a notification, at most `seconds`. Once."""
        timer = self.loop.call_later(max(seconds, 0.0), self.end)
        try:
            await self._notified
        finally:
            timer.cancel()
            self._notifier.unsubscribe(self)


class LookingSubscription(Subscription, Generic[T]):
    """Of a task that waits until a look finds something: it is woken for that alone, as most changes are about something else."""

    stays = True

    def __init__(self, notifier: Notifier, loop: asyncio.AbstractEventLoop, look: Callable[[], T | None]) -> None:
        super().__init__(notifier, loop)
        self._look = look
        self.found: T | None = None

    def told(self) -> None:
        if self._notified.done():
            return
        try:
            self.found = self._look()
        except Exception as error:  # noqa: BLE001 - whatever it is, who waits hears of it
            self._notified.set_exception(error)
            return
        if self.found is not None or self._notifier.ended:
            self.end()


def _notify(subscriptions: Iterable[Subscription]) -> None:
    for subscription in subscriptions:
        subscription.told()


async def until(notifier: Notifier, look: Callable[[], T | None], seconds: float) -> T | None:
    """The first result of `look` that is not None; None after `seconds`, or once the notifier has ended.

    It calls `look` at least once, in the loop, and never blocks.
    """
    subscription = notifier.add(LookingSubscription(notifier, asyncio.get_running_loop(), look))
    try:
        found = look()
        if found is not None or seconds <= 0 or notifier.ended:
            return found
        await subscription.wait(seconds)
        return look() if subscription.found is None else subscription.found
    finally:
        notifier.unsubscribe(subscription)
        subscription.end()  # a notification may be on its way
