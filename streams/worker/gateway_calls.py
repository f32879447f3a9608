"""Gateway calls in the namespace's thread: which to make, and their results. Each task keeps its own."""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterable, Sequence
from itertools import islice

from msgspec.structs import replace

from streams.engine.batch import CallAnswer, CallGivenUp
from streams.engine.changes import Changes, PendingCall
from streams.worker.caller import Caller, CallResult
from streams.worker.task import PartitionTask

RESULTS = 500
"""The most call results of a partition in one transaction."""
POLL_TIMEOUTS = ((0.05, 0.001), (1.0, 0.005))
"""(s since the last call or result, s that a poll waits at most): a short poll, since an answer does not wake one."""


class GatewayCalls:
    """`make` makes a caller, which returns results from its own thread. `monotonic` is in s."""

    def __init__(self, make: Callable[[Callable[[CallResult], None]], Caller], monotonic: Callable[[], float]) -> None:
        self._make, self._monotonic = make, monotonic
        self._results: queue.SimpleQueue[CallResult] = queue.SimpleQueue()
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

    def sort(self, tasks: Sequence[PartitionTask]) -> None:
        """Give each task the results of its calls, and make the restored calls that need not wait any longer.

        Results for a closed task are dropped: its successor calls again.
        """
        for task in tasks:
            self._call(task, task.take_restored_calls())
        there = {task.assignment: task for task in tasks}
        if count := self._results.qsize():
            self._last = self._monotonic()
        for _ in range(count):
            result = self._results.get_nowait()
            if (owner := there.get(result.assignment)) is not None:
                owner.results.append(result)

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
            pending = frozenset(call.event.reference for call in task.image.calls.of(key))
            self._caller.resume(result.assignment, key, pending)

    def _call(self, task: PartitionTask, calls: Sequence[PendingCall]) -> None:
        if calls:
            self._last = self._monotonic()
            if self._caller is None:
                self._caller = self._make(self._results.put)
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
