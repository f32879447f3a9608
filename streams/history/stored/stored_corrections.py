"""The corrections of a past that is in a file, as the file keeps them: what they changed, by whom and why."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence, Set
from types import MappingProxyType

import msgspec

from streams.engine.records import Codec
from streams.engine.step import step_of
from streams.errors import HistoryError, NotKnownYet
from streams.history.branch.branch_times import TimedBranch
from streams.history.code.application_handlers import ApplicationHandlers
from streams.history.correction.corrected_log import CorrectedLog, KnownCorrection, raise_if_unread
from streams.history.correction.decided_corrections import DecidedCorrections
from streams.history.correction.unknown_corrections import KEPT_IN
from streams.history.cut_past import Cut
from streams.history.past import Past
from streams.history.stored.stored_past import IS_STEP, StoredPast

NO_SCHEMAS: Mapping[int, str] = MappingProxyType({})
PUT_SCHEMA = "insert or ignore into schema(id, text) values(?, ?)"
PUT = "insert or replace into meta(name, value) values('corrections', ?)"
KEPT = "select value from meta where name = 'corrections'"
STEPS = f"select value from record where {IS_STEP}"
_decode = msgspec.json.Decoder(tuple[KnownCorrection, ...]).decode


def put_corrections(
    db: sqlite3.Connection, corrections: Sequence[KnownCorrection], schemas: Mapping[int, str] = NO_SCHEMAS
) -> str | None:
    """All of them, in their order: nothing is written if these are kept already. Raises sqlite3.Error.

    `schemas` has those of their events, by id: without Kafka, code that is older than a correction has them from here alone.

    What has set rows never goes: if one is missing, those stay that are kept. Then this says what is wrong.
    """
    db.executemany(PUT_SCHEMA, schemas.items())
    value, found = msgspec.json.encode(corrections), db.execute(KEPT).fetchone()
    if value == (b"[]" if found is None else found[0]):
        return None
    if lost := _lost(db, {it.correction for it in corrections}):
        return (
            f"the topic {KEPT_IN} does not have the correction {lost} any more, whose steps are in the logs: it was deleted or "
            "made again. The past is told with the corrections that it had; bring it back from a backup"
        )
    db.execute(PUT, (value,))
    return None


def _lost(db: sqlite3.Connection, there: Set[str]) -> str | None:
    """One that is kept, has set rows, and is not there."""
    gone = {it.correction for it in kept_corrections(db)} - there
    steps = (step_of(value) for (value,) in db.execute(STEPS) if gone)
    return next((it.correction for it in steps if it is not None and it.correction in gone), None)


def kept_corrections(db: sqlite3.Connection) -> Sequence[KnownCorrection]:
    """Raises sqlite3.Error, and HistoryError for what another version of retold has written."""
    found = db.execute(KEPT).fetchone()
    if found is None:
        return ()
    try:
        return _decode(found[0])
    except (msgspec.MsgspecError, RecursionError) as error:
        raise HistoryError(
            f"the corrections of this past were written by another version of retold, and do not read here: {error}. Export it "
            "again with this version"
        ) from error


def counted(
    past: StoredPast, handlers: ApplicationHandlers, corrections: Sequence[KnownCorrection], codec: Codec,
    decided: DecidedCorrections | None = None,
) -> Past:  # fmt: skip
    """The past as all corrections make it; without any, as it is recorded. Raises NotKnownYet for a step of another correction.

    It is as it is recorded, too, if it cannot be told what they make of it, as where an event is gone that one names: then rows
    are what steps have set, and a branch leaves them untold where it has them otherwise before that.
    """
    try:
        return CorrectedLog.of(past, corrections, codec, decided).past(handlers)
    except NotKnownYet:
        raise
    except HistoryError as error:
        raise_if_unread(error)
        return past


def counted_at(
    past: StoredPast, cut: Cut, handlers: ApplicationHandlers, corrections: Sequence[KnownCorrection], codec: Codec,
    decided: DecidedCorrections | None = None,
) -> TimedBranch | None:  # fmt: skip
    """As `CorrectedLog.timed_at`."""
    if cut.known is None or (corrections and not any(it.known_from <= cut.known for it in corrections)):
        return None
    return CorrectedLog.of(past, corrections, codec, decided).timed_at(cut, handlers)
