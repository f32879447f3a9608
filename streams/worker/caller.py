"""Calling gateways: at the same time for different keys, one after the other for one key, again after a failure.

At least once towards the outside world: a worker that dies before an answer is handled calls again (rule 23). The
event's reference goes with the call, as the idempotency key.
"""

from __future__ import annotations

import asyncio
import inspect
import traceback
from collections import defaultdict, deque
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import Any, NamedTuple

import structlog

from streams.data import EventData
from streams.engine.changes import PendingCall
from streams.engine.parking import in_a_line
from streams.errors import InvalidEvent
from streams.gateway import Gateway
from streams.worker.runtime import Flag

log = structlog.get_logger("retold.worker")


@dataclass(frozen=True)
class RetryPolicy:
    """`at_once` calls in flight; one may take `seconds`; it is tried `times`, the waits between doubling from `wait` s."""

    at_once: int = 16
    seconds: float = 30.0
    times: int = 10
    wait: float = 0.2
    longest: float = 60.0


class Assignment(NamedTuple):
    """One time that a partition is assigned to this worker: what was called in one has nothing to say in the next."""

    partition: int
    epoch: int


@dataclass(frozen=True)
class CallResult:
    """What a call came to: an answer, or why there is none."""

    assignment: Assignment
    call: PendingCall
    answer: EventData | None
    reason: str = ""
    detail: str = ""


class CallFailure(NamedTuple):
    """`final`: another try would come to the same."""

    reason: str
    detail: str = ""
    final: bool = False


@dataclass(eq=False)
class CallQueue:
    """The calls of one key, the first of which is being made, or waits to be, or was given up."""

    assignment: Assignment
    key: str
    calls: deque[PendingCall] = field(default_factory=deque)
    tried: int = 0
    given_up: bool = False
    task: asyncio.Task[None] | None = None
    timer: asyncio.TimerHandle | None = None


