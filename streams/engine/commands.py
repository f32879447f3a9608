"""Handling of operator commands about a parked key, which is retried, rejected or answered, and of those without a key."""

from __future__ import annotations

from msgspec.structs import replace

from streams.data import EventData
from streams.engine.calls import answer_headers, answer_value, parked_request, request_of
from streams.engine.changes import ImportClock, ParkedReference, QueuedRecord, SetAsideRecord
from streams.engine.control import ClockCommand, OperatorCommand, clock_command, drop_command, encode, read
from streams.engine.envelope import Arrival, Envelope, event_again, event_of
from streams.engine.event_handlers import EventHandlers
from streams.engine.execution import Execution
from streams.engine.overlay import BatchFull, Overlay
from streams.engine.parking import BEHIND, Parking
from streams.engine.records import BY_OPERATOR, UNANSWERED, EmittedRecord, InboxRecord, QueuePosition
from streams.engine.timers import Timers
from streams.engine.times import from_micros
from streams.engine.wire_format import WireFormat
from streams.errors import InvalidEvent, StreamsError, UnsupportedSchema

IMPORTS = 20
"""The most imports whose clocks a partition keeps: each transaction writes them."""
EVENTS_PER_COMMAND = 500
"""The most events of a queue that one command handles: meanwhile the worker does not poll."""


