"""Calls gateways: concurrently for different keys, in order for one key, with retries.

Calls are made at least once: if a worker dies before an answer is handled, the next owner calls again (rule 23). The event's
reference is the idempotency key of a call.
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
from streams.engine.readable import in_a_line
from streams.errors import InvalidEvent
from streams.gateway import Gateway
from streams.worker.runtime import Flag

log = structlog.get_logger("retold.worker")


@dataclass(frozen=True)
class RetryPolicy:
    """At most `concurrency` calls at the same time. A call has `timeout` s and `tries`; the waits between tries double.

    They begin with `first_wait` and end with `longest_wait`, in s.
    """

    concurrency: int = 16
    timeout: float = 30.0
    tries: int = 10
    first_wait: float = 0.2
    longest_wait: float = 60.0


class Assignment(NamedTuple):
    """One assignment of a partition to this worker: results of calls of an earlier assignment are dropped."""

    partition: int
    epoch: int


@dataclass(frozen=True)
class CallResult:
    """The result of a call: an answer, or the reason why there is none."""

    assignment: Assignment
    call: PendingCall
    answer: EventData | None
    reason: str = ""
    detail: str = ""


class CallFailure(NamedTuple):
    """A failed try. `final`: another try would fail in the same way."""

    reason: str
    detail: str = ""
    final: bool = False


@dataclass(eq=False)
class CallQueue:
    """The calls of one key, in order. The first is being made, is waiting, or was given up."""

    assignment: Assignment
    key: str
    calls: deque[PendingCall] = field(default_factory=deque)
    tried: int = 0
    given_up: bool = False
    task: asyncio.Task[None] | None = None
    timer: asyncio.TimerHandle | None = None


class Caller:
    """Works on `loop`; a namespace's thread calls the public methods, and `done` gets each result.

    `ended` is set when the last call that began before `finish` has ended. `check` raises InvalidEvent for an answer that is
    not allowed. After a call of a key was given up, the key's other calls wait for `resume`.
    """

    def __init__(
        self,
        gateways: Mapping[type[EventData], Gateway[Any]],
        check: Callable[[PendingCall, EventData], object],
        policy: RetryPolicy,
        loop: asyncio.AbstractEventLoop,
        done: Callable[[CallResult], None],
        ended: Flag,
    ) -> None:
        self._gateways, self._check, self._policy, self._done = gateways, check, policy, done
        self._queues: defaultdict[Assignment, dict[str, CallQueue]] = defaultdict(dict)
        self._ready: deque[CallQueue] = deque()
        self._running: set[asyncio.Task[None]] = set()
        self._loop = loop
        self._failing: defaultdict[int, dict[CallQueue, None]] = defaultdict(dict)
        """By partition, the keys whose call is tried again; only the loop's thread changes it."""
        self._last_failure: dict[int, str] = {}
        self._ending, self._ended = False, ended

    def submit(self, assignment: Assignment, calls: Iterable[PendingCall]) -> None:
        self._loop.call_soon_threadsafe(self._submit, assignment, calls)

    def resume(self, assignment: Assignment, key: str, pending: Collection[str]) -> None:
        """The call of a key that was given up is handled: call those behind it whose references are `pending`."""
        self._loop.call_soon_threadsafe(self._resume, assignment, key, pending)

    def forget(self, assignment: Assignment) -> None:
        """Cancel the calls of an assignment that has ended: the partition's new owner makes them."""
        self._loop.call_soon_threadsafe(self._forget, assignment)

    def finish(self, seconds: float) -> None:
        """Start no more calls and wait for those in flight. A call that is cut off is made again by the next owner."""
        self._loop.call_soon_threadsafe(self._finish)
        self._ended.wait(seconds)

    def trouble(self, partition: int) -> str:
        """What is tried again, in words; empty if nothing is. From any thread."""
        count = len(self._failing.get(partition, ()))
        if not count:
            return ""
        calls = "1 gateway call fails and is" if count == 1 else f"{count:,} gateway calls fail and are"
        return f"{calls} tried again; at last {self._last_failure.get(partition, '')}"

    def _submit(self, assignment: Assignment, calls: Iterable[PendingCall]) -> None:
        queues = self._queues[assignment]
        for call in calls:
            queue = queues.get(call.event.key)
            if queue is None:
                queue = queues[call.event.key] = CallQueue(assignment, call.event.key)
                self._ready.append(queue)
            queue.calls.append(call)
        self._start_calls()

    def _resume(self, assignment: Assignment, key: str, pending: Collection[str]) -> None:
        queue = self._queues[assignment].get(key)
        if queue is not None and queue.given_up:
            queue.given_up = False
            queue.calls = deque(call for call in islice(queue.calls, 1, None) if call.event.reference in pending)
            self._next(queue)
            self._start_calls()

    def _forget(self, assignment: Assignment) -> None:
        self._failing.pop(assignment.partition, None)
        for queue in self._queues.pop(assignment, {}).values():
            if queue.timer is not None:
                queue.timer.cancel()
            if queue.task is not None:
                queue.task.cancel()

    def _finish(self) -> None:
        self._ending = True
        self._check_ended()

    def _check_ended(self) -> None:
        if self._ending and not self._running:
            self._ended.set()

    def _start_calls(self) -> None:
        """Start as many calls as the policy allows. After one try a key leaves its slot to others."""
        while self._ready and len(self._running) < self._policy.concurrency and not self._ending:
            queue = self._ready.popleft()
            if self._is_assigned(queue):
                task = queue.task = self._loop.create_task(self._work(queue))
                self._running.add(task)
                task.add_done_callback(partial(self._worked, queue))  # called even if the task is cancelled before it starts

    def _worked(self, queue: CallQueue, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if queue.task is task:  # else its next call has started already
            queue.task = None
        self._start_calls()
        self._check_ended()

    def _is_assigned(self, queue: CallQueue) -> bool:
        """Whether its assignment is current. The result of a call that could not be cancelled is dropped."""
        return self._queues.get(queue.assignment, {}).get(queue.key) is queue

    async def _work(self, queue: CallQueue) -> None:
        call = queue.calls[0]
        came = await self._try(queue, call)
        if not self._is_assigned(queue):
            return
        queue.tried += 1
        self._failing[queue.assignment.partition].pop(queue, None)
        if isinstance(came, CallFailure):
            self._failed(queue, call, came)
        else:
            self._done(CallResult(queue.assignment, call, came))
            queue.calls.popleft()
            self._next(queue)

    def _next(self, queue: CallQueue) -> None:
        """Make the queue's first call ready, if there is one."""
        queue.tried = 0
        if queue.calls:
            self._ready.append(queue)
        else:
            del self._queues[queue.assignment][queue.key]

    def _failed(self, queue: CallQueue, call: PendingCall, failure: CallFailure) -> None:
        """Retry after a growing wait, or give up."""
        event, policy = call.event, self._policy
        fields = {"type": event.data.event_type, "key": event.key, "id": event.id, "tried": queue.tried, "reason": failure.reason}
        if not failure.final and queue.tried < policy.tries:
            wait = min(policy.first_wait * 2 ** min(queue.tried - 1, 30), policy.longest_wait)
            queue.timer = self._loop.call_later(wait, self._retry, queue)
            self._last_failure[queue.assignment.partition] = (
                f"{event.data.event_type} of {event.key!r:.100} after {queue.tried} of {policy.tries} tries: {failure.reason:.300}"
            )
            self._failing[queue.assignment.partition][queue] = None
            log.warning("gateway call failed; retrying", **fields, seconds=round(wait, 1))
            return
        queue.given_up = True
        log.error("gateway call given up; its request is parked as unanswered", **fields)
        reason = failure.reason
        if not failure.final:
            reason = f"the gateway failed {queue.tried} times, at last: {reason}"
        self._done(CallResult(queue.assignment, call, None, reason, failure.detail))

    def _retry(self, queue: CallQueue) -> None:
        queue.timer = None
        self._ready.append(queue)
        self._start_calls()

    async def _try(self, queue: CallQueue, call: PendingCall) -> EventData | CallFailure:
        """Call the gateway once. Whatever it raises is a failure, so that nothing can end a key's calls for ever."""
        event_type, gateway = call.event.data.event_type, self._gateways.get(type(call.event.data))
        if gateway is None:
            return CallFailure(f"{event_type} has no gateway in this application any more", final=True)
        limit = asyncio.timeout(self._policy.timeout)
        try:
            async with limit:
                asked: object = gateway.call(call.event)
                if not inspect.isawaitable(asked):
                    return CallFailure(f"the gateway of {event_type} is no async function: it gave {asked!r:.100}", final=True)
                answer: EventData = await asked
        except BaseException as error:
            if isinstance(error, asyncio.CancelledError) and not self._is_assigned(queue):
                raise
            expired = isinstance(error, TimeoutError) and limit.expired()
            return CallFailure(f"no answer in {self._policy.timeout:g} s") if expired else _failure_of(error)
        try:
            self._check(call, answer)
        except InvalidEvent as error:
            return CallFailure(str(error), final=True)
        except Exception as error:  # noqa: BLE001 - a value that cannot even be checked
            return _failure_of(error)._replace(final=True)
        return answer


def _failure_of(error: BaseException) -> CallFailure:
    return CallFailure(in_a_line(error), "".join(traceback.format_exception(error)))
