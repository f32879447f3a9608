"""The journal of the read model's file: in memory while all is read for the first time, a file beside it from then on.

Kafka has everything, so a first reading that is broken off begins anew; it costs a third of the time to write all of it twice.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

from streams.server.readmodel.store_meta import meta_value

FIRST = "first"
"""In `meta` while everything is read for the first time: unless its process ended in order, such a file may be torn."""
MOST = 4_000_000
"""Bytes that the journal's file keeps while nothing is written."""


def keep_in_memory(db: sqlite3.Connection) -> None:
    """Of the transaction that is written: one that fails leaves nothing, but the file is torn if the process is killed."""
    db.execute("pragma journal_mode=memory")
    db.execute("pragma cache_spill=off")  # a page that is written before the end of a transaction that then fails stays as it is


def is_first(db: sqlite3.Connection) -> bool:
    return meta_value(db, FIRST) is not None


def why_torn(db: sqlite3.Connection) -> str | None:
    """Why a file that nobody writes cannot be gone on with, of which not all was read; None if it can."""
    return "the process that read it for the first time was killed" if is_first(db) and not meta_value(db, "clean") else None


def keep_beside(db: sqlite3.Connection) -> None:
    """A process that is killed loses nothing, and readers do not wait. Raises sqlite3.Error, also if somebody reads for long."""
    [mode] = db.execute("pragma journal_mode=wal").fetchone()
    if mode != "wal":
        raise sqlite3.OperationalError(f"its journal is still in the mode {mode}")
    db.execute("pragma cache_spill=on")
    db.execute(f"pragma journal_size_limit={MOST}")  # a larger one is cut when a later write begins it anew


def cut(db: sqlite3.Connection, file: Path) -> None:
    """Write what is in a large journal to the file and cut it, unless somebody reads just now. Raises sqlite3.Error."""
    try:
        size = Path(f"{file}-wal").stat().st_size
    except FileNotFoundError:
        return
    if size > MOST:
        [waits] = db.execute("pragma busy_timeout").fetchone()
        db.execute("pragma busy_timeout=0")
        try:
            db.execute("pragma wal_checkpoint(truncate)")
        finally:
            db.execute(f"pragma busy_timeout={waits}")
