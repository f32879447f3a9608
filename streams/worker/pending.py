"""The poll thread's side of what is pending: which timers are due, and what the gateways' calls came to."""

from __future__ import annotations

import queue
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice

from streams.engine.engine import Engine
from streams.engine.image import Image
from streams.engine.pending import answered, exhausted, fire
from streams.engine.records import Call, Changes
from streams.errors import InvalidEvent
from streams.worker.caller import Caller, Result
from streams.worker.restore import Restored

RESULTS, RESULT_BYTES = 500, 4 * 1024 * 1024
"""What one transaction takes of them."""


QUIET = 1.0
"""s without a record after which an inbox is taken to be read: its end may lie behind records of Kafka's own."""


@dataclass
class Held:
    """Restored calls, whose answers may lie in the inbox before `end`; `until` (monotonic s) moves as records come."""

    calls: list[Call]
    end: int
    until: float


class Pending:
    """`caller` gives the one of the running event loop; results come in from there."""

    def __init__(self, engine: Engine, caller: Callable[[Callable[[Result], None]], Caller]) -> None:
        self._engine, self._make = engine, caller
        self._results: queue.SimpleQueue[Result] = queue.SimpleQueue()
        self._waiting: dict[int, deque[Result]] = {}
        """Results by partition, in the order in which they came, until they are committed."""
        self._caller: Caller | None = None
        self._next_due: dict[int, int] = {}
        self._held: dict[int, Held] = {}

    def come(self, restored: Restored) -> None:
        """A partition is ours: what it owes is timed from here, and called once no answer of before lies in the inbox."""
        image = restored.image
        self._note_due(image)
        if image.calls:
            calls = list(image.calls.values())
            self._held[image.partition] = Held(calls, restored.inbox_end, time.monotonic() + QUIET)

    def arrived(self, partitions: Iterable[int]) -> None:
        """Records of these came from the inbox."""
        for partition in self._held.keys() & set(partitions):
            self._held[partition].until = time.monotonic() + QUIET

    def _release(self, images: Mapping[int, Image]) -> None:
        for partition, held in list(self._held.items()):
            image = images.get(partition)
            if image is not None and (image.inbox_next >= held.end or time.monotonic() >= held.until):
                del self._held[partition]
                self._call(partition, [call for call in held.calls if call.event.reference in image.calls])

    def gone(self, partition: int) -> None:
        self._next_due.pop(partition, None)
        self._waiting.pop(partition, None)
        self._held.pop(partition, None)
        if self._caller is not None:
            self._caller.forget(partition)

    def finish(self, seconds: float) -> None:
        """Before the partitions go: begin no more calls, and give those in flight a last chance to be answered."""
        if self._caller is not None:
            self._caller.finish(seconds)

    def committed(self, changes: Changes) -> None:
        """Call what was made durable, and no earlier."""
        if changes.due:
            earliest = min(due.at for due in changes.due)
            self._next_due[changes.partition] = min(self._next_due.get(changes.partition, earliest), earliest)
        if (held := self._held.get(changes.partition)) is not None:
            held.calls += changes.calls  # a key's calls stay in order
        else:
            self._call(changes.partition, changes.calls)

    def owed(self, images: Mapping[int, Image], now: int) -> Iterator[Changes]:
        """Changes that come from no inbox, each of one partition, to be committed and applied before the next is asked for.

        Who could not commit stops asking: the same comes again.
        """
        for partition in [p for p, at in self._next_due.items() if at <= now and p in images]:
            if (changes := fire(images[partition], now)) is not None:
                yield changes
            if partition in images:
                self._note_due(images[partition])
        self._release(images)
        self._sort(images)
        for partition, results in list(self._waiting.items()):
            while results and partition in images:
                changes, taken = self._together(images[partition], results, now)
                if changes is not None:
                    yield changes
                for _ in range(taken):
                    results.popleft()
            if not results:
                self._waiting.pop(partition, None)

    def _sort(self, images: Mapping[int, Image]) -> None:
        """Take what has come in by now; a partition that is another's is its owner's to call for."""
        for _ in range(self._results.qsize()):
            result = self._results.get_nowait()
            if result.partition in images:
                self._waiting.setdefault(result.partition, deque()).append(result)

    def _together(self, image: Image, results: Iterable[Result], now: int) -> tuple[Changes | None, int]:
        """What the first results come to in one transaction, and how many they are."""
        changes, taken, size = None, 0, 0
        for result in islice(results, RESULTS):
            if result.call.event.reference in image.calls:
                came = self._came_to(image, result, now)
                size += sum(len(it.value) for it in came.emitted) + sum(len(it.value) for it in came.set_aside)
                if changes is not None and (size > RESULT_BYTES or came.queues.keys() & changes.queues.keys()):
                    break  # a key's queue grows by what is committed
                changes = came if changes is None else _joined(changes, came)
            taken += 1
        return changes, taken

    def _came_to(self, image: Image, result: Result, now: int) -> Changes:
        call, reason = result.call, result.reason
        if result.answer is not None:
            try:
                return answered(self._engine, image, call, result.answer, now)
            except InvalidEvent as error:
                reason = str(error)
        return exhausted(self._engine, image, call, reason, result.detail, now)

    def _note_due(self, image: Image) -> None:
        if image.due:
            self._next_due[image.partition] = min(due.at for due in image.due.values())
        else:
            self._next_due.pop(image.partition, None)

    def _call(self, partition: int, calls: list[Call]) -> None:
        if calls:
            if self._caller is None:
                self._caller = self._make(self._results.put)
            self._caller.submit(partition, calls)


def _joined(first: Changes, second: Changes) -> Changes:
    """Both, of one partition: they emit answers, or park requests of different keys."""
    first.emitted += second.emitted
    first.set_aside += second.set_aside
    first.settled += second.settled
    first.queues |= second.queues
    first.counters = first.counters.plus(second.counters)
    first.handled += second.handled
    return first
