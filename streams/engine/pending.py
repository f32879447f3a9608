"""What waits for the clock or for the outside world: timers that come due, and calls that gateways answer or do not."""

from __future__ import annotations

from itertools import dropwhile, islice
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
from streams.engine.records import Call, Changes, Due, Emitted, Headers

if TYPE_CHECKING:
    from streams.engine.engine import Engine

TIMER, CALL = "timer", "call"
AT_ONCE, BYTES_AT_ONCE = 1_000, 4 * 1024 * 1024
"""What one transaction takes of what came in from no inbox."""


def fire(image: Image, now: int) -> Changes | None:
    """Publish the timers that have come due by `now` (µs), earliest first; None if there is none.

    Each leaves the due topic in the transaction that publishes it, so it fires once.
    """
    changes, size = _nothing(image), 0
    for timer in islice(image.due.until(now), AT_ONCE):
        size += len(timer.emitted.value)
        if changes.emitted and size > BYTES_AT_ONCE:
            break
        changes.emitted.append(timer.emitted)
        changes.settled[timer.event_id] = None
    changes.counters.emitted = changes.handled = len(changes.emitted)
    return changes if changes.handled else None


def answered(engine: Engine, image: Image, call: Call, answer: EventData, now: int) -> Changes:
    """Publish a gateway's answer. The call leaves the due topic when the answer is handled, and not before (rule 23).

    Raises InvalidEvent for an answer that the gateway may not give.
    """
    value = engine.answer_value(call, answer)
    headers = answer_headers(engine, call, answer, now)
    changes = _nothing(image)
    changes.emitted.append(Emitted(namespace_of(answer.event_type), answer.key.encode(), value, headers))
    changes.counters.emitted = changes.handled = 1
    return changes


def exhausted(engine: Engine, image: Image, call: Call, reason: str, detail: str, now: int) -> Changes:
    """Give a request up for now: it is parked with its key, until a person says retry, reject or answer.

    So are the requests of its key that were accepted after it: they may not be answered before it is.
    """
    changes, reference = _nothing(image), call.event.reference
    aside = Aside(engine, image, changes, now)
    aside.unanswered(call, reason, detail)
    changes.settled[reference] = None
    for behind in dropwhile(lambda it: it.event.reference != reference, image.calls.of(call.event.key)):
        if behind.event.reference != reference:
            aside.unanswered(behind, "a request of this key before it is unanswered")
            changes.settled[behind.event.reference] = None
    changes.handled = len(changes.settled)
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
    recorded = header.recorded if header.asked is None else header.asked
    return Call(event, recorded, header.offset, value, headers, envelope.hops)


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
