"""Gateways of a simulated run: an event loop in virtual time, and services that are slow, fail, and remember who asked what."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

from streams import App
from streams.data import EventData
from streams.event import Event
from streams.gateway import Gateway
from tests.simulator.time import VirtualClock, VirtualFlag


class VirtualLoop(asyncio.SelectorEventLoop):
    """It does nothing but in `step`."""

    def __init__(self, clock: VirtualClock) -> None:
        super().__init__()
        self._virtual = clock

    def time(self) -> float:
        return self._virtual.monotonic()

    def step(self) -> None:
        """Run what is ready by now, and what becomes so by it."""
        for _ in range(3):
            if not self._ready and not (self._scheduled and self._scheduled[0].when() <= self.time() + self._clock_resolution):
                return  # as a rule at once: to ask its selector costs more
            self.call_soon(self.stop)
            self.run_forever()

    def end(self) -> None:
        """As if its process had ended. May be called again."""
        if self.is_closed():
            return
        for task in asyncio.all_tasks(self):
            task.cancel()
        self.step()
        self.close()


class LoopOfCalls:
    """A worker's loop. It is made when a gateway is first called: most workers call none, and a loop opens sockets."""

    def __init__(self, clock: VirtualClock) -> None:
        self._clock = clock
        self._loop: VirtualLoop | None = None

    def get(self) -> VirtualLoop:
        if self._loop is None:
            self._loop = VirtualLoop(self._clock)
        return self._loop

    def step(self) -> None:
        if self._loop is not None:
            self._loop.step()

    def end(self) -> None:
        """As if its process had ended. May be called again."""
        if self._loop is not None:
            self._loop.end()


class LoopFlag(VirtualFlag):
    """While it is waited for, the loop goes on, which may set it."""

    def __init__(self, clock: VirtualClock, loop: LoopOfCalls) -> None:
        super().__init__(clock)
        self._loop = loop

    def wait(self, timeout: float) -> bool:
        self._loop.step()
        return super().wait(timeout)


class Services:
    """What gateways ask. `asked` has each request by its idempotency key."""

    def __init__(self, dice: random.Random, answer: Callable[[Event[Any]], EventData]) -> None:
        self._dice, self._answer = dice, answer
        self.asked: dict[str, EventData] = {}
        self.contradictions: list[str] = []
        self.calls = 0

    def behind(self, app: App) -> App:
        """The application with gateways that ask these services."""
        gateways = [Gateway(it.data, self._call(), answers=it.answers, undo=it.undo, undone_by=it.undone_by) for it in app.gateways]
        return replace(app, gateways=gateways)

    def _call(self) -> Callable[[Event[Any]], Awaitable[EventData]]:
        async def call(event: Event[Any]) -> EventData:
            self.calls += 1
            if self.asked.setdefault(event.reference, event.data) != event.data:
                self.contradictions.append(event.reference)
            mood = self._dice.random()
            if mood < 0.2:
                await asyncio.sleep(self._dice.choice([0.05, 1.0, 12.0]))
            if 0.1 < mood < 0.25:
                raise ConnectionError("the service is away")
            return self._answer(event)

        return call
