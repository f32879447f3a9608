"""A record of a log as the file keeps it, made without decoding its data: each record of each log passes here."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import lru_cache
from operator import itemgetter
from typing import Any, NamedTuple

import msgspec
from confluent_kafka import Message

from streams.engine.envelope import LOG_HEADER, LogHeader, log_header
from streams.engine.identity import answer_id, emitted_id, short_fingerprint
from streams.engine.records import ACCEPTED, CORRECTED
from streams.engine.times import EPOCH
from streams.errors import UNREADABLE_JSON
from streams.event import reference_of
from streams.history.recorded_event import ANSWER, EMITTED, HANDLER, ROOT, STEP, TIMER, VERSION
from streams.history.stored.kept_headers import layout_of, packed_texts
from streams.kafka.bounded_read import headers_of

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
LISTS = 1_024
"""Lists of names of headers that are remembered."""
OWN = (LOG_HEADER, "ce_id", "ce_source", "ce_time")
LINKS = ("ce_causationid", "ce_causationsource", "ce_ordinal", "ce_revision", "ce_expectedversion")
"""Headers of what follows from another event, or expects something of its row: most lists have none of them."""

MICROSECOND = timedelta(microseconds=1)

LogRecord = tuple[Any, ...]

_decode = msgspec.json.Decoder(LogHeader).decode
_Picked = Callable[[tuple[bytes | None, ...]], tuple[Any, ...]]


class _Names(NamedTuple):
    """Where values are in a list of headers with certain names; with null behind the last, for those that are not there."""

    layout: bytes
    own: _Picked
    links: _Picked | None


_known: dict[tuple[str, ...], _Names] = {}


def log_record(message: Message, namespace: str, event_type: str, value: bytes) -> LogRecord:
    """The values of a record of this type and with this value. Raises UndecodableRecord if no worker wrote it.

    `time` in µs since 1970; `idh` and `causeh` are 64 bits of its reference and of its cause's; `kind` is
    root, emitted, answer, timer, which has no inbox offset, or step. A worker
    has checked the headers, so they are only picked here.
    """
    headers = headers_of(message)
    names, texts = zip(*headers, strict=True) if headers else ((), ())
    at = _known.get(names) or _learn(names)
    picked = (*texts, None)
    packed, own_id, source, time_text = at.own(picked)
    try:
        header = _decode(packed or b"")
    except UNREADABLE_JSON:
        header = log_header(headers)  # which says what is wrong with it
    key = (message.key() or b"").rpartition(b"@")[0].decode()
    event_id = own_id.decode() if own_id else header.id or ""
    time = (datetime.fromisoformat(time_text.decode()) - EPOCH) // MICROSECOND if time_text else header.time or 0
    idh = short_fingerprint(source.decode() if source else "", event_id)
    if at.links is None and header.outcome == ACCEPTED and header.reason is None:
        return (
            header.recorded, namespace, message.partition() or 0, header.sequence, time, key, event_type, event_id, idh,
            TIMER if header.timer else ROOT, 0, 1, header.offset, bytearray(value), packed_texts(at.layout, texts),
        )  # fmt: skip
    if not (accepted := header.outcome in (ACCEPTED, CORRECTED)):
        header = log_header(headers)
    caused, caused_source, counted, revision, expected = (None,) * len(LINKS) if at.links is None else at.links(picked)
    ordinal, cause, kind = int(counted) if counted else 0, None, ROOT
    if caused:
        reference, short = _cause(caused_source or b"", caused)
        if event_id == emitted_id(reference, event_type, key, ordinal, (revision or b"").decode()):
            kind, cause = EMITTED, short
        elif event_id == answer_id(reference):
            kind, cause = ANSWER, short
    if header.timer:
        kind = TIMER
    elif header.outcome == CORRECTED:
        kind = STEP
    values = (
        header.recorded, namespace, message.partition() or 0, header.sequence, time, key, event_type, event_id,
        idh, kind, ordinal, 1 if accepted else 0, header.offset, bytearray(value), packed_texts(at.layout, texts),
    )  # fmt: skip
    if accepted and not expected and header.reason is None:
        return values if cause is None else (*values, cause)
    by = None if accepted else VERSION if header.wrong_version else header.by or HANDLER
    return (*values, cause, by, header.reason, int(expected) if expected else None)


def is_accepted(record: LogRecord) -> bool:
    return bool(record[ACCEPTED_AT])


def _learn(names: tuple[str, ...]) -> _Names:
    if len(_known) >= LISTS:
        _known.clear()
    there = {name: number for number, name in enumerate(names)}  # of a name's several, the last

    def picker(wanted: tuple[str, ...]) -> _Picked:
        return itemgetter(*(there.get(name, -1) for name in wanted))

    found = _known[names] = _Names(layout_of(names), picker(OWN), picker(LINKS) if there.keys() & {*LINKS} else None)
    return found


@lru_cache(CAUSES)
def _cause(source: bytes, event_id: bytes) -> tuple[str, int]:
    """A cause's reference, and 64 bits of it."""
    text, named = source.decode(), event_id.decode()
    return reference_of(text, named), short_fingerprint(text, named)