class Commands:
    """Handles the commands of one batch in its overlay. A queue is written once, when all of it is known."""

    def __init__(
        self, handlers: EventHandlers, wire: WireFormat, overlay: Overlay, parking: Parking, execution: Execution, timers: Timers
    ) -> None:
        self._handlers, self._wire, self._overlay, self._changes = handlers, wire, overlay, overlay.changes
        self._parking, self._execution, self._timers = parking, execution, timers

    def handle(self, record: InboxRecord) -> None:
        """Carry out a command. One whose offset is not the first of its key's queue does nothing.

        Raises InvalidEvent for a record that is no operator command of its key or that cannot be carried out, and
        UnsupportedSchema for an answer that cannot be read here yet. Then the key does not change. Raises BatchFull, also if the
        body of the first is not in memory: `Changes.needs` says so.
        """
        if (clock := clock_command(record[2])) is not None:
            self._set_clock(clock)
            self._changes.counters.control += 1
            return
        if (drop := drop_command(record[2])) is not None:
            self._drop(drop.generation)
            self._changes.counters.control += 1
            return
        command = read(record[1], record[2] or b"")
        queue = self._overlay.queue(command.key)
        position = QueuePosition(command.offset, command.timer)
        if command.command != "quarantine" and queue and queue[0].position == position:
            self._apply(command, queue, record)
        self._changes.counters.control += 1

    def _apply(self, command: OperatorCommand, queue: list[QueuedRecord], record: InboxRecord) -> None:
        first, rest = queue[0], queue[1:]
        if isinstance(first, ParkedReference):
            self._overlay.wait_for_bodies(command.key)
        if command.command == "retry":
            self._retry_queue(command.key, queue, command.who, begun=False)
            return
        parked = list[SetAsideRecord]()
        if command.command == "reject":
            self._reject(command, first)
        else:
            parked = self._answer(command, first, record)
        self._continue_queue(command.key, first, parked, rest, command.who)

    def _drop(self, generation: int) -> None:
        image = self._overlay.image
        if generation != image.rows_generation:
            dropped = image.dropped if self._changes.dropped is None else self._changes.dropped
            self._changes.dropped = dropped | {generation}

    def _set_clock(self, command: ClockCommand) -> None:
        imports = dict(self._overlay.imports)
        if command.at is None:
            imports.pop(command.name, None)
        else:
            known = imports.get(command.name)
            if known is None and len(imports) >= IMPORTS:
                raise InvalidEvent(f"{IMPORTS} imports have a clock here; end one first, with `retold publish --release`")
            imports[command.name] = ImportClock(command.at, command.who, self._overlay.now if known is None else known.since)
        self._changes.imports = imports

    def answer_parked_request(self, arrival: Arrival, request: str) -> bool:
        """Handle a late answer to a request that is parked, in the request's position. False: no such request is parked.

        The request's body is not needed: it may be in its topic alone.
        """
        key = arrival.key
        queue = self._overlay.queue(key)
        found = next((it for it in enumerate(queue) if self._request(it[1]) == request), None)
        if found is None:
            return False
        index, first = found
        before, rest = queue[:index], queue[index + 1 :]
        arrival = replace(arrival, position=first.position)
        if before:
            self._changes.queues[key] = [*before, self._parking.keep(arrival, BEHIND), *rest]
        else:
            self._continue_queue(key, first, self._execute(arrival, first.offset), rest, self._handlers.source)
        return True

    def _request(self, queued: QueuedRecord) -> str:
        return queued.request if isinstance(queued, ParkedReference) else parked_request(self._wire, queued)

    def _continue_queue(
        self, key: str, first: QueuedRecord, parked: list[SetAsideRecord], rest: list[QueuedRecord], who: str
    ) -> None:
        """Continue after the first of a queue. `parked` replaces it if the handler of its answer, or of a timer, raised."""
        if parked:
            self._changes.queues[key] = [*parked, *rest]
            return
        self._unpark(first)
        self._retry_queue(key, rest, who)

    def _retry_queue(self, key: str, queue: list[QueuedRecord], who: str, *, begun: bool = True) -> None:
        """Handle a queue in order, each event after the timers that are due before it, until one fails: the rest stays parked.

        A long queue is continued by a command of its own, in the next transaction or a later one, as is one from where its bodies
        are not in memory; the key stays parked until then. Raises BatchFull if bodies lack before anything of it has `begun`.
        """
        for number, aside in enumerate(queue):
            try:
                if isinstance(aside, ParkedReference) or number == EVENTS_PER_COMMAND or (number and self._execution.out_of_time()):
                    raise BatchFull
                parked = self._retry(aside)
            except BatchFull:
                if not (begun or number) and self._changes.needs == key:
                    raise
                following = OperatorCommand("retry", key, aside.offset, who, timer=aside.timer)
                self._changes.emitted.append(EmittedRecord(self._handlers.namespace, key.encode(), encode(following), []))
                left = queue[number:]
                break
            except StreamsError:  # it cannot be read here
                left = queue[number:]
                break
            if parked:
                left = [*parked, *queue[number + 1 :]]
                break
            self._unpark(aside)
        else:
            left = []
        self._changes.queues[key] = left

    def _retry(self, aside: SetAsideRecord) -> list[SetAsideRecord]:
        """The parked records that take its place if its handler raised again, or that of a timer before it. Raises BatchFull.

        For a request, its gateway is called again.
        """
        record = _record_of(aside)
        envelope, data = self._wire.read(record)
        if type(data) not in self._handlers.by_event:
            raise UnsupportedSchema(f"{data.event_type} has no handler here")
        if aside.header.status == UNANSWERED:
            self._overlay.ask(request_of(self._wire, aside))
            return []
        arrival = self._arrival_of(aside, envelope, data)
        if (timer := self._timers.before(arrival, aside.offset)) is not None:
            return [timer, self._parking.keep(arrival, BEHIND)]
        error = self._execution.execute(arrival)
        return [] if error is None else [self._parking.raised_again(arrival, error)]

    def _execute(self, arrival: Arrival, offset: int) -> list[SetAsideRecord]:
        """The parked records if its handler raised, or that of a timer before it. `offset` is its position's."""
        if (timer := self._timers.before(arrival, offset)) is not None:
            return [timer, self._parking.keep(arrival, BEHIND)]
        error = self._execution.execute(arrival)
        return [] if error is None else [self._parking.raised(arrival, error)]

    def _arrival_of(self, aside: SetAsideRecord, envelope: Envelope, data: EventData) -> Arrival:
        event = event_again(data, envelope, aside.header)
        return Arrival(_record_of(aside), envelope, event, data.key, envelope.digest, aside.position, aside.header.timer > 0)

    def _reject(self, command: OperatorCommand, aside: SetAsideRecord) -> None:
        if aside.header.status == UNANSWERED:
            return  # its event was accepted; giving up the answer needs no log record
        arrival = self._arrival_of(aside, *self._wire.read(_record_of(aside)))
        self._execution.reject(arrival, f"rejected by {command.who}: {command.why}", BY_OPERATOR)

    def _answer(self, command: OperatorCommand, aside: SetAsideRecord, record: InboxRecord) -> list[SetAsideRecord]:
        """The parked records, the answer's in the request's position, if its handler or that of a timer before it raised."""
        if aside.header.status != UNANSWERED:
            raise InvalidEvent(f"{command.who} answers for an event that was parked by its handler, not by its gateway")
        call = request_of(self._wire, aside)
        answer = self._wire.codec.decode(command.value)
        answer_value(self._handlers, self._wire, call, answer)
        headers = answer_headers(self._handlers.source, call, answer, self._overlay.now)
        answered = (record[0], record[1], command.value, headers, record[4])
        envelope = self._wire.envelopes.read(headers)
        event = event_of(answer, envelope, envelope.id or "", envelope.time or from_micros(self._overlay.now))
        return self._execute(Arrival(answered, envelope, event, answer.key, envelope.digest, aside.position), aside.offset)

    def _unpark(self, aside: QueuedRecord) -> None:
        self._changes.unparked.append(aside.position)
        if isinstance(aside, ParkedReference):
            return  # of a request, which was accepted: its id is no parked event's
        envelope = self._wire.envelopes.read(aside.carried)
        if envelope.digest is not None:
            self._changes.parked_ids[envelope.digest] = None


def _record_of(aside: SetAsideRecord) -> InboxRecord:
    """The record as it was in the inbox. Its timestamp is not needed: the parked header has the event's time."""
    return (aside.header.offset, aside.key, aside.value, aside.carried, 0)
