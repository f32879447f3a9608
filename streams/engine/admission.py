"""Admission of an inbox record: the checks before its handler is called, or instead of it (rule 10).

In this order: strip headers, decode and validate, right partition?, duplicate?, key parked?, expected version, handler.
"""

from __future__ import annotations

from collections.abc import Mapping

from streams.data import EventData
from streams.engine.changes import BlockingRecord, HandledRecord
from streams.engine.commands import Commands
from streams.engine.control import PREFIX as CONTROL
from streams.engine.duplicates import Remembered
from streams.engine.envelope import HOPS_LIMIT, Arrival, Envelope, event_and_request
from streams.engine.event_handlers import EventHandlers, Inbox
from streams.engine.execution import Execution
from streams.engine.identity import position_id
from streams.engine.overlay import BatchFull, Overlay
from streams.engine.parking import BEHIND, Parking
from streams.engine.readable import shortened
from streams.engine.records import BY_RETOLD, HANDLER, EmittedRecord, InboxRecord, blocking_cause
from streams.engine.step import CorrectionStep, step_of
from streams.engine.step_handling import Steps
from streams.engine.timers import Timers, too_far
from streams.engine.times import from_micros
from streams.engine.wire_format import WireFormat
from streams.errors import InvalidEvent, UndecodableRecord, UnsupportedSchema
from streams.event import is_workers

NO_QUARANTINES: Mapping[int, str] = {}


