"""Setting records aside: parked with their key, in order, or quarantined. Nothing is lost, and each says why."""

from __future__ import annotations

import traceback
from bisect import insort
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from streams.engine.envelope import KEY_HEADER, Arrival, Envelope, ParkedHeader, pack, readable, to_micros
from streams.engine.image import Image
from streams.engine.records import (
    PARKED,
    QUARANTINED,
    UNANSWERED,
    Call,
    Changes,
    Headers,
    InboxRecord,
    SetAside,
)
from streams.errors import StreamsError
from streams.event import Event

if TYPE_CHECKING:
    from streams.engine.engine import Engine

REASON_LIMIT, DETAIL_LIMIT = 1_000, 8_000
BEHIND = "an event of this key before it is parked"
ROOM_FOR_HEADERS = 32 * 1024


class Aside:
    """Of one turn: adds to its changes, and keeps the overlay over the image's parked queues."""

    def __init__(self, engine: Engine, image: Image, changes: Changes, now: int) -> None:
        self._engine, self._image, self._changes, self._now = engine, image, changes, now

    def queue(self, key: str) -> list[SetAside]:
        """The key's parked queue as this turn sees it."""
        queue = self._changes.queues.get(key)  # an emptied one counts: the key is free in this turn
        return queue if queue is not None else self._image.parked.get(key, [])

    def blocks(self, key: str) -> bool:
        queue = self._changes.queues.get(key)
        return bool(queue) if queue is not None else key in self._image.parked

    def raised(self, arrival: Arrival, error: BaseException) -> None:
        """Park an event whose handler raised, with the traceback."""
        record, event = arrival.record, arrival.event
        where = f"{event.data.event_type} at {self._engine.inbox.topic}-{self._image.partition}@{record[0]}"
        detail = "".join(traceback.format_exception(error))[-DETAIL_LIMIT:]
        self._changes.raised.append((event.key, f"{where} was parked: its handler raised\n{detail}"))
        self.park(arrival, str(error) if isinstance(error, StreamsError) else in_a_line(error), detail)

    def park(self, arrival: Arrival, reason: str, detail: str = "") -> None:
        """Set the event and, from now on, its key aside."""
        record, envelope, event, digest = arrival.record, arrival.envelope, arrival.event, arrival.digest
        if digest is not None:
            self._changes.parked_ids[digest] = hash(record[2])
        self._changes.counters.parked += 1
        header = self._header(PARKED, reason, detail, event.key, record[0])
        header = _with_own(header, envelope, event)
        place = record[0] if arrival.place is None else arrival.place
        self._append(event.key, self._set_aside(record, list(envelope.carried), header, place))

    def _append(self, key: str, aside: SetAside) -> None:
        """In the order of places, as a restore does: a request that is given up comes before what arrived meanwhile."""
        queue = self._changes.queues.get(key)
        if queue is None:  # the turn's own copy, made once: a queue may be long, and more may come in one batch
            queue = self._changes.queues[key] = list(self._image.parked.get(key, ()))
        insort(queue, aside, key=lambda it: it.offset)

    def unanswered(self, call: Call, reason: str, detail: str = "") -> None:
        """A request that its gateway does not answer: it was accepted, and its key waits for a person."""
        event = call.event
        self._changes.counters.parked += 1
        header = self._header(UNANSWERED, reason, detail, event.key, call.offset)
        header = replace(header, asked=call.recorded, time=to_micros(event.time), id=event.id)
        record = (call.offset, event.key.encode(), call.value, None, 0)
        self._append(event.key, self._set_aside(record, list(call.headers), header, call.offset))

    def quarantine(self, record: InboxRecord, reason: str, detail: str = "") -> None:
        """Keep what cannot be read or may not be handled. It blocks nobody."""
        self._changes.counters.quarantined += 1
        headers = [pair for pair in record[3] or [] if not pair[0].startswith("retold")]
        self._set_aside(record, headers, self._header(QUARANTINED, reason, detail, None, record[0]), record[0])

    def _header(self, status: str, reason: str, detail: str, key: str | None, offset: int) -> ParkedHeader:
        topic, partition = self._engine.inbox.topic, self._image.partition
        return ParkedHeader(
            status, readable(reason[:REASON_LIMIT]), readable(detail[-DETAIL_LIMIT:]), key, topic, partition, offset,
            self._now,
        )

    def _set_aside(self, record: InboxRecord, headers: Headers, header: ParkedHeader, place: int) -> SetAside:
        _, record_key, value, _, _ = record
        value = value or b""
        size = len(value) + len(record_key or b"") + sum(len(name) + len(text or b"") for name, text in headers)
        if header.status == QUARANTINED and size > self._engine.limits.event_bytes + ROOM_FOR_HEADERS:
            value, headers, record_key = b"", [], None  # kept by reference: the inbox still holds it
        if record_key is not None:
            headers.append((KEY_HEADER, record_key))
        headers.append(pack(header))
        aside = SetAside(place, value, headers, header.key)
        self._changes.set_aside.append(aside)
        return aside


def in_a_line(error: BaseException) -> str:
    """Its class and what it says, also if it cannot say it. Notes, and the lines of a syntax error, are left out."""
    lines = traceback.format_exception_only(error)
    return next((line for line in lines if not line.startswith("  ")), lines[-1]).strip()


def _with_own(header: ParkedHeader, envelope: Envelope, event: Event[Any]) -> ParkedHeader:
    """What the record got from its place, which it is given again when it is handled at last."""
    if envelope.time and envelope.id:
        return header
    time, event_id = None if envelope.time else to_micros(event.time), None if envelope.id else event.id
    return replace(header, time=time, id=event_id)
