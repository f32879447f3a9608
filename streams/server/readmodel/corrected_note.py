"""What a file notes of corrections, for its projections. All raise sqlite3.Error."""

from __future__ import annotations

import sqlite3

from streams.server.readmodel.store_meta import meta_value, set_meta


def folded_as(db: sqlite3.Connection) -> str:
    """The digest of what projections were folded with otherwise than the logs have it; empty: nothing."""
    return meta_value(db, "folded_as") or ""


def is_uncorrected(db: sqlite3.Connection) -> bool:
    """Whether projections are not known to be as corrections of the past make them."""
    return meta_value(db, "corrected") is not None


def note_uncorrected(db: sqlite3.Connection, *, uncorrected: bool) -> bool:
    """Returns whether that was not noted yet."""
    is_new = uncorrected != is_uncorrected(db)
    if is_new:
        set_meta(db, corrected=1 if uncorrected else None)
    return is_new


def note_folded(db: sqlite3.Connection, digest: str) -> None:
    """Within a transaction: projections were folded again. Whether that is what counts is looked at afterwards."""
    set_meta(db, folded_as=digest, **({} if digest == folded_as(db) else {"corrected": 1}))
