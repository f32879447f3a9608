"""A record of a log as the file keeps it, made without decoding its data: each record of each log passes here."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

import msgspec
from confluent_kafka import Message

from streams.engine.envelope import LOG_HEADER, LogHeader, log_header
from streams.engine.identity import answer_id, emitted_id, short_digest
from streams.engine.records import ACCEPTED
from streams.engine.times import EPOCH
from streams.event import reference_of
from streams.history.kept_headers import packed
from streams.history.recorded_event import ANSWER, EMITTED, HANDLER, ROOT, TIMER, VERSION
from streams.kafka.bounded_read import headers_of
from streams.kafka.messages import short_fingerprint

NAMES = (
    "recorded", "ns", "part", "seq", "time", "key", "type", "id", "idh", "kind", "ordinal", "accepted", "inbox", "value",
    "headers", "causeh", "by", "reason", "expected",
)  # fmt: skip
"""The columns in the order of a record's values, of which the first four are its place in the order of time (rule 18)."""
ALWAYS = NAMES.index("causeh")
"""So many values each record has, and of the others those up to the last that is not null: Python binds nulls slowly, and
booleans and bytes, too."""
ACCEPTED_AT = NAMES.index("accepted")
CAUSES = 4096
"""Causes whose reference and its 64 bits are cached: what follows from one event comes soon."""

MICROSECOND = timedelta(microseconds=1)

LogRecord = tuple[Any, ...]

_decode = msgspec.json.Decoder(LogHeader).decode


def log_record(message: Message, namespace: str, event_type: str, value: bytes) -> LogRecord:
    """The values of a record of this type and with this value. Raises UndecodableRecord if no worker wrote it.

    `time` in µs since 1970; `idh` and `causeh` are 64 bits of its reference and of its cause's; `kind` is
    root, emitted, answer, or timer, which has no inbox offset. A worker has checked the headers, so they are only picked here.
    """
    headers = headers_of(message)
    given = dict(headers).get
    try:
        header = _decode(given(LOG_HEADER) or b"")
    except msgspec.MsgspecError:
        header = log_header(headers)  # which says what is wrong with it
    if not (accepted := header.outcome == ACCEPTED):
        header = log_header(headers)
    key = (message.key() or b"").rpartition(b"@")[0].decode()
    event_id = named.decode() if (named := given("ce_id")) else header.id or ""
    time = (datetime.fromisoformat(at.decode()) - EPOCH) // MICROSECOND if (at := given("ce_time")) else header.time or 0
    ordinal, cause, kind = int(counted) if (counted := given("ce_ordinal")) else 0, None, ROOT
    if caused := given("ce_causationid"):
        reference, short = _cause(given("ce_causationsource") or b"", caused)
        if event_id == emitted_id(reference, event_type, key, ordinal, (given("ce_revision") or b"").decode()):
            kind, cause = EMITTED, short
        elif event_id == answer_id(reference):
            kind, cause = ANSWER, short
    if header.timer:
        kind = TIMER
    expected, source = given("ce_expectedversion"), given("ce_source")
    values = (
        header.recorded, namespace, message.partition() or 0, header.sequence, time, key, event_type, event_id,
        short_fingerprint(source.decode() if source else "", event_id), kind, ordinal, 1 if accepted else 0, header.offset,
        bytearray(value), packed(headers),
    )  # fmt: skip
    if accepted and not expected and header.reason is None:
        return values if cause is None else (*values, cause)
    by = None if accepted else VERSION if header.wrong_version else header.by or HANDLER
    return (*values, cause, by, header.reason, int(expected) if expected else None)


def is_accepted(record: LogRecord) -> bool:
    return bool(record[ACCEPTED_AT])


@lru_cache(CAUSES)
def _cause(source: bytes, event_id: bytes) -> tuple[str, int]:
    """A cause's reference, and 64 bits of it."""
    reference = reference_of(source.decode(), event_id.decode())
    return reference, short_digest(reference)
