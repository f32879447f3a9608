"""The stored form of log, parked and due records.

Headers are made here, when a record is produced; before that there are values only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

import msgspec

from streams.engine.changes import (
    CallReference,
    DueReference,
    HandledRecord,
    Pending,
    PendingCall,
    PendingTimer,
    SetAsideRecord,
    TimerReference,
)
from streams.engine.envelope import (
    CALL,
    DUE_HEADER,
    KEY_HEADER,
    LOG_HEADER,
    TIMER,
    DueHeader,
    LogHeader,
    due_header,
    event_again,
    pack,
    parked_header,
    without_packed,
)
from streams.engine.records import ACCEPTED, EmittedRecord, Headers, LogRecord, QueuePosition
from streams.engine.times import to_micros
from streams.engine.wire_format import WireFormat

_json = msgspec.json.Encoder().encode


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
        handled.by,
        handled.timer or None,
    )


def log_record(handled: HandledRecord) -> LogRecord:
    """Of one that is logged."""
    it = handled
    return LogRecord(b"%b@%d" % (it.key, it.sequence), it.value, [*it.carried, pack(log_header_of(it))])


def log_records(results: Iterable[HandledRecord]) -> Iterator[tuple[bytes, bytes, Headers]]:
    """What `log_record` gives of those that are logged, in one loop: each event of a worker passes here."""
    for it in results:
        sequence = it.sequence
        if sequence < 1 or it.duplicate:
            continue
        if it.outcome == ACCEPTED and it.own_id is None and it.own_time is None and not it.timer:  # as most are: what `pack` gives
            fields = sequence, it.recorded, it.offset, ACCEPTED, it.fingerprint, None, None, None, None, None, None
            yield b"%b@%d" % (it.key, sequence), it.value, [*it.carried, (LOG_HEADER, _json(fields))]
        else:
            yield log_record(it)


def parked_record(aside: SetAsideRecord) -> tuple[bytes, bytes, Headers]:
    """Key, value and headers for the parked topic."""
    key: Headers = [] if aside.key is None else [(KEY_HEADER, aside.key)]
    return str(aside.position).encode(), aside.value, [*aside.carried, *key, pack(aside.header)]


def set_aside_of(position: QueuePosition, value: bytes, headers: Headers) -> SetAsideRecord:
    """The record that the parked topic holds under `position`. Raises UndecodableRecord."""
    key = next((text for name, text in headers if name == KEY_HEADER), None)
    offset, timer = position
    return SetAsideRecord(offset, key, value, without_packed(headers), parked_header(headers), timer)


def due_record(namespace: str, pending: Pending) -> tuple[bytes, bytes, Headers]:
    """Key, value and headers for the due topic."""
    if isinstance(pending, PendingTimer):
        emitted = pending.emitted
        header = DueHeader(
            TIMER, pending.at, emitted.namespace, emitted.key.decode(),
            owner=pending.owner, own=pending.own, overdue=pending.overdue,
        )  # fmt: skip
        return pending.event_id.encode(), emitted.value, [*emitted.headers, pack(header)]
    [record] = call_records(namespace, {pending.reference: pending})
    return record


def call_records(namespace: str, calls: Mapping[str, PendingCall]) -> Iterator[tuple[bytes, bytes, Headers]]:
    """What `due_record` gives of calls by their references, in one loop."""
    for reference, it in calls.items():
        event = it.event
        header = DueHeader(CALL, it.recorded, namespace, event.key, it.offset, it.hops, to_micros(event.time), event.id, it.timer)
        yield reference.encode(), it.value, [*it.headers, (DUE_HEADER, _json(header))]


def pending_of(
    wire: WireFormat, key: str, value: bytes, headers: Headers, header: DueHeader, is_own: Callable[[str, bytes], bool]
) -> Pending:
    """The timer or call that the due topic holds under `key`; `headers` without retold's own, `header` from `due_header`.

    `is_own(namespace, key)`: whether this partition has that key, for timers of earlier versions.
    """
    if header.kind == TIMER:
        emitted = EmittedRecord(header.namespace, header.key.encode(), value, headers)
        if header.owner is None:  # of an earlier version, which did not say whose event scheduled it: it counts as its own
            return PendingTimer(header.at, emitted, key, header.key, own=is_own(header.namespace, emitted.key))
        return PendingTimer(header.at, emitted, key, header.owner, header.own, header.overdue)
    envelope = wire.envelopes.read(headers)
    event = event_again(wire.codec.decode(value), envelope, header)
    return PendingCall(event, header.at, header.offset, value, headers, header.hops, header.timer)


def place_of(it: Pending, first: int, end: int) -> DueReference:
    """The same timer or call without its body, which is in the due topic between these offsets."""
    if isinstance(it, PendingTimer):
        return TimerReference(it.at, it.event_id, it.owner, it.own, it.overdue, it.size, first, end)
    return CallReference(it.reference, it.key, it.offset, first, end, it.timer)


def place_at(at: int, key: str, size: int, header: DueHeader, is_own: Callable[[str, bytes], bool]) -> DueReference:
    """What is known of the timer or call under `key`, whose record lies `at` this offset, without reading its event.

    `size` in bytes of its value; `header` and `is_own` as in `pending_of`.
    """
    if header.kind != TIMER:
        return CallReference(key, header.key, header.offset, at, at + 1, header.timer)
    if header.owner is None:
        own = is_own(header.namespace, header.key.encode())
        return TimerReference(header.at, key, header.key, own, False, size, at, at + 1)
    return TimerReference(header.at, key, header.owner, header.own, header.overdue, size, at, at + 1)


def pending_at(it: DueReference, wire: WireFormat, value: bytes, headers: Headers) -> Pending:
    """The timer or call of a reference, with the body; `headers` as a consumer gives them. Raises as `pending_of` does."""
    header, carried = due_header(headers), without_packed(headers)
    if isinstance(it, CallReference):
        return pending_of(wire, it.reference, value, carried, header, lambda *_: True)
    emitted = EmittedRecord(header.namespace, header.key.encode(), value, carried)
    return PendingTimer(it.at, emitted, it.event_id, it.owner, it.own, it.overdue)
