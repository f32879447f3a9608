"""Gateways' calls as the namespace's thread sees them: which to make, and what they came to. Each task keeps its own."""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from itertools import islice

from streams.engine.batch import CallAnswer, CallGivenUp
from streams.engine.changes import Changes, PendingCall
from streams.worker.caller import Caller, CallResult
from streams.worker.task import PartitionTask

RESULTS = 500
"""What one transaction takes of them, of a partition."""
POLL_TIMEOUTS = ((0.05, 0.001), (1.0, 0.005))
"""Up to so many s after a call was asked for, or came to something, a poll waits this many s at most: an answer wakes no poll."""


class GatewayCalls:
    """`make` gives a caller, which hands results back from its own thread. `monotonic` gives s."""

    def __init__(self, make: Callable[[Callable[[CallResult], None]], Caller], monotonic: Callable[[], float]) -> None:
        self._make, self._monotonic = make, monotonic
        self._results: queue.SimpleQueue[CallResult] = queue.SimpleQueue()
        self._caller: Caller | None = None
        self._last = -POLL_TIMEOUTS[-1][0]

    def poll_timeout(self, idle: float) -> float:
        """How long a poll may wait, in s: less while an answer may come any moment, else `idle`."""
        since = self._monotonic() - self._last
        return next((wait for until, wait in POLL_TIMEOUTS if since < until), idle)

    def closed(self, task: PartitionTask) -> None:
        """Its new owner calls."""
        if self._caller is not None:
            self._caller.forget(task.assignment)

    def finish(self, seconds: float) -> None:
        """Before the partitions go: begin no more calls, and give those in flight a last chance to be answered."""
        if self._caller is not None:
            self._caller.finish(seconds)

    def sort(self, tasks: Sequence[PartitionTask]) -> None:
        """Give each task what its calls came to by now, and make the restored calls that need not wait any longer.

        What was called for a task that is closed is its successor's to call again.
        """
        for task in tasks:
            self._call(task, task.take_restored_calls())
        there = {task.assignment: task for task in tasks}
        for _ in range(self._results.qsize()):
            result = self._results.get_nowait()
            self._last = self._monotonic()
            if (owner := there.get(result.assignment)) is not None:
                owner.results.append(result)

    def committed(self, task: PartitionTask, changes: Changes) -> None:
        """Call what was made durable, and no earlier; what calls came to is dealt with."""
        calls = [call for reference, call in changes.calls.items() if reference not in changes.settled]
        if not task.hold_back(calls):
            self._call(task, calls)
        for _ in range(changes.answered):
            self._deal_with(task, task.results.popleft())

    def _deal_with(self, task: PartitionTask, result: CallResult) -> None:
        """What of its key came after a call that was given up is parked with it, or to be made now."""
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
    """The first of them, as the engine takes them."""
    return [_answer_of(result) for result in islice(results, most)]


def refuse_answer(result: CallResult, reason: str) -> CallResult:
    """In the place of an answer that no transaction can hold: its request is parked."""
    return replace(result, answer=None, reason=f"the answer cannot be published: {reason}")


def _answer_of(result: CallResult) -> CallAnswer | CallGivenUp:
    if result.answer is None:
        return CallGivenUp(result.call, result.reason, result.detail)
    return CallAnswer(result.call, result.answer)
