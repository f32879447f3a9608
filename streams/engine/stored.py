"""What is pending as records of the due topic, and read back from there."""

from __future__ import annotations

from streams.engine.envelope import DueHeader, event_again, pack, to_micros
from streams.engine.records import Call, Due, Emitted, Headers
from streams.engine.wire import Wire

TIMER, CALL = "timer", "call"


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


def pending_of(wire: Wire, key: str, value: bytes, headers: Headers, header: DueHeader) -> Due | Call:
    """Read back from the due topic, where it lay under `key`; `headers` without ours."""
    if header.kind == TIMER:
        return Due(header.at, Emitted(header.namespace, header.key.encode(), value, headers), key)
    envelope = wire.envelopes.read(headers)
    event = event_again(wire.codec.decode(value), envelope, header)
    return Call(event, header.at, header.offset, value, headers, header.hops)
