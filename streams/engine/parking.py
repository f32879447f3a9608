"""Setting records aside: parked with their key, in order, or quarantined. Nothing is lost, and each has a reason."""

from __future__ import annotations

import traceback
from bisect import insort
from typing import Any

from msgspec.structs import replace

from streams.engine.changes import HandledRecord, PendingCall, SetAsideRecord
from streams.engine.envelope import Arrival, Envelope, ParkedHeader
from streams.engine.overlay import Overlay
from streams.engine.readable import in_a_line, readable, shortened
from streams.engine.records import (
    NO_OFFSET,
    PARKED,
    QUARANTINED,
    REASON_LIMIT,
    UNANSWERED,
    Headers,
    InboxRecord,
    QueuePosition,
)
from streams.engine.times import to_micros
from streams.errors import HandlerTimeout, StreamsError
from streams.event import Event

DETAIL_LIMIT = 8_000
BEHIND = "an event of this key before it is parked"
ROOM_FOR_HEADERS = 32 * 1024


class Parking:
    """Sets records of one batch aside, in its overlay. `topic` is the inbox; an event may hold `event_bytes`."""

    def __init__(self, topic: str, event_bytes: int, overlay: Overlay) -> None:
        self._topic, self._event_bytes, self._overlay, self._changes = topic, event_bytes, overlay, overlay.changes

    def raised(self, arrival: Arrival, error: BaseException) -> SetAsideRecord:
        """Set aside an event whose handler raised, with the traceback, and report it. The caller puts it into the queue."""
        event, detail = arrival.event, _traceback(error)
        aside = self.keep(arrival, _reason(error), detail)
        offset = QueuePosition(aside.header.offset, aside.header.timer)
        where = f"{event.data.event_type} at {self._topic}-{self._changes.partition}@{offset}"
        told = "never returned" if isinstance(error, HandlerTimeout) else f"raised\n{detail}"  # its stack was logged before
        self._changes.raised.append((event.key, f"{where} was parked: its handler {told}"))
        return aside

    def raised_again(self, arrival: Arrival, error: BaseException) -> SetAsideRecord:
        """The same without a report: the event was parked before. The circuit breaker counts new failures only."""
        return self.keep(arrival, _reason(error), _traceback(error))

    def park(self, arrival: Arrival, reason: str) -> None:
        """Park the event behind the others of its key; from now on the key is parked."""
        self.enqueue(self.keep(arrival, reason))

    def keep(self, arrival: Arrival, reason: str, detail: str = "") -> SetAsideRecord:
        """Set an event aside. The caller puts it into its key's queue."""
        record, envelope, event, digest = arrival.record, arrival.envelope, arrival.event, arrival.digest
        if digest is not None:
            self._changes.parked_ids[digest] = hash(record[2])
        self._changes.counters.parked += 1
        position = self._overlay.position_of(arrival)
        header = self._header(PARKED, reason, detail, event.key, record[0])
        header = _with_own(header, envelope, event)
        if arrival.timer:
            header = replace(header, timer=position.timer)
        offset = NO_OFFSET if arrival.timer else record[0]
        self._changes.results.append(
            HandledRecord(offset, PARKED, event, 0, self._overlay.now, header.reason, timer=arrival.timer)
        )
        return self._set_aside(record, envelope.carried, header, position)

    def unreadable(self, record: InboxRecord, key: str, headers: Headers, reason: str) -> SetAsideRecord:
        """Set aside a timer's event that this version of the application cannot read or handle. The caller enqueues it."""
        position = self._overlay.timer_position(record[0])
        self._changes.counters.parked += 1
        header = replace(self._header(PARKED, reason, "", key, record[0]), timer=position.timer)
        self._changes.results.append(
            HandledRecord(NO_OFFSET, PARKED, None, 0, self._overlay.now, header.reason, timer=True)
        )
        return self._set_aside(record, headers, header, position)

    def enqueue(self, aside: SetAsideRecord) -> None:
        """Insert by position, as a restore does: a request that is given up comes before events that arrived meanwhile."""
        assert aside.entity is not None, "what is quarantined blocks nobody"
        insort(self._overlay.own_queue(aside.entity), aside, key=lambda it: it.position.order)

    def unanswered(self, call: PendingCall, reason: str, detail: str = "") -> None:
        """Park a request that its gateway does not answer: it was accepted, and its key waits for an operator."""
        event = call.event
        self._changes.counters.parked += 1
        header = self._header(UNANSWERED, reason, detail, event.key, call.offset)
        header = replace(header, asked=call.recorded, time=to_micros(event.time), id=event.id, timer=call.timer)
        record = (call.offset, event.key.encode(), call.value, None, 0)
        offset = NO_OFFSET if call.timer else call.offset
        self._changes.results.append(HandledRecord(offset, UNANSWERED, event, 0, self._overlay.now, header.reason))
        self.enqueue(self._set_aside(record, call.headers, header, call.position))

    def quarantine(self, record: InboxRecord, reason: str, detail: str = "") -> None:
        """Keep a record that cannot be read or may not be handled. It blocks no key."""
        self._changes.counters.quarantined += 1
        headers = [pair for pair in record[3] or [] if not pair[0].startswith("retold")]
        header = self._header(QUARANTINED, reason, detail, None, record[0])
        self._changes.results.append(HandledRecord(record[0], QUARANTINED, None, 0, self._overlay.now, header.reason))
        self._set_aside(record, headers, header, QueuePosition(record[0]))

    def _header(self, status: str, reason: str, detail: str, key: str | None, offset: int) -> ParkedHeader:
                return ParkedHeader(
            status, shortened(readable(reason), REASON_LIMIT), readable(detail[-DETAIL_LIMIT:]), key, self._topic,
            self._changes.partition, offset, self._overlay.now,
        )  # fmt: skip

    def _set_aside(self, record: InboxRecord, headers: Headers, header: ParkedHeader, position: QueuePosition) -> SetAsideRecord:
        _, record_key, value, _, _ = record
        value = value or b""
        size = len(value) + len(record_key or b"") + sum(len(name) + len(text or b"") for name, text in headers)
        if header.status == QUARANTINED and size > self._event_bytes + ROOM_FOR_HEADERS:
            value, headers, record_key = b"", [], None  # kept by reference: the inbox still holds it
        aside = SetAsideRecord(position.offset, record_key, value, headers, header, position.timer)
        self._changes.set_aside.append(aside)
        return aside


def _reason(error: BaseException) -> str:
    return str(error) if isinstance(error, StreamsError) else in_a_line(error)


def _traceback(error: BaseException) -> str:
    """Of one that never returned, its note says where it was; the way to the refusal to call it leads through retold alone."""
    if isinstance(error, HandlerTimeout):
        return "\n".join(getattr(error, "__notes__", ()))[-DETAIL_LIMIT:]
    return "".join(traceback.format_exception(error))[-DETAIL_LIMIT:]


def _with_own(header: ParkedHeader, envelope: Envelope, event: Event[Any]) -> ParkedHeader:
    """With the id and the time that were derived from the record's offset, for when it is handled later."""
    if envelope.time and envelope.id:
        return header
    time, event_id = None if envelope.time else to_micros(event.time), None if envelope.id else event.id
    return replace(header, time=time, id=event_id)
