"""What waits for the clock or for the outside world: timers that come due, and calls that gateways answer or do not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streams.data import EventData, namespace_of
from streams.engine.aside import Aside
from streams.engine.envelope import (
    CONTENT_TYPE,
    DueHeader,
    ParkedHeader,
    caused_by,
    event_again,
    from_micros,
    pack,
    to_micros,
)
from streams.engine.identity import answer_id
from streams.engine.image import Image
from streams.engine.records import UNANSWERED, Call, Changes, Due, Emitted, Headers
from streams.errors import InvalidEvent

if TYPE_CHECKING:
    from streams.engine.engine import Engine

TIMER, CALL = "timer", "call"
AT_ONCE = 1_000


def fire(image: Image, now: int) -> Changes | None:
    """Publish the timers that have come due by `now` (µs), earliest first; None if there is none.

    Each leaves the due topic in the transaction that publishes it, so it fires once.
    """
    due = sorted(timer for timer in image.due.values() if timer.at <= now)[:AT_ONCE]
    if not due:
        return None
    changes = _nothing(image)
    for timer in due:
        changes.emitted.append(timer.emitted)
        changes.settled.append(timer.event_id)
    changes.counters.emitted = changes.handled = len(due)
    return changes


def answered(engine: Engine, image: Image, call: Call, answer: EventData, now: int) -> Changes:
    """Publish a gateway's answer. The call leaves the due topic when the answer is handled, and not before (rule 23).

    Raises InvalidEvent for an answer that the gateway may not give.
    """
    engine.check_answer(call, answer)
    value = engine.codec.encode(answer)
    if len(value) > engine.limits.event_bytes:
        raise InvalidEvent(
            f"the answer {answer.event_type} of {answer.key[:100]!r} holds {len(value)} bytes; an event may hold "
            f"{engine.limits.event_bytes}"
        )
    headers = answer_headers(engine, call, answer, now)
    changes = _nothing(image)
    changes.emitted.append(Emitted(namespace_of(answer.event_type), answer.key.encode(), value, headers))
    changes.counters.emitted = changes.handled = 1
    return changes


def exhausted(engine: Engine, image: Image, call: Call, reason: str, detail: str, now: int) -> Changes:
    """Give a request up for now: it is parked with its key, until a person says retry, reject or answer."""
    changes = _nothing(image)
    topic, key = engine.inbox.topic, call.event.key
    header = ParkedHeader(
        UNANSWERED, reason[:1000], detail[-8000:], key, topic, image.partition, call.offset, call.recorded,
        to_micros(call.event.time), call.event.id,
    )  # fmt: skip
    Aside(engine, image, changes, now).unanswered(call.offset, call.value, call.headers, header)
    changes.settled.append(call.event.reference)
    changes.handled = 1
    return changes


def answer_headers(engine: Engine, call: Call, answer: EventData, now: int) -> Headers:
    """The answer's id comes from its request alone: two owners cannot both be believed. Its time is the clock's."""
    request = call.event
    return [
        ("ce_specversion", b"1.0"),
        ("ce_id", answer_id(request.reference).encode()),
        ("ce_type", answer.event_type.encode()),
        ("ce_source", engine.source.encode()),
        ("ce_time", from_micros(now).isoformat().encode()),
        ("content-type", CONTENT_TYPE),
        *caused_by(request, call.recorded, call.hops),
    ]


def request_of(engine: Engine, value: bytes, headers: Headers, header: ParkedHeader) -> Call:
    """The call of a request that was parked unanswered."""
    envelope, data = engine.envelopes.read(headers), engine.codec.decode(value)
    event = event_again(data, envelope, header)
    return Call(event, header.recorded, header.offset, value, headers, envelope.hops)


def due_record(namespace: str, pending: Due | Call) -> tuple[bytes, bytes, Headers]:
    """Key, value and headers for the due topic."""
    if isinstance(pending, Due):
        emitted = pending.emitted
        header = DueHeader(TIMER, pending.at, emitted.namespace, emitted.key.decode())
        return pending.event_id.encode(), emitted.value, [*emitted.headers, pack(header)]
    event = pending.event
    header = DueHeader(
        CALL, pending.recorded, namespace, event.key, pending.offset, pending.hops, to_micros(event.time), event.id
    )
    return event.reference.encode(), pending.value, [*pending.headers, pack(header)]


def pending_of(engine: Engine, key: str, value: bytes, headers: Headers, header: DueHeader) -> Due | Call:
    """Read back from the due topic, where it lay under `key`; `headers` without ours."""
    if header.kind == TIMER:
        return Due(header.at, Emitted(header.namespace, header.key.encode(), value, headers), key)
    envelope = engine.envelopes.read(headers)
    event = event_again(engine.codec.decode(value), envelope, header)
    return Call(event, header.at, header.offset, value, headers, header.hops)


def _nothing(image: Image) -> Changes:
    return Changes(image.partition, image.inbox_next, image.sequence, image.recorded)