class Admission:
    """Admits the records of one batch and adds the results to its overlay.

    `quarantines` has reasons by inbox offset: a record there that would block is quarantined instead, by an operator's command.
    """

    def __init__(  # noqa: PLR0913 - one parameter a part of the engine
        self,
        handlers: EventHandlers,
        wire: WireFormat,
        inbox: Inbox,
        overlay: Overlay,
        parking: Parking,
        execution: Execution,
        timers: Timers,
        quarantines: Mapping[int, str] = NO_QUARANTINES,
    ) -> None:
        self._handlers, self._wire, self._inbox, self._quarantines = handlers, wire, inbox, quarantines
        self._overlay, self._changes, self._partition = overlay, overlay.changes, overlay.changes.partition
        self._parking, self._execution, self._timers = parking, execution, timers
        self._commands = Commands(handlers, wire, overlay, parking, execution, timers)
        self._steps = Steps(handlers, wire, overlay)

    def take(self, record: InboxRecord) -> bool:
        """Handle one record. False: no record behind it may be handled in this batch.

        It blocks the partition, or so many timers fire before it that it must wait for the next transaction.
        """
        try:
            if record[2] is not None and record[2][:1] == CONTROL:
                if (step := step_of(record[2])) is not None:
                    return self._take_step(record, step)
                self._commands.handle(record)
            else:
                envelope, data = self._wire.read(record)
                if type(data) not in self._handlers.by_event:
                    return self._block(record, self._why_unhandled(data), HANDLER)
                self._admit(record, envelope, data)
        except BatchFull:
            return False
        except UnsupportedSchema as error:
            return self._block(record, str(error), blocking_cause(error))
        except (InvalidEvent, UndecodableRecord) as error:
            self._parking.quarantine(record, str(error))
        return self._done(record)

    def _take_step(self, record: InboxRecord, step: CorrectionStep) -> bool:
        """One that is taken ends its batch: a timer to which it gives another time would have two in this one."""
        if not self._is_ours(step.entity.encode()):
            raise InvalidEvent(f"it is a step of a correction for {shortened(step.entity, 100)!r}, whose partition is another one")
        taken = self._steps.take(record, step)
        return self._done(record) and not taken

    def refuse(self, record: InboxRecord, reason: str) -> None:
        """Quarantine a record that is too large for a transaction, by reference: the inbox still holds it."""
        offset, _, _, _, stamp = record
        self._parking.quarantine((offset, None, b"", None, stamp), reason)
        self._done(record)

    def _done(self, record: InboxRecord) -> bool:
        self._changes.inbox_next = record[0] + 1
        self._changes.handled += 1
        self._changes.taken += 1
        return True

    def _block(self, record: InboxRecord, reason: str, cause: str) -> bool:
        if (why := self._quarantines.get(record[0])) is not None:
            self._parking.quarantine(record, why, reason)
            return self._done(record)
        self._changes.blocked = BlockingRecord(record[0], reason, cause)
        return False

    def _why_unhandled(self, data: EventData) -> str:
        """The reason why an event without a handler blocks. Raises InvalidEvent for an event of another namespace."""
        if not data.event_type.startswith(self._handlers.namespace + "."):
            raise InvalidEvent(f"{data.event_type} belongs to another namespace than {self._handlers.namespace}")
        return f"{data.event_type} has no handler in the application {self._handlers.application}"

    def _admit(self, record: InboxRecord, envelope: Envelope, data: EventData) -> None:
        """Execute the event if its partition is right, it is no duplicate and its key is not parked. Raises InvalidEvent."""
        if envelope.type != data.event_type and envelope.type is not None:
            raise InvalidEvent(f"its ce_type says {shortened(envelope.type, 100)!r}, its schema is {data.event_type}'s")
        self._wire.codec.check_arrived(data)
        offset, record_key, _, _, stamp = record
        key, overlay = data.key, self._overlay
        key_bytes = key.encode()
        if record_key != key_bytes or (not overlay.has(key) and not self._is_ours(key_bytes)):
            self._move(record, envelope, key_bytes)
            return
        event_id = envelope.id or position_id(self._inbox.topic_id, self._partition, offset)
        event, request = event_and_request(data, envelope, event_id, envelope.time or from_micros(stamp * 1000))
        if event.cause is None and is_workers(envelope.source):
            raise InvalidEvent(
                f"its ce_source is {shortened(envelope.source, 100)!r}, which workers write, but its id derives from no cause"
            )
        arrival = Arrival(record, envelope, event, key, envelope.digest)
        if request is not None:
            self._answer(arrival, request)
        elif (first := overlay.known(arrival.digest)) is None:
            self._execute(arrival)
        else:
            self._record_duplicate(arrival, first)

    def _execute(self, arrival: Arrival) -> None:
        """Execute the event, after its key's timers that are due before it. Park it if one of them raised.

        It is parked also if its key is parked, or it is too many events away from its root. Raises BatchFull.
        """
        hops, parking = arrival.envelope.hops, self._parking
        if self._overlay.blocks(arrival.key):
            parking.park(arrival, BEHIND)
        elif hops > HOPS_LIMIT:
            parking.park(arrival, too_far(hops))
        elif (parked := self._timers.before(arrival)) is not None:
            parking.enqueue(parked)
            parking.park(arrival, BEHIND)
        elif (error := self._execution.execute(arrival)) is not None:
            parking.enqueue(parking.raised(arrival, error))

    def _answer(self, arrival: Arrival, request: str) -> None:
        """Handle a gateway's answer. Its id is derived from its request's, so only one of two answers is handled (rule 23)."""
        if self._overlay.is_pending(request):
            self._execute(arrival)
            self._changes.settled[request] = None
        elif not self._commands.answer_parked_request(arrival, request):
            first = self._overlay.known(arrival.digest)
            if first is not None and first[1] == hash(arrival.record[2]):
                self._record_duplicate(arrival, first)
            else:
                self._execution.reject(arrival, "already answered", BY_RETOLD)

    def _is_ours(self, key: bytes) -> bool:
        partition_of = self._inbox.partition_of
        return partition_of is None or partition_of(key) == self._partition

    def _record_duplicate(self, arrival: Arrival, first: Remembered) -> None:
        """Record a duplicate with the outcome of the first event. Raises InvalidEvent if that had another body."""
        record, (sequence, body, outcome) = arrival.record, first
        if body != hash(record[2]):
            raise InvalidEvent(f"an event of this id and source was {outcome} before, with another body")
        self._changes.results.append(HandledRecord(record[0], outcome, arrival.event, sequence, duplicate=True))
        self._changes.counters.duplicates += 1

    def _move(self, record: InboxRecord, envelope: Envelope, key: bytes) -> None:
        """Reroute the record to the partition of its data's key, in the same transaction; it is handled there (rule 14).

        The id and the time that are derived from its present offset go with it.
        """
        offset, _, value, _, stamp = record
        assert value is not None
        headers = list(envelope.carried)
        if envelope.id is None:
            headers.append(("ce_id", position_id(self._inbox.topic_id, self._partition, offset).encode()))
        if envelope.time is None:
            headers.append(("ce_time", from_micros(stamp * 1000).isoformat().encode()))
        self._changes.emitted.append(EmittedRecord(self._handlers.namespace, key, value, headers))
        self._changes.counters.moved += 1
