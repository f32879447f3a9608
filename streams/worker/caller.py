"""Calling gateways: at the same time for different keys, one after the other for one key, again after a failure.

At least once towards the outside world: a worker that dies before an answer is handled calls again (rule 23). The
event's reference goes with the call, as the idempotency key.
"""

from __future__ import annotations

import asyncio
import threading
import traceback
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import structlog

from streams.data import EventData
from streams.engine.records import Call
from streams.gateway import Gateway

log = structlog.get_logger("retold.worker")


@dataclass(frozen=True)
class Patience:
    """`at_once` calls in flight; one may take `seconds`; it is tried `times`, the waits between doubling from `wait` s."""

    at_once: int = 16
    seconds: float = 30.0
    times: int = 10
    wait: float = 0.2
    longest: float = 60.0


@dataclass(frozen=True)
class Result:
    """What a call came to: an answer, or why there is none."""

    partition: int
    call: Call
    answer: EventData | None
    reason: str = ""
    detail: str = ""


class Failure(NamedTuple):
    reason: str
    detail: str


class Caller:
    """Works on `loop`; the poll thread calls the methods without an underscore, `done` hears of each result."""

    def __init__(
        self,
        gateways: Mapping[type[EventData], Gateway[Any]],
        patience: Patience,
        loop: asyncio.AbstractEventLoop,
        done: Callable[[Result], None],
    ) -> None:
        self._gateways, self._patience, self._done = gateways, patience, done
        self._places = asyncio.Semaphore(patience.at_once)
        self._queues: dict[tuple[int, str], deque[Call]] = {}
        self._tasks: dict[tuple[int, str], asyncio.Task[None]] = {}
        self._loop = loop
        self._in_flight, self._ending, self._ended = 0, False, threading.Event()

    def submit(self, partition: int, calls: list[Call]) -> None:
        self._loop.call_soon_threadsafe(self._submit, partition, calls)

    def forget(self, partition: int) -> None:
        """Its new owner calls: what is in flight is cancelled."""
        self._loop.call_soon_threadsafe(self._forget, partition)

    def finish(self, seconds: float) -> None:
        """Begin no more calls, and wait for those in flight: what is cut off is called again by the next owner."""
        self._loop.call_soon_threadsafe(self._finish)
        self._ended.wait(seconds)

    def _finish(self) -> None:
        self._ending = True
        self._look()

    def _look(self) -> None:
        if self._ending and not self._in_flight:
            self._ended.set()

    def _submit(self, partition: int, calls: list[Call]) -> None:
        for call in calls:
            place = (partition, call.event.key)
            queue = self._queues.setdefault(place, deque())
            queue.append(call)
            if place not in self._tasks:
                self._tasks[place] = self._loop.create_task(self._work(place, queue))

    def _forget(self, partition: int) -> None:
        for place in [place for place in self._tasks if place[0] == partition]:
            self._queues.pop(place, None)
            self._tasks.pop(place).cancel()

    async def _work(self, place: tuple[int, str], queue: deque[Call]) -> None:
        """One key's calls, in order."""
        while queue:
            result = await self._ask(place[0], queue.popleft())
            if result is not None:
                self._done(result)
            self._look()
        if self._queues.get(place) is queue:
            del self._queues[place], self._tasks[place]

    async def _ask(self, partition: int, call: Call) -> Result | None:
        """Again and again, with longer and longer waits, in which another key has its place. None if we are to end."""
        patience, wait, failure = self._patience, self._patience.wait, Failure("", "")
        for attempt in range(1, patience.times + 1):
            async with self._places:
                if self._ending:
                    return None
                answer = await self._try(call)
            if not isinstance(answer, Failure):
                return Result(partition, call, answer)
            failure, event = answer, call.event
            log.warning(
                "a gateway failed", type=event.data.event_type, id=event.id, tried=attempt, reason=failure.reason
            )
            if attempt < patience.times:
                await asyncio.sleep(wait)
                wait = min(wait * 2, patience.longest)
        reason = f"the gateway failed {patience.times} times, at last: {failure.reason}"
        return Result(partition, call, None, reason, failure.detail)

    async def _try(self, call: Call) -> EventData | Failure:
        """Once."""
        seconds, gateway = self._patience.seconds, self._gateways[type(call.event.data)]
        self._in_flight += 1
        try:
            return await asyncio.wait_for(gateway.call(call.event), seconds)
        except TimeoutError:
            return Failure(f"no answer in {seconds:.0f} s", "")
        except Exception as error:  # noqa: BLE001 - the outside world may fail in any way
            return Failure(f"{type(error).__name__}: {error}", "".join(traceback.format_exception(error)))
        finally:
            self._in_flight -= 1
