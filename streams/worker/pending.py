"""The poll thread's side of what is pending: which timers are due, and what the gateways' calls came to."""

from __future__ import annotations

import queue
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from streams.engine.batch import Answer, GivenUp
from streams.engine.changes import Call, Changes
from streams.engine.engine import Engine
from streams.engine.image import Image
from streams.engine.timers import BYTES_AT_ONCE
from streams.worker.caller import Caller, Result, Tenure
from streams.worker.restore import Restored

RESULTS = 500
"""What one transaction takes of them."""


@dataclass
class Held:
    """Restored calls, whose answers may lie in the inbox before `end`; `read` is how far nothing more lies in it."""

    calls: list[Call]
    end: int
    read: int = 0


class Pending:
    """`caller` gives the one of the running event loop; results come in from there."""

    def __init__(self, engine: Engine, caller: Callable[[Callable[[Result], None]], Caller]) -> None:
        self._engine, self._make = engine, caller
        self._results: queue.SimpleQueue[Result] = queue.SimpleQueue()
        self._waiting: dict[int, deque[Result]] = {}
        """Results by partition, in the order in which they came, until they are committed."""
        self._caller: Caller | None = None
        self._held: dict[int, Held] = {}
        self._terms: Counter[int] = Counter()
        self._rounds = 0

    def come(self, restored: Restored) -> None:
        """A partition is ours: what is pending is called once no answer of before lies in the inbox."""
        image = restored.image
        if image.calls:
            self._held[image.partition] = Held(list(image.calls.values()), restored.inbox_end)

    def at_end(self, partition: int, offset: int) -> None:
        """All that lies in the inbox before `offset` was handled. Behind the last event there may be records of Kafka's own."""
        if (held := self._held.get(partition)) is not None:
            held.read = offset

    def _tenure(self, partition: int) -> Tenure:
        return Tenure(partition, self._terms[partition])

    def _release(self, images: Mapping[int, Image]) -> None:
        for partition, held in list(self._held.items()):
            image = images.get(partition)
            if image is not None and max(image.inbox_next, held.read) >= held.end:
                del self._held[partition]
                self._call(partition, [call for call in held.calls if call.event.reference in image.calls])

    def gone(self, partition: int) -> None:
        self._waiting.pop(partition, None)
        self._held.pop(partition, None)
        if self._caller is not None:
            self._caller.forget(self._tenure(partition))
        self._terms[partition] += 1

    def finish(self, seconds: float) -> None:
        """Before the partitions go: begin no more calls, and give those in flight a last chance to be answered."""
        if self._caller is not None:
            self._caller.finish(seconds)

    def committed(self, changes: Changes) -> None:
        """Call what was made durable, and no earlier."""
        calls = [call for reference, call in changes.calls.items() if reference not in changes.settled]
        if (held := self._held.get(changes.partition)) is not None:
            held.calls += calls  # a key's calls stay in order
        else:
            self._call(changes.partition, calls)

    def owed(self, images: Mapping[int, Image], now: int) -> Iterator[Changes]:
        """Changes that come from no inbox, each of one partition, to be committed and applied before the next is asked for.

        Who could not commit stops asking: the same comes again. Who stops for another reason finds other partitions
        first the next time, and timers and answers by turns.
        """
        self._release(images)
        self._sort(images)
        for partition in self._in_turn(list(images)):
            image = images[partition]
            timers = self._engine.begin(image, now)
            if timers.fire():
                yield timers.changes
            yield from self._came_in(image, now)

    def _in_turn(self, partitions: Sequence[int]) -> Iterable[int]:
        self._rounds += 1
        first = self._rounds % max(1, len(partitions))
        return [*partitions[first:], *partitions[:first]]

    def _sort(self, images: Mapping[int, Image]) -> None:
        """Take what has come in by now; what was asked for a partition that has gone is its owner's to ask again."""
        for _ in range(self._results.qsize()):
            result = self._results.get_nowait()
            partition = result.tenure.partition
            if partition in images and result.tenure == self._tenure(partition):
                self._waiting.setdefault(partition, deque()).append(result)

    def _came_in(self, image: Image, now: int) -> Iterator[Changes]:
        results = self._waiting.get(image.partition)
        while results:
            changes, taken = self._together(image, results, now)
            if changes is not None:
                yield changes
            for _ in range(taken):
                self._dealt_with(image, results.popleft())

    def _dealt_with(self, image: Image, result: Result) -> None:
        """What of its key came after a call that was given up is parked with it, or to be made now."""
        if result.answer is None and self._caller is not None:
            key = result.call.event.key
            pending = frozenset(call.event.reference for call in image.calls.of(key))
            self._caller.go_on(result.tenure, key, pending)

    def _together(self, image: Image, results: Iterable[Result], now: int) -> tuple[Changes | None, int]:
        """What the first results come to in one transaction, and how many they are."""
        batch, taken, size = self._engine.begin(image, now), 0, 0
        for result in islice(results, RESULTS):
            size += batch.answer(_came_of(result))
            taken += 1
            if size >= BYTES_AT_ONCE:
                break
        return batch.changes if batch.changes.handled else None, taken

    def _call(self, partition: int, calls: Sequence[Call]) -> None:
        if calls:
            if self._caller is None:
                self._caller = self._make(self._results.put)
            self._caller.submit(self._tenure(partition), calls)


def _came_of(result: Result) -> Answer | GivenUp:
    if result.answer is None:
        return GivenUp(result.call, result.reason, result.detail)
    return Answer(result.call, result.answer)
