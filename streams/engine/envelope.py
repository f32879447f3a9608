"""Headers: an event's attributes in CloudEvents binary mode, and retold's own.

Retold's own are packed into one header, because each header costs 0.6 µs a record.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, TypeVar

import msgspec
from msgspec.structs import replace

from streams.data import EventData
from streams.engine.identity import answer_id, emitted_id, fingerprint_of
from streams.engine.records import (
    ACCEPTED,
    CORRECTED,
    PARKED,
    QUARANTINED,
    REJECTED,
    UNANSWERED,
    Headers,
    InboxRecord,
    QueuePosition,
)
from streams.engine.times import from_micros, iso_text_of
from streams.errors import UNREADABLE_JSON, UndecodableRecord
from streams.event import Event, is_unique, reference_of

H = TypeVar("H")
CONTENT_TYPE = b"application/vnd.confluent.avro"
LOG_HEADER, PARKED_HEADER, DUE_HEADER = "retold", "retold_parked", "retold_due"
VERSION_HEADER, KEY_HEADER = "retold_version", "retold_key"
TEXT_LIMIT = 1024
"""Bytes of a CloudEvents attribute."""
HOPS_LIMIT = 100
TIMER, CALL = "timer", "call"
OURS = frozenset({"ce_sequence", "ce_recordedtime", "ce_outcome", "ce_reason"})


class Envelope(msgspec.Struct, frozen=True):
    """`carried` are the headers to keep, without what only retold may write. Times in µs since 1970."""

    carried: Headers
    id: str | None = None
    source: str = ""
    type: str | None = None
    time: datetime | None = None
    cause: str | None = None
    cause_source: str = ""
    cause_time: int | None = None
    correlation: str | None = None
    ordinal: int = 0
    revision: str = ""
    expected_version: int | None = None
    hops: int = 0
    trace: bytes | None = None

    @property
    def digest(self) -> bytes | None:
        """By what a duplicate is recognised; None for an event without an id of its own, which has no duplicates."""
        return fingerprint_of(self.source, self.id) if self.id is not None else None


class LogHeader(msgspec.Struct, frozen=True, array_like=True):
    """Retold's header of a log record. `id` and `time` (µs) are set if the record's own headers have none.

    `wrong_version`: it was rejected because the row was not at the expected version; None unless it was rejected. `by` says
    who rejected it without its handler. A `timer` was handled in place; its `offset` is -1.
    """

    sequence: int
    recorded: int
    offset: int
    outcome: str
    fingerprint: str
    reason: str | None = None
    id: str | None = None
    time: int | None = None
    wrong_version: bool | None = None
    by: str | None = None
    timer: bool | None = None


class ParkedHeader(msgspec.Struct, frozen=True):
    """Why a record was set aside; `key` is the entity that it blocks (None: quarantined).

    `time` (µs) and `id` are the event's if its own headers have none. `asked` is when an unanswered request was recorded.
    `timer` is not 0 for a timer's event: it was handled before the record at `offset`.
    """

    status: str
    reason: str
    detail: str
    key: str | None
    topic: str
    partition: int
    offset: int
    recorded: int
    time: int | None = None
    id: str | None = None
    asked: int | None = None
    timer: int = 0


class DueHeader(msgspec.Struct, frozen=True):
    """Retold's header in the due topic: a `timer` to publish at `at` (µs), or a `call` whose answer is not handled yet.

    `offset` and `timer` are the request's position; `time` (µs) and `id` are the event's if its own headers have none. `owner`,
    `own` and `overdue` are those of a PendingTimer; a timer of an earlier version has no owner.
    """

    kind: str
    at: int
    namespace: str
    key: str
    offset: int = 0
    hops: int = 0
    time: int | None = None
    id: str | None = None
    timer: int = 0
    owner: str | None = None
    own: bool = False
    overdue: bool = False


def is_ours(name: str) -> bool:
    """Whether only retold may write a header of this name."""
    return name in OURS or name.startswith("retold")


def event_of(data: EventData, envelope: Envelope, event_id: str, time: datetime) -> Event[EventData]:
    """The event as its handler gets it, live and in every fold.

    It has a cause only if its id is derived from that cause: this shows consistency, not origin (rule 15).
    """
    return event_and_request(data, envelope, event_id, time)[0]


def event_and_request(data: EventData, envelope: Envelope, event_id: str, time: datetime) -> tuple[Event[EventData], str | None]:
    """The event, and the reference of the request that it answers; None: it is no gateway's answer."""
    cause, request = envelope.cause, None
    if cause is not None:
        reference = reference_of(envelope.cause_source, cause)
        if not is_emitted(data, envelope, event_id, reference):
            if event_id == answer_id(reference):
                request = reference
            else:
                cause = None
    return Event(data, event_id, time, cause, envelope.correlation if cause else event_id, envelope.source), request


def is_emitted(data: EventData, envelope: Envelope, event_id: str, reference: str) -> bool:
    """Whether the id is that of an emission of the event with this reference (rule 15)."""
    return event_id == emitted_id(reference, data.event_type, data.key, envelope.ordinal, envelope.revision)


