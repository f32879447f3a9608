"""One batch of one partition being handled: answers, timers and records over one overlay, dropped or applied as a whole.

What it gives is one `Changes`, with one marker, in one transaction (rule 9).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from streams.data import EventData
from streams.engine.admission import NO_QUARANTINES, Admission
from streams.engine.calls import Calls
from streams.engine.changes import Changes, PendingCall, PendingTimer
from streams.engine.event_handlers import EventHandlers, Inbox
from streams.engine.execution import Execution
from streams.engine.image import Image
from streams.engine.overlay import Overlay
from streams.engine.parking import Parking
from streams.engine.records import Batch, InboxRecord
from streams.engine.timers import BYTES_AT_ONCE, fire
from streams.engine.wire_format import WireFormat

SMALLEST_PIECE, LARGEST_PIECE = 16, 1024
"""Records handled between two looks at the clock. Small ones first: a slow handler may need a second for ten."""


class CallAnswer(NamedTuple):
    """What a gateway answered."""

    call: PendingCall
    data: EventData


class CallGivenUp(NamedTuple):
    """A call that is not tried again by itself, and why."""

    call: PendingCall
    reason: str
    detail: str = ""


class PartitionWork(NamedTuple):
    """What there is to do for one partition, in this order; `timers` are due, as `due_timers` gives them.

    Answers come first, so that none of them is about what the batch itself has done to its request.
    """

    answers: Sequence[CallAnswer | CallGivenUp] = ()
    timers: Sequence[PendingTimer] = ()
    records: Batch = ()


class BatchProcessor:
    """`quarantines` are reasons by inbox offset: a record there that must wait is quarantined instead, by an operator's order."""

    def __init__(
        self,
        handlers: EventHandlers,
        wire: WireFormat,
        inbox: Inbox,
        image: Image,
        now: int,
        quarantines: Mapping[int, str] = NO_QUARANTINES,
    ) -> None:
        self._overlay = Overlay(image, now)
        self.changes = self._overlay.changes
        parking = Parking(inbox.topic, wire.limits.event_bytes, self._overlay)
        execution = Execution(handlers, wire, self._overlay)
        self._calls = Calls(handlers, wire, self._overlay, parking)
        self._admission = Admission(handlers, wire, inbox, self._overlay, parking, execution, quarantines)

    def process(self, work: PartitionWork) -> Iterator[Changes]:
        """The same growing `changes` before the first piece and after each: who stops asking has what was handled by then.

        `changes.answered` and `changes.inbox_next` say how far it came; it ends before a record that must wait.
        """
        yield self.changes
        size = 0
        for number, answer in enumerate(work.answers, 1):
            size += self.answer(answer)
            if size >= BYTES_AT_ONCE or number % LARGEST_PIECE == 0:
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
        """Publish an answer, or park a request that is given up; gives the bytes of all that this adds.

        Raises InvalidEvent for an answer that the gateway may not give.
        """
        if isinstance(came, CallGivenUp):
            size = self._calls.give_up(came.call, came.reason, came.detail)
        else:
            size = self._calls.answer(came.call, came.data)
        self.changes.answered += 1
        return size

    def fire(self, timers: Sequence[PendingTimer]) -> None:
        """Publish timers that are due."""
        fire(self._overlay, timers)

    def take_all(self, records: Batch) -> bool:
        """Handle them in order. False: one must wait, and so must all behind it."""
        return all(map(self._admission.take, records))

    def refuse(self, record: InboxRecord, reason: str) -> None:
        """Quarantine by reference: the inbox still holds what no transaction can."""
        self._admission.refuse(record, reason)
