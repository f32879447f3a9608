"""The poll thread's side of what is pending: which timers are due, and what the gateways' calls came to."""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import NamedTuple

from streams.engine.engine import Engine
from streams.engine.image import Image
from streams.engine.pending import answered, exhausted, fire
from streams.engine.records import Call, Changes
from streams.errors import InvalidEvent
from streams.worker.caller import Caller, Result

RESULTS = 500
"""Results taken in one go."""


class Owed(NamedTuple):
    """Changes of one partition that came from no inbox; `again` is to be called if they could not be committed."""

    changes: Changes
    again: Callable[[], None]


class Pending:
    """`caller` gives the one of the running event loop; results come in from there."""

    def __init__(self, engine: Engine, caller: Callable[[Callable[[Result], None]], Caller]) -> None:
        self._engine, self._make = engine, caller
        self._results: queue.SimpleQueue[Result] = queue.SimpleQueue()
        self._caller: Caller | None = None
        self._next_due: dict[int, int] = {}

    def come(self, image: Image) -> None:
        """A partition is ours: what it owes is called and timed from here."""
        self._note_due(image)
        self._call(image.partition, list(image.calls.values()))

    def gone(self, partition: int) -> None:
        self._next_due.pop(partition, None)
        if self._caller is not None:
            self._caller.forget(partition)

    def committed(self, changes: Changes) -> None:
        """Call what was made durable, and no earlier."""
        if changes.due:
            earliest = min(due.at for due in changes.due)
            self._next_due[changes.partition] = min(self._next_due.get(changes.partition, earliest), earliest)
        self._call(changes.partition, changes.calls)

    def owed(self, images: Mapping[int, Image], now: int) -> Iterator[Owed]:
        """What is to be committed now; what came before is applied by then."""
        for partition in [p for p, at in self._next_due.items() if at <= now and p in images]:
            if (changes := fire(images[partition], now)) is not None:
                yield Owed(changes, lambda: None)
            if partition in images:
                self._note_due(images[partition])
        for _ in range(RESULTS):
            try:
                result = self._results.get_nowait()
            except queue.Empty:
                return
            image = images.get(result.partition)
            if image is not None and result.call.event.id in image.calls:
                yield Owed(self._came_to(image, result, now), partial(self._results.put, result))

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