def caused_by(cause: Event[Any], recorded: int, hops: int, reference: str | None = None) -> Headers:
    """An event's headers about its cause, which was recorded at `recorded` (µs), `hops` events away from its root.

    The cause's source is a header only if the cause's id alone is not unique; `reference` is the cause's, where it is known.
    """
    cause_id, first = cause.id.encode(), cause.correlation
    headers = [
        ("ce_causationid", cause_id),
        ("ce_causetime", iso_text_of(recorded).encode()),
        ("ce_correlationid", first.encode() if first and first is not cause.id else cause_id),
        ("ce_hops", b"%d" % (hops + 1)),
    ]
    is_named = is_unique(cause.source, cause.id) if reference is None else reference == cause.id
    if cause.source and not is_named:
        headers.append(("ce_causationsource", cause.source.encode()))
    return headers


def event_again(data: EventData, envelope: Envelope, own: LogHeader | ParkedHeader | DueHeader) -> Event[EventData]:
    """The event of a record that a worker stored, as it was when it was read from the inbox."""
    time = envelope.time or from_micros(own.time or 0)
    return event_of(data, envelope, envelope.id or own.id or "", time)


def sequence_of(log_key: bytes) -> int:
    """The sequence of a log record, whose key is `<entity key>@<sequence>`; a tombstone has it too.

    Raises UndecodableRecord.
    """
    sequence = log_key.rpartition(b"@")[2]
    if not sequence.isdigit():
        raise UndecodableRecord(f"the key of a log record is {log_key[:80]!r}; <entity key>@<sequence> was expected")
    return int(sequence)


class Arrival(msgspec.Struct, frozen=True):
    """An inbox record that was decoded; `key` is its event's and `digest` its envelope's: both are asked for again and again.

    `position` is that in its key's parked queue if it is not its own offset. A `timer` is handled in place, before the record
    at its offset.
    """

    record: InboxRecord
    envelope: Envelope
    event: Event[Any]
    key: str
    digest: bytes | None
    position: QueuePosition | None = None
    timer: bool = False


_log_decoder = msgspec.json.Decoder(LogHeader)
_parked_decoder = msgspec.json.Decoder(ParkedHeader)
_due_decoder = msgspec.json.Decoder(DueHeader)
_NAMES = {LogHeader: LOG_HEADER, ParkedHeader: PARKED_HEADER, DueHeader: DUE_HEADER}
_LOGGED, _ASIDE, _PENDING = (ACCEPTED, REJECTED, CORRECTED), (PARKED, UNANSWERED, QUARANTINED), (TIMER, CALL)


def version_header(version: int) -> tuple[str, bytes]:
    """Of a row in its table."""
    return VERSION_HEADER, b"%d" % version


def log_header(headers: Headers | None) -> LogHeader:
    """Raises UndecodableRecord if a log record has no header of retold's, or an outcome that is unknown here."""
    header = _packed(headers, LOG_HEADER, _log_decoder)
    if header.outcome == ACCEPTED:
        return header
    _refuse_unknown(LOG_HEADER, "outcome", header.outcome, _LOGGED)
    if header.outcome == REJECTED and header.wrong_version is None:
        return replace(header, wrong_version=_says_wrong_version(header, headers or []))
    return header


def _says_wrong_version(header: LogHeader, headers: Headers) -> bool:
    """For records written before the log had a field for it: the reason's beginning says it, if a version was expected."""
    expected = any(name == "ce_expectedversion" for name, _ in headers)
    return expected and (header.reason or "").startswith("wrong version: expected ")


def parked_header(headers: Headers | None) -> ParkedHeader:
    """Raises UndecodableRecord, also for a status that is unknown here."""
    header = _packed(headers, PARKED_HEADER, _parked_decoder)
    _refuse_unknown(PARKED_HEADER, "status", header.status, _ASIDE)
    return header


def due_header(headers: Headers | None) -> DueHeader:
    """Raises UndecodableRecord, also for a kind that is unknown here."""
    header = _packed(headers, DUE_HEADER, _due_decoder)
    _refuse_unknown(DUE_HEADER, "kind", header.kind, _PENDING)
    return header


def _refuse_unknown(name: str, field: str, said: str, known: tuple[str, ...]) -> None:
    """A later version of retold may add a value; taken for another one, the record would be handled wrongly."""
    if said not in known:
        raise UndecodableRecord(
            f"a record's header {name} has the {field} {said!r:.80}; {', '.join(known[:-1])} or {known[-1]} was expected. "
            "A later retold may have added it: run the version that wrote it"
        )


def pack(header: LogHeader | ParkedHeader | DueHeader) -> tuple[str, bytes]:
    return _NAMES[type(header)], msgspec.json.encode(header)


def without_packed(headers: Headers | None) -> Headers:
    # As `is_ours`, without a call for each header: a restore reads hundreds of thousands of records.
    return [pair for pair in headers or [] if pair[0] not in OURS and not pair[0].startswith("retold")]


def _packed(headers: Headers | None, name: str, decoder: msgspec.json.Decoder[H]) -> H:
    value = None
    if headers and headers[-1][0] == name:  # a worker puts it last
        value = headers[-1][1]
    else:
        for found, text in reversed(headers or []):
            if found == name:
                value = text
                break
    try:
        return decoder.decode(value or b"")
    except UNREADABLE_JSON as error:
        raise UndecodableRecord(
            f"a record without a readable header {name} ({error}): it was not written by a retold worker"
        ) from error
