"""The corrections of a past that is in a file, as the file keeps them: what they changed, by whom and why."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

import msgspec

from streams.engine.records import Codec
from streams.errors import HistoryError
from streams.history.branch.branch_times import TimedBranch
from streams.history.code.application_handlers import ApplicationHandlers
from streams.history.correction.corrected_log import CorrectedLog, KnownCorrection, raise_if_unread
from streams.history.correction.decided_corrections import DecidedCorrections
from streams.history.cut_past import Cut
from streams.history.past import Past
from streams.history.stored.stored_past import StoredPast

PUT = "insert or replace into meta(name, value) values('corrections', ?)"
KEPT = "select value from meta where name = 'corrections'"
_decode = msgspec.json.Decoder(tuple[KnownCorrection, ...]).decode


def put_corrections(db: sqlite3.Connection, corrections: Sequence[KnownCorrection]) -> None:
    """All of them, in their order: nothing is written if these are kept already. Raises sqlite3.Error."""
    value, found = msgspec.json.encode(corrections), db.execute(KEPT).fetchone()
    if value != (b"[]" if found is None else found[0]):
        db.execute(PUT, (value,))


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
    """The past as all corrections make it; without any, as it is recorded.

    So it is, too, if it cannot be told what they make of it, as where an event is gone that one names: then rows are what steps
    have set, and a branch leaves them untold where it has them otherwise before that.
    """
    try:
        return CorrectedLog.of(past, corrections, codec, decided).past(handlers) if corrections else past
    except HistoryError as error:
        raise_if_unread(error)
        return past


def counted_at(
    past: StoredPast, cut: Cut, handlers: ApplicationHandlers, corrections: Sequence[KnownCorrection], codec: Codec,
    decided: DecidedCorrections | None = None,
) -> TimedBranch | None:  # fmt: skip
    """As `CorrectedLog.timed_at`."""
    if cut.known is None or not any(it.known_from <= cut.known for it in corrections):
        return None
    return CorrectedLog.of(past, corrections, codec, decided).timed_at(cut, handlers)
