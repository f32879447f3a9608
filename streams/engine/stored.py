"""The stored form of log, parked and due records.

Headers are made here, when a record is produced; before that there are values only.
"""

from __future__ import annotations

from streams.engine.changes import HandledRecord, PendingCall, PendingTimer, SetAsideRecord
from streams.engine.envelope import (
    CALL,
    KEY_HEADER,
    TIMER,
    DueHeader,
    LogHeader,
    event_again,
    pack,
    parked_header,
    to_micros,
    without_packed,
)
from streams.engine.records import EmittedRecord, Headers, LogRecord
from streams.engine.wire_format import WireFormat


def log_header_of(handled: HandledRecord) -> LogHeader:
    """The log's header of a handled record."""
    return LogHeader(
        handled.sequence,
        handled.recorded,
        handled.offset,
        handled.outcome,
        handled.fingerprint,
        handled.reason,
        handled.own_id,
        handled.own_time,
        None if handled.reason is None else handled.wrong_version,
    )


def log_record(handled: HandledRecord) -> LogRecord:
    key = b"%b@%d" % (handled.key, handled.sequence)
    return LogRecord(key, handled.value, [*handled.carried, pack(log_header_of(handled))])


def parked_record(aside: SetAsideRecord) -> tuple[bytes, bytes, Headers]:
    """Key, value and headers for the parked topic."""
    key: Headers = [] if aside.key is None else [(KEY_HEADER, aside.key)]
    return b"%d" % aside.offset, aside.value, [*aside.carried, *key, pack(aside.header)]


def set_aside_of(offset: int, value: bytes, headers: Headers) -> SetAsideRecord:
    """The record that the parked topic holds under `offset`. Raises UndecodableRecord."""
    key = next((text for name, text in headers if name == KEY_HEADER), None)
    return SetAsideRecord(offset, key, value, without_packed(headers), parked_header(headers))


def due_record(namespace: str, pending: PendingTimer | PendingCall) -> tuple[bytes, bytes, Headers]:
    """Key, value and headers for the due topic."""
    if isinstance(pending, PendingTimer):
        emitted = pending.emitted
        header = DueHeader(TIMER, pending.at, emitted.namespace, emitted.key.decode())
        return pending.event_id.encode(), emitted.value, [*emitted.headers, pack(header)]
    event = pending.event
    header = DueHeader(
        CALL, pending.recorded, namespace, event.key, pending.offset, pending.hops, to_micros(event.time), event.id
    )
    return event.reference.encode(), pending.value, [*pending.headers, pack(header)]


def pending_of(wire: WireFormat, key: str, value: bytes, headers: Headers, header: DueHeader) -> PendingTimer | PendingCall:
    """The timer or call that the due topic holds under `key`; `headers` without retold's own, `header` from `due_header`."""
    if header.kind == TIMER:
        return PendingTimer(header.at, EmittedRecord(header.namespace, header.key.encode(), value, headers), key)
    envelope = wire.envelopes.read(headers)
    event = event_again(wire.codec.decode(value), envelope, header)
    return PendingCall(event, header.at, header.offset, value, headers, header.hops)
