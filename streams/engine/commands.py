"""Handling of operator commands about a parked key: its queue is retried, rejected or answered."""

from __future__ import annotations

from msgspec.structs import replace

from streams.engine.calls import answer_headers, answer_value, request_of
from streams.engine.changes import SetAsideRecord
from streams.engine.control import OperatorCommand, encode, read
from streams.engine.envelope import Arrival, event_again, event_of, from_micros
from streams.engine.event_handlers import EventHandlers
from streams.engine.execution import Execution
from streams.engine.overlay import Overlay
from streams.engine.parking import BEHIND, Parking
from streams.engine.records import UNANSWERED, EmittedRecord, InboxRecord
from streams.engine.wire_format import WireFormat
from streams.errors import InvalidEvent, StreamsError

EVENTS_PER_COMMAND = 500
"""Events of a queue that one command handles: meanwhile the worker does not poll."""


class Commands:
    """Handles the commands of one batch in its overlay. A queue is written once, when all of it is known."""

    def __init__(self, handlers: EventHandlers, wire: WireFormat, overlay: Overlay, parking: Parking, execution: Execution) -> None:
        self._handlers, self._wire, self._overlay, self._changes = handlers, wire, overlay, overlay.changes
        self._parking, self._execution = parking, execution

    def handle(self, record: InboxRecord) -> None:
        """Carry out a command. One whose offset is not the first of its key's queue does nothing.

        Raises InvalidEvent for a record that is no operator command of its key or that cannot be carried out, and
        UnsupportedSchema for an answer that cannot be read here yet. Then the key does not change.
        """
        command = read(record[1], record[2] or b"")
        queue = self._overlay.queue(command.key)
        if command.command != "quarantine" and queue and queue[0].offset == command.offset:
            self._apply(command, queue, record)
        self._changes.counters.control += 1

    def _apply(self, command: OperatorCommand, queue: list[SetAsideRecord], record: InboxRecord) -> None:
        first, rest = queue[0], queue[1:]
        if command.command == "retry":
            self._retry_queue(command.key, queue, command.who)
            return
        parked = None
        if command.command == "reject":
            self._reject(command, first)
        else:
            parked = self._answer(command, first, record)
        self._continue_queue(command.key, first, parked, rest, command.who)

    def answer_parked_request(self, arrival: Arrival, request: str) -> bool:
        """Handle a late answer to a request that is parked, in the request's position. False: no such request is parked."""
        key = arrival.event.key
        queue = self._overlay.queue(key)
        index = next((number for number, aside in enumerate(queue) if self._is_request(aside, request)), None)
        if index is None:
            return False
        before, first, rest = queue[:index], queue[index], queue[index + 1 :]
        arrival = replace(arrival, queue_offset=first.offset)
        if before:
            self._changes.queues[key] = [*before, self._parking.keep(arrival, BEHIND), *rest]
        else:
            self._continue_queue(key, first, self._execute(arrival), rest, self._handlers.source)
        return True

    def _is_request(self, aside: SetAsideRecord, reference: str) -> bool:
        return aside.header.status == UNANSWERED and request_of(self._wire, aside).event.reference == reference

    def _continue_queue(
        self, key: str, first: SetAsideRecord, parked: SetAsideRecord | None, rest: list[SetAsideRecord], who: str
    ) -> None:
        """Continue after the first of a queue. `parked` replaces it if the handler of its answer raised."""
        if parked is not None:
            self._changes.queues[key] = [parked, *rest]
            return
        self._unpark(first)
        self._retry_queue(key, rest, who)

    def _retry_queue(self, key: str, queue: list[SetAsideRecord], who: str) -> None:
        """Handle a queue in order, until an event fails again: it and the rest stay parked.

        A long queue is continued by a command of its own, in the next transaction or a later one; the key stays parked until then.
        """
        for number, aside in enumerate(queue):
            if number == EVENTS_PER_COMMAND:
                following = OperatorCommand("retry", key, aside.offset, who)
                self._changes.emitted.append(EmittedRecord(self._handlers.namespace, key.encode(), encode(following), []))
                left = queue[number:]
                break
            try:
                parked = self._retry(aside)
            except StreamsError:  # it cannot be read here
                left = queue[number:]
                break
            if parked is not None:
                left = [parked, *queue[number + 1 :]]
                break
            self._unpark(aside)
        else:
            left = []
        self._changes.queues[key] = left

    def _retry(self, aside: SetAsideRecord) -> SetAsideRecord | None:
        """The new parked record if its handler raised again. For a request, its gateway is called again."""
        record = _record_of(aside)
        envelope, data = self._wire.read(record)
        if aside.header.status == UNANSWERED:
            self._overlay.ask(request_of(self._wire, aside))
            return None
        event = event_again(data, envelope, aside.header)
        arrival = Arrival(record, envelope, event, envelope.digest, aside.offset)
        error = self._execution.execute(arrival)
        return None if error is None else self._parking.raised_again(arrival, error)

    def _execute(self, arrival: Arrival) -> SetAsideRecord | None:
        """The parked record if its handler raised."""
        error = self._execution.execute(arrival)
        return None if error is None else self._parking.raised(arrival, error)

    def _reject(self, command: OperatorCommand, aside: SetAsideRecord) -> None:
        if aside.header.status == UNANSWERED:
            return  # its event was accepted; giving up the answer needs no log record
        record = _record_of(aside)
        envelope, data = self._wire.read(record)
        event = event_again(data, envelope, aside.header)
        arrival = Arrival(record, envelope, event, envelope.digest)
        self._execution.reject(arrival, f"rejected by {command.who}: {command.why}")

    def _answer(self, command: OperatorCommand, aside: SetAsideRecord, record: InboxRecord) -> SetAsideRecord | None:
        """The parked record, in the request's position, if the handler of the answer raised."""
        if aside.header.status != UNANSWERED:
            raise InvalidEvent(f"{command.who} answers for an event that was parked by its handler, not by its gateway")
        call = request_of(self._wire, aside)
        answer = self._wire.codec.decode(command.value)
        answer_value(self._handlers, self._wire, call, answer)
        headers = answer_headers(self._handlers.source, call, answer, self._overlay.now)
        answered = (record[0], record[1], command.value, headers, record[4])
        envelope = self._wire.envelopes.read(headers)
        event = event_of(answer, envelope, envelope.id or "", envelope.time or from_micros(self._overlay.now))
        return self._execute(Arrival(answered, envelope, event, envelope.digest, aside.offset))

    def _unpark(self, aside: SetAsideRecord) -> None:
        self._changes.unparked.append(aside.offset)
        envelope = self._wire.envelopes.read(aside.carried)
        if envelope.digest is not None:
            self._changes.parked_ids[envelope.digest] = None


def _record_of(aside: SetAsideRecord) -> InboxRecord:
    """The record as it was in the inbox. Its timestamp is not needed: the parked header has the event's time."""
    return (aside.header.offset, aside.key, aside.value, aside.carried, 0)
