"""The poll thread's side of what is pending: which timers are due, and what the gateways' calls came to."""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice

from streams.engine.batch import Answer, GivenUp
from streams.engine.changes import Call, Changes
from streams.engine.engine import Engine
from streams.engine.image import Image
from streams.engine.timers import BYTES_AT_ONCE
from streams.worker.caller import Caller, Result
from streams.worker.task import PartitionTask

RESULTS = 500
"""What one transaction takes of them."""


class Pending:
    """`make` gives a caller on the running event loop, which hands results back. What is pending of a partition is its task's."""

    def __init__(self, engine: Engine, make: Callable[[Callable[[Result], None]], Caller]) -> None:
        self._engine, self._make = engine, make
        self._results: queue.SimpleQueue[Result] = queue.SimpleQueue()
        self._caller: Caller | None = None
        self._rounds = 0

    def closed(self, task: PartitionTask) -> None:
        """Its new owner calls."""
        if self._caller is not None:
            self._caller.forget(task.assignment)

    def finish(self, seconds: float) -> None:
        """Before the partitions go: begin no more calls, and give those in flight a last chance to be answered."""
        if self._caller is not None:
            self._caller.finish(seconds)

    def committed(self, task: PartitionTask, changes: Changes) -> None:
        """Call what was made durable, and no earlier."""
        calls = [call for reference, call in changes.calls.items() if reference not in changes.settled]
        if not task.hold_back(calls):
            self._call(task, calls)

    def owed(self, tasks: Sequence[PartitionTask], now: int) -> Iterator[tuple[PartitionTask, Changes]]:
        """Changes that come from no inbox, each of one partition, to be committed and applied before the next is asked for.

        Who could not commit stops asking: the same comes again. Who stops for another reason finds other partitions
        first the next time, and timers and answers by turns.
        """
        for task in tasks:
            self._call(task, task.take_restored_calls())
        self._sort(tasks)
        for task in self._in_turn(tasks):
            timers = self._engine.begin(task.image, now)
            if timers.fire():
                yield task, timers.changes
            for changes in self._came_in(task, now):
                yield task, changes

    def _in_turn(self, tasks: Sequence[PartitionTask]) -> Iterable[PartitionTask]:
        self._rounds += 1
        first = self._rounds % max(1, len(tasks))
        return [*tasks[first:], *tasks[:first]]

    def _sort(self, tasks: Sequence[PartitionTask]) -> None:
        """Take what has come in by now; what was called for a task that is closed is its successor's to call again."""
        there = {task.assignment: task for task in tasks}
        for _ in range(self._results.qsize()):
            result = self._results.get_nowait()
            if (task := there.get(result.assignment)) is not None:
                task.results.append(result)

    def _came_in(self, task: PartitionTask, now: int) -> Iterator[Changes]:
        while task.results:
            changes, taken = self._together(task.image, task.results, now)
            if changes is not None:
                yield changes
            for _ in range(taken):
                self._dealt_with(task.image, task.results.popleft())

    def _dealt_with(self, image: Image, result: Result) -> None:
        """What of its key came after a call that was given up is parked with it, or to be made now."""
        if result.answer is None and self._caller is not None:
            key = result.call.event.key
            pending = frozenset(call.event.reference for call in image.calls.of(key))
            self._caller.go_on(result.assignment, key, pending)

    def _together(self, image: Image, results: Iterable[Result], now: int) -> tuple[Changes | None, int]:
        """What the first results come to in one transaction, and how many they are."""
        batch, taken, size = self._engine.begin(image, now), 0, 0
        for result in islice(results, RESULTS):
            size += batch.answer(_came_of(result))
            taken += 1
            if size >= BYTES_AT_ONCE:
                break
        return batch.changes if batch.changes.handled else None, taken

    def _call(self, task: PartitionTask, calls: Sequence[Call]) -> None:
        if calls:
            if self._caller is None:
                self._caller = self._make(self._results.put)
            self._caller.submit(task.assignment, calls)


def _came_of(result: Result) -> Answer | GivenUp:
    if result.answer is None:
        return GivenUp(result.call, result.reason, result.detail)
    return Answer(result.call, result.answer)
