"""Calls gateways: concurrently for different keys, in order for one key, with retries.

Calls are made at least once: if a worker dies before an answer is handled, the next owner calls again (rule 23). The event's
reference is the idempotency key of a call.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from contextvars import Context, copy_context
from dataclasses import dataclass
from typing import Any

import msgspec
import structlog

from streams.data import EventData
from streams.engine.changes import KeptCall, PendingCall
from streams.gateway import Gateway
from streams.worker.call_queues import BODIES, Assignment, BodyWanted, CallQueue, ReadyCalls
from streams.worker.call_try import CallFailure, CallTries, Check, CheckedAnswer
from streams.worker.meter import ANSWERED, FAILED, GIVEN_UP, UNMETERED, Meter
from streams.worker.runtime import Flag

log = structlog.get_logger("retold.worker")

SLICE = 0.001
"""s after which a task calls for no other key, so that the event loop goes on."""


@dataclass(frozen=True)
class RetryPolicy:
    """At most `concurrency` calls at the same time. A call has `timeout` s and `tries`; the waits between tries double.

    They begin with `first_wait` and end with `longest_wait`, in s. Requests that wait take `bodies` bytes in memory, about.
    """

    concurrency: int = 16
    timeout: float = 30.0
    tries: int = 10
    first_wait: float = 0.2
    longest_wait: float = 60.0
    bodies: int = BODIES


class CallResult(msgspec.Struct, frozen=True):
    """The result of a call: an answer with its bytes, or the reason why there is none."""

    assignment: Assignment
    call: PendingCall
    answer: EventData | None
    reason: str = ""
    detail: str = ""
    value: bytes = b""


class Caller:
    """Works on `loop`; a namespace's thread calls the public methods, and `done` gets each result, and which bodies to provide.

    `ended` is set when the last call that began before `finish` has ended. After a call of a key was given up, the key's other
    calls wait for `resume`.
    """

    def __init__(
        self,
        gateways: Mapping[type[EventData], Gateway[Any]],
        check: Check,
        policy: RetryPolicy,
        loop: asyncio.AbstractEventLoop,
        done: Callable[[CallResult | BodyWanted], None],
        ended: Flag,
        meter: Meter = UNMETERED,
    ) -> None:
        self._tries, self._policy, self._done = CallTries(gateways, check, policy.timeout, loop), policy, done
        self._queues: defaultdict[Assignment, dict[str, CallQueue]] = defaultdict(dict)
        self._ready = ReadyCalls(done, policy.bodies)
        self._running: set[asyncio.Task[None]] = set()
        self._loop = loop
        self._failing: defaultdict[int, dict[CallQueue, None]] = defaultdict(dict)
        """By partition, the keys whose call is tried again; only the loop's thread changes it."""
        self._last_failure: dict[int, str] = {}
        self._ending, self._ended, self._meter = False, ended, meter

    def submit(self, assignment: Assignment, calls: Iterable[KeptCall]) -> None:
        self._loop.call_soon_threadsafe(self._submit, assignment, calls)

    def provide(self, assignment: Assignment, found: Mapping[str, PendingCall | None]) -> None:
        """Bodies that were wanted, by reference. None: nobody waits for that call any more."""
        self._loop.call_soon_threadsafe(self._provide, assignment, found)

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

    def _submit(self, assignment: Assignment, calls: Iterable[KeptCall]) -> None:
        queues, kept = self._queues[assignment], self._ready.kept
        for call in calls:
            key = call.key
            queue = queues.get(key)
            if queue is None:
                queue = queues[key] = CallQueue(assignment, key, [kept(call)])
                self._ready.add(queue)
            else:
                queue.calls.append(kept(call))
        self._start_calls()

    def _provide(self, assignment: Assignment, found: Mapping[str, PendingCall | None]) -> None:
        for queue in self._ready.provide(assignment, found):
            self._failing[assignment.partition].pop(queue, None)
            queue.end_first()
            self._next(queue)
        self._start_calls()

    def _resume(self, assignment: Assignment, key: str, pending: Collection[str]) -> None:
        queue = self._queues[assignment].get(key)
        if queue is not None and queue.given_up:
            queue.given_up = False
            self._ready.end_first(queue)
            self._ready.keep(queue, pending)
            self._next(queue)
            self._start_calls()

    def _forget(self, assignment: Assignment) -> None:
        self._failing.pop(assignment.partition, None)
        queues = self._queues.pop(assignment, {}).values()
        self._ready.forget(queues)
        for queue in queues:
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
        while len(self._running) < self._policy.concurrency and (queue := self._next_key()) is not None:
            task = queue.task = self._loop.create_task(self._work(queue))
            self._running.add(task)
            task.add_done_callback(self._worked)  # called even if the task is cancelled before it starts
        if not self._ending:
            self._ready.ask()

    def _next_key(self) -> CallQueue | None:
        """The next one to call for; None: there is none, or no more calls are started."""
        return None if self._ending else self._ready.next()

    def _worked(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self._start_calls()
        self._check_ended()

    async def _work(self, first: CallQueue) -> None:
        """Call for one key, and for others as long as no call waits: to make a task takes longer than such a call.

        One that has waited, was cancelled, or has left something in the task's context is the last of its task.
        """
        task, until, context = first.task, self._loop.time() + SLICE, copy_context()
        queue: CallQueue | None = first
        while task is not None and queue is not None:
            queue.task = task
            waited = await self._call(queue)
            if queue.task is task:  # else its next call has started already
                queue.task = None
            if waited or task.cancelling() or self._loop.time() >= until or not _is_current(context):
                return
            queue = self._next_key()

    async def _call(self, queue: CallQueue) -> bool:
        """Make the first call of a key; returns whether it has waited."""
        call, began = queue.first, self._loop.time()
        assert isinstance(call, PendingCall), "its body is here before a call is made"
        came, waited = await self._tries.once(call)
        if queue.forgotten:
            return waited
        if queue.tried:
            self._failing[queue.assignment.partition].pop(queue, None)
        queue.tried += 1
        self._meter.called(call.event.data.event_type, self._outcome(queue, came), self._loop.time() - began)
        if isinstance(came, CallFailure):
            self._failed(queue, call, came)
        else:
            self._done(CallResult(queue.assignment, call, came.data, value=came.value))
            self._ready.end_first(queue)
            self._next(queue)
        return waited

    def _outcome(self, queue: CallQueue, came: CheckedAnswer | CallFailure) -> str:
        if not isinstance(came, CallFailure):
            return ANSWERED
        return GIVEN_UP if came.final or queue.tried >= self._policy.tries else FAILED

    def _next(self, queue: CallQueue) -> None:
        """Make the queue's first call ready, if there is one."""
        queue.tried = 0
        if queue.first is not None:
            self._ready.add(queue)
        else:
            del self._queues[queue.assignment][queue.key]

    def _failed(self, queue: CallQueue, call: PendingCall, failure: CallFailure) -> None:
        """Retry after a growing wait, or give up."""
        event, policy = call.event, self._policy
        fields = {"type": event.data.event_type, "key": event.key, "id": event.id, "tried": queue.tried, "reason": failure.reason}
        if self._outcome(queue, failure) == FAILED:
            wait = min(policy.first_wait * 2 ** min(queue.tried - 1, 30), policy.longest_wait)
            queue.timer = self._loop.call_later(wait, self._retry, queue)
            self._last_failure[queue.assignment.partition] = (
                f"{event.data.event_type} of {event.key!r:.100} after {queue.tried} of {policy.tries} tries: {failure.reason:.300}"
            )
            self._failing[queue.assignment.partition][queue] = None
            self._ready.failed(queue)
            log.warning("gateway call failed; retrying", **fields, seconds=round(wait, 1))
            return
        queue.given_up = True
        self._ready.leave(queue)
        log.error("gateway call given up; its request is parked as unanswered", **fields)
        reason = failure.reason
        if not failure.final:
            reason = f"the gateway failed {queue.tried} times, at last: {reason}"
        self._done(CallResult(queue.assignment, call, None, reason, failure.detail))

    def _retry(self, queue: CallQueue) -> None:
        queue.timer = None
        self._ready.add(queue)
        self._start_calls()


def _is_current(context: Context) -> bool:
    """Whether nothing was set in the context since."""
    try:
        return copy_context() == context
    except Exception:  # noqa: BLE001 - values may be anything, and these were set since
        return False
