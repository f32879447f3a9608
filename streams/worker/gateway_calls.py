"""Gateway calls in the namespace's thread: which to make, and their results. Each task keeps its own."""

from __future__ import annotations

import queue
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice

import structlog
from confluent_kafka import KafkaException
from msgspec.structs import replace

from streams.engine.batch import CallAnswer, CallGivenUp
from streams.engine.changes import CallReference, Changes, KeptCall, PendingCall
from streams.errors import BrokerError
from streams.worker.call_queues import Assignment, BodyWanted
from streams.worker.caller import Caller, CallResult
from streams.worker.due_bodies import FoundBodies
from streams.worker.task import PartitionTask

log = structlog.get_logger("retold.worker")

RESULTS = 500
"""The most call results of a partition in one transaction."""
BETWEEN, AGAIN = 0.1, 1.0
"""s between two reads of bodies, since many are read together; and if the broker does not give them."""
POLL_TIMEOUTS = ((0.05, 0.001), (1.0, 0.005))
"""(s since the last call or result, s that a poll waits at most): a short poll, since an answer does not wake one."""


Came = CallResult | BodyWanted
"""What a caller tells."""
Read = Callable[[int, Sequence[CallReference]], FoundBodies]
"""Gives the bodies of a partition's calls. Raises BrokerError."""


class GatewayCalls:
    """`make` makes a caller, which tells what came of calls from its own thread. `monotonic` is in s.

    `read` reads the bodies that are not in memory when their calls are to be made.
    """

    def __init__(self, make: Callable[[Callable[[Came], None]], Caller], monotonic: Callable[[], float], read: Read) -> None:
        self._make, self._monotonic, self._read = make, monotonic, read
        self._came: queue.SimpleQueue[Came] = queue.SimpleQueue()
        self._wanted: defaultdict[Assignment, dict[str, None]] = defaultdict(dict)
        self._not_before = float("-inf")
        self._caller: Caller | None = None
        self._last = -POLL_TIMEOUTS[-1][0]

    def poll_timeout(self, idle: float) -> float:
        """How long a poll may wait, in s: less while an answer may come at any moment, else `idle`."""
        since = self._monotonic() - self._last
        return next((wait for until, wait in POLL_TIMEOUTS if since < until), idle)

    def closed(self, task: PartitionTask) -> None:
        """Cancel the calls of a closed task: the partition's new owner makes them."""
        if self._caller is not None:
            self._caller.forget(task.assignment)

    def finish(self, seconds: float) -> None:
        """Before the partitions are given up: start no more calls, and wait at most `seconds` for those in flight."""
        if self._caller is not None:
            self._caller.finish(seconds)

    def trouble(self, partition: int) -> str:
        """What its gateways fail at now, in words; empty if nothing is. From any thread."""
        return "" if self._caller is None else self._caller.trouble(partition)

    def sort(self, tasks: Sequence[PartitionTask]) -> list[PartitionTask]:
        """Give each task the results of its calls, and make the restored calls that need not wait any longer.

        Results for a closed task are dropped: its successor calls again. Returns the tasks of which the due topic lacks a call:
        somebody has deleted it.
        """
        for task in tasks:
            self._call(task, task.take_restored_calls())
        there = {task.assignment: task for task in tasks}
        if count := self._came.qsize():
            self._last = self._monotonic()
        for _ in range(count):
            came = self._came.get_nowait()
            if (owner := there.get(came.assignment)) is None:
                continue
            if isinstance(came, BodyWanted):
                self._wanted[came.assignment][came.reference] = None
            else:
                owner.results.append(came)
        return self._provide_all(there)

    def _provide_all(self, there: Mapping[Assignment, PartitionTask]) -> list[PartitionTask]:
        """Provide the bodies that are wanted. Returns the tasks of which one is not in the due topic."""
        if not self._wanted or self._monotonic() < self._not_before:
            return []
        self._not_before = self._monotonic() + BETWEEN
        wanted, self._wanted = self._wanted, defaultdict(dict)
        return [task for at, references in wanted.items() if (task := there.get(at)) and not self._provide(task, references)]

    def _provide(self, task: PartitionTask, references: Iterable[str]) -> bool:
        kept = {it: task.image.calls.get(it) for it in references}
        left = [it for it in kept.values() if isinstance(it, CallReference)]
        try:
            found = self._read(task.partition, left) if left else FoundBodies({})
        except (BrokerError, KafkaException) as error:
            log.warning("requests of gateways cannot be read now", partition=task.partition, error=str(error))
            self._wanted[task.assignment] |= dict.fromkeys(kept)
            self._not_before = self._monotonic() + AGAIN
            return True
        calls = {name: call if isinstance(call, PendingCall) else None for name, call in kept.items()}
        for it in left:
            body = found.bodies.get(it.reference)
            if isinstance(body, PendingCall):
                calls[it.reference] = body
            else:  # it was not come to, or it is not there, and the partition is restored
                del calls[it.reference]
                self._wanted[task.assignment][it.reference] = None
        if self._caller is not None:
            self._caller.provide(task.assignment, calls)
        return found.is_all_there

    def committed(self, task: PartitionTask, changes: Changes) -> None:
        """Make the calls of committed changes, and drop the results that they have handled."""
        calls = [call for reference, call in changes.calls.items() if reference not in changes.settled]
        if not task.hold_back(calls):
            self._call(task, calls)
        for _ in range(changes.answered):
            self._deal_with(task, task.results.popleft())

    def _deal_with(self, task: PartitionTask, result: CallResult) -> None:
        """After a call was given up, resume its key: later calls are parked with it, or are made now."""
        if result.answer is None and self._caller is not None:
            key = result.call.event.key
            pending = frozenset(call.reference for call in task.image.calls.of(key))
            self._caller.resume(result.assignment, key, pending)

    def _call(self, task: PartitionTask, calls: Sequence[KeptCall]) -> None:
        if calls:
            self._last = self._monotonic()
            if self._caller is None:
                self._caller = self._make(self._came.put)
            self._caller.submit(task.assignment, calls)


def answers_of(results: Iterable[CallResult], most: int = RESULTS) -> list[CallAnswer | CallGivenUp]:
    """The first `most` results in the form that the engine takes."""
    return [_answer_of(result) for result in islice(results, most)]


def refuse_answer(result: CallResult, reason: str) -> CallResult:
    """A result without the answer, which is too large for a transaction: its request will be parked."""
    return replace(result, answer=None, value=b"", reason=f"the answer cannot be published: {reason}")


def _answer_of(result: CallResult) -> CallAnswer | CallGivenUp:
    if result.answer is None:
        return CallGivenUp(result.call, result.reason, result.detail)
    return CallAnswer(result.call, result.answer, result.value)