class Caller:
    """Works on `loop`; a namespace's thread calls the methods without an underscore, `done` hears of each result.

    `ended` is set when the last call has ended that was begun before `finish`. `check` raises InvalidEvent for an answer
    that may not be given. What of a key comes after a call that was given up is not called, until `go_on`.
    """

    def __init__(
        self,
        gateways: Mapping[type[EventData], Gateway[Any]],
        check: Callable[[PendingCall, EventData], object],
        patience: RetryPolicy,
        loop: asyncio.AbstractEventLoop,
        done: Callable[[CallResult], None],
        ended: Flag,
    ) -> None:
        self._gateways, self._check, self._patience, self._done = gateways, check, patience, done
        self._lines: defaultdict[Assignment, dict[str, CallQueue]] = defaultdict(dict)
        self._ready: deque[CallQueue] = deque()
        self._running: set[asyncio.Task[None]] = set()
        self._loop = loop
        self._ending, self._ended = False, ended

    def submit(self, assignment: Assignment, calls: Iterable[PendingCall]) -> None:
        self._loop.call_soon_threadsafe(self._submit, assignment, calls)

    def go_on(self, assignment: Assignment, key: str, pending: Collection[str]) -> None:
        """What was given up of a key is dealt with; of what waits behind it, call those whose references are `pending`."""
        self._loop.call_soon_threadsafe(self._go_on, assignment, key, pending)

    def forget(self, assignment: Assignment) -> None:
        """Its new owner calls: what is in flight is cancelled."""
        self._loop.call_soon_threadsafe(self._forget, assignment)

    def finish(self, seconds: float) -> None:
        """Begin no more calls, and wait for those in flight: what is cut off is called again by the next owner."""
        self._loop.call_soon_threadsafe(self._finish)
        self._ended.wait(seconds)

    def _submit(self, assignment: Assignment, calls: Iterable[PendingCall]) -> None:
        lines = self._lines[assignment]
        for call in calls:
            line = lines.get(call.event.key)
            if line is None:
                line = lines[call.event.key] = CallQueue(assignment, call.event.key)
                self._ready.append(line)
            line.calls.append(call)
        self._begin()

    def _go_on(self, assignment: Assignment, key: str, pending: Collection[str]) -> None:
        line = self._lines[assignment].get(key)
        if line is not None and line.given_up:
            line.given_up = False
            line.calls = deque(call for call in islice(line.calls, 1, None) if call.event.reference in pending)
            self._next(line)
            self._begin()

    def _forget(self, assignment: Assignment) -> None:
        for line in self._lines.pop(assignment, {}).values():
            if line.timer is not None:
                line.timer.cancel()
            if line.task is not None:
                line.task.cancel()

    def _finish(self) -> None:
        self._ending = True
        self._look()

    def _look(self) -> None:
        if self._ending and not self._running:
            self._ended.set()

    def _begin(self) -> None:
        """As many as there is room for. A key is tried once, and then others have its place."""
        while self._ready and len(self._running) < self._patience.at_once and not self._ending:
            line = self._ready.popleft()
            if self._is_ours(line):
                task = line.task = self._loop.create_task(self._work(line))
                self._running.add(task)
                task.add_done_callback(partial(self._worked, line))  # also if it is cancelled before it began

    def _worked(self, line: CallQueue, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if line.task is task:  # else its next call has begun already
            line.task = None
        self._begin()
        self._look()

    def _is_ours(self, line: CallQueue) -> bool:
        """Whether it was not forgotten; what a call comes to that did not let itself be cancelled counts for nothing."""
        return self._lines.get(line.assignment, {}).get(line.key) is line

    async def _work(self, line: CallQueue) -> None:
        call = line.calls[0]
        came = await self._try(line, call)
        if not self._is_ours(line):
            return
        line.tried += 1
        if isinstance(came, CallFailure):
            self._failed(line, call, came)
        else:
            self._done(CallResult(line.assignment, call, came))
            line.calls.popleft()
            self._next(line)

    def _next(self, line: CallQueue) -> None:
        """The first of its calls is to be made, if there is one."""
        line.tried = 0
        if line.calls:
            self._ready.append(line)
        else:
            del self._lines[line.assignment][line.key]

    def _failed(self, line: CallQueue, call: PendingCall, failure: CallFailure) -> None:
        """Again after a longer and longer wait, or given up."""
        event, policy = call.event, self._patience
        told = {"type": event.data.event_type, "key": event.key, "id": event.id, "tried": line.tried, "reason": failure.reason}
        if not failure.final and line.tried < policy.times:
            wait = min(policy.wait * 2 ** min(line.tried - 1, 30), policy.longest)
            line.timer = self._loop.call_later(wait, self._again, line)
            log.warning("gateway call failed; it is tried again", **told, seconds=round(wait, 1))
            return
        line.given_up = True
        log.error("gateway call given up; its request is parked as unanswered", **told)
        reason = failure.reason
        if not failure.final:
            reason = f"the gateway failed {line.tried} times, at last: {reason}"
        self._done(CallResult(line.assignment, call, None, reason, failure.detail))

    def _again(self, line: CallQueue) -> None:
        line.timer = None
        self._ready.append(line)
        self._begin()

    async def _try(self, line: CallQueue, call: PendingCall) -> EventData | CallFailure:
        """Once. Nothing that a gateway does may end a key's calls for ever, so whatever it raises is a failure."""
        event_type, gateway = call.event.data.event_type, self._gateways.get(type(call.event.data))
        if gateway is None:
            return CallFailure(f"{event_type} has no gateway in this application any more", final=True)
        limit = asyncio.timeout(self._patience.seconds)
        try:
            async with limit:
                asked: object = gateway.call(call.event)
                if not inspect.isawaitable(asked):
                    return CallFailure(f"the gateway of {event_type} is no async function: it gave {asked!r:.100}", final=True)
                answer: EventData = await asked
        except BaseException as error:
            if isinstance(error, asyncio.CancelledError) and not self._is_ours(line):
                raise
            expired = isinstance(error, TimeoutError) and limit.expired()
            return CallFailure(f"no answer in {self._patience.seconds:g} s") if expired else _failure_of(error)
        try:
            self._check(call, answer)
        except InvalidEvent as error:
            return CallFailure(str(error), final=True)
        except Exception as error:  # noqa: BLE001 - a value that cannot even be checked
            return _failure_of(error)._replace(final=True)
        return answer


def _failure_of(error: BaseException) -> CallFailure:
    return CallFailure(in_a_line(error), "".join(traceback.format_exception(error)))
