"""Handling one batch of one partition: answers, timers and records over one overlay, dropped or applied as a whole.

The result is one `Changes`, with one marker, in one transaction (rule 9).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import NamedTuple

from streams.data import EventData
from streams.engine.admission import NO_QUARANTINES, Admission
from streams.engine.attempts import UNWATCHED, Attempts
from streams.engine.calls import Calls
from streams.engine.changes import Changes, PendingCall, PendingTimer
from streams.engine.event_handlers import EventHandlers, Inbox
from streams.engine.execution import Execution
from streams.engine.image import Image
from streams.engine.overlay import BatchFull, Overlay
from streams.engine.parking import Parking
from streams.engine.quick_handling import QuickHandling
from streams.engine.quick_types import QuickTypes
from streams.engine.records import Batch, InboxRecord
from streams.engine.timers import TIMER_BYTES_PER_BATCH, Timers
from streams.engine.wire_format import WireFormat

SMALLEST_PIECE, LARGEST_PIECE = 16, 1024
"""Records handled between two checks of the clock. Small pieces come first: a slow handler may need a second for ten records."""


class CallAnswer(NamedTuple):
    """What a gateway answered. `value` are its bytes if they were made already, by `Engine.answer_value`, which checks it."""

    call: PendingCall
    data: EventData
    value: bytes = b""


class CallGivenUp(NamedTuple):
    """A call that is no longer retried, and why."""

    call: PendingCall
    reason: str
    detail: str = ""


class PartitionWork(NamedTuple):
    """What there is to do for one partition, in this order. `timers` are due, as `due_timers` returns them.

    Answers come first, so that none of them is about a request that the batch itself has changed.
    """

    answers: Sequence[CallAnswer | CallGivenUp] = ()
    timers: Sequence[PendingTimer] = ()
    records: Batch = ()


class BatchProcessor:
    """`quarantines` has reasons by inbox offset: a record there that would block is quarantined instead (operator's command).

    `refused` has the ids of timers that are too large for a transaction: they do not fire.
    """

    def __init__(  # noqa: PLR0913 - one parameter a part of the engine
        self,
        handlers: EventHandlers,
        wire: WireFormat,
        inbox: Inbox,
        types: QuickTypes,
        image: Image,
        now: int,
        quarantines: Mapping[int, str] = NO_QUARANTINES,
        attempts: Attempts = UNWATCHED,
        refused: Collection[str] = (),
    ) -> None:
        self._overlay = Overlay(image, now)
        self.changes = self._overlay.changes
        parking = Parking(inbox.topic, wire.limits.event_bytes, self._overlay)
        execution = Execution(handlers, wire, self._overlay, attempts)
        self._calls = Calls(handlers, wire, self._overlay, parking)
        self._timers = Timers(handlers, wire, self._overlay, parking, execution, refused)
        self._quick = QuickHandling(handlers, wire, inbox, types, self._overlay, parking, execution, self._timers)
        self._admission = Admission(handlers, wire, inbox, self._overlay, parking, execution, self._timers, quarantines)

    def process(self, work: PartitionWork) -> Iterator[Changes]:
        """Yields the same growing `changes` before the first piece and after each; a caller may stop in between.

        `changes.answered` and `changes.inbox_next` say how far it came. It ends before a record that blocks the partition, and
        before a record or an answer that must wait for the next batch.
        """
        yield self.changes
        size = 0
        for number, answer in enumerate(work.answers, 1):
            try:
                size += self.answer(answer)
            except BatchFull:
                return
            if size >= TIMER_BYTES_PER_BATCH or number % LARGEST_PIECE == 0:
                size = 0
                yield self.changes
        self.fire(work.timers)
        if self.changes.handled:
            yield self.changes
        done, piece = 0, SMALLEST_PIECE
        while done < len(work.records):
            if not self.take_all(work.records[done : done + piece]):
                return
            done, piece = done + piece, min(piece * 2, LARGEST_PIECE)
            yield self.changes

    def answer(self, came: CallAnswer | CallGivenUp) -> int:
        """Publish an answer, or park a request that is given up. Returns how many bytes this adds.

        Raises InvalidEvent for an answer that the gateway does not declare, or that is about another key, and BatchFull if bodies
        of requests that are given up with it are not in memory.
        """
        if isinstance(came, CallGivenUp):
            size = self._calls.give_up(came.call, came.reason, came.detail)
        else:
            size = self._calls.answer(came.call, came.data, came.value)
        self.changes.answered += 1
        return size

    def fire(self, timers: Sequence[PendingTimer]) -> None:
        """Fire timers that are due by the wall clock."""
        self._timers.by_wall_clock(timers)

    def take_all(self, records: Batch) -> bool:
        """Handle records in order. False: one blocks the partition or waits for the next batch, and those behind it too."""
        quick, careful = self._quick.take, self._admission.take
        for record in records:  # noqa: SIM110 - each event passes here, and `all` costs a step of a generator
            if not (quick(record) or careful(record)):
                return False
        return True

    def refuse(self, record: InboxRecord, reason: str) -> None:
        """Quarantine a record that is too large for a transaction, by reference: the inbox still holds it."""
        self._admission.refuse(record, reason)
