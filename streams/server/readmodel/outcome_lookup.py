"""The outcomes that a server's file knows: of an inbox record, and of a request with an Idempotency-Key."""

from __future__ import annotations

import sqlite3
from contextlib import suppress

from streams.engine.envelope import without_packed
from streams.engine.envelope_reader import EnvelopeReader
from streams.engine.identity import short_fingerprint
from streams.engine.records import ACCEPTED, CORRECTED, PARKED, REJECTED, Codec
from streams.engine.times import from_micros
from streams.errors import StreamsError
from streams.history.recorded_event import STEP, VERSION
from streams.history.stored.kept_headers import unpacked
from streams.receipt import Receipt, duplicate_outcome
from streams.server.readmodel.key_uses import SOURCE, KeyUse, digest_of
from streams.server.readmodel.known_outcome import KnownOutcome, known_outcome


def outcome_at(db: sqlite3.Connection, at: tuple[str, int, int]) -> KnownOutcome | None:
    """Of the record at an offset of an inbox (namespace, partition, offset); None: it is not known. Raises sqlite3.Error."""
    return _logged(db, at) or _aside(db, at) or _duplicate(db, at)


def key_use(db: sqlite3.Connection, codec: Codec, event_id: str) -> KeyUse | None:
    """The use of an Idempotency-Key, by its event's id; None: it is not known. Raises sqlite3.Error."""
    short = short_fingerprint(SOURCE, event_id)
    text = (
        "select ns, part, inbox, value, headers from record where idh = ? and id = ? union all "
        "select ns, part, inbox, value, headers from aside where idh = ? and id = ? and status = ? limit 1"
    )
    found = db.execute(text, (short, event_id, short, event_id, PARKED)).fetchone()
    if found is None:
        return None
    namespace, part, inbox, value, headers = found
    envelope = EnvelopeReader().read(without_packed(unpacked(headers)))
    if envelope.source != SOURCE:
        return None
    with suppress(StreamsError):  # kept by reference, or unreadable here: then the request cannot be repeated
        data = codec.decode(value)
        receipt = Receipt(namespace, data.event_type, data.key, event_id)
        receipt.partition, receipt.offset = part, inbox
        return KeyUse(receipt, digest_of(codec.encode(data), envelope.expected_version))
    return None


def _logged(db: sqlite3.Connection, at: tuple[str, int, int]) -> KnownOutcome | None:
    text = (
        "select accepted, kind, by, seq, recorded, reason, type, key, id from record where ns = ? and part = ? and inbox = ? "
        "order by seq desc limit 1"
    )
    found = db.execute(text, at).fetchone()
    if found is None:
        return None
    accepted, kind, by, sequence, recorded, reason, event_type, key, event_id = found
    outcome = CORRECTED if kind == STEP else ACCEPTED if accepted else REJECTED
    return KnownOutcome(
        outcome=outcome, sequence=sequence, recorded=from_micros(recorded), reason=reason,
        wrong_version=by == VERSION, event_type=event_type, key=key, id=event_id,
    )  # fmt: skip


def _aside(db: sqlite3.Connection, at: tuple[str, int, int]) -> KnownOutcome | None:
    text = "select status, recorded, reason, type, key, id from aside where ns = ? and part = ? and inbox = ?"
    found = db.execute(text, at).fetchone()
    if found is None:
        return None
    status, recorded, reason, event_type, key, event_id = found
    return KnownOutcome(
        outcome=status, recorded=from_micros(recorded), reason=reason, event_type=event_type, key=key, id=event_id
    )


def _duplicate(db: sqlite3.Connection, at: tuple[str, int, int]) -> KnownOutcome | None:
    found = db.execute("select outcome, seq from duplicate where ns = ? and part = ? and inbox = ?", at).fetchone()
    return None if found is None else known_outcome(duplicate_outcome(*found))
