"""The journal of the read model's file: in memory while all is read for the first time, a file beside it from then on.

Kafka has everything, so a first reading whose process is killed may begin anew: to write all of it twice costs time. But it does so
once. The one that follows keeps its journal beside the file, and goes on however often it is killed.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

from streams.server.readmodel.store_meta import meta_value

FIRST = "first"
"""In `meta` while everything is read for the first time: where its journal is."""
IN_MEMORY, BESIDE = 1, 2
"""With the one, the file may be torn unless its process ended in order. With the other it never is."""
MOST = 4_000_000
"""Bytes that the journal's file keeps while nothing is written."""


def keep_in_memory(db: sqlite3.Connection) -> None:
    """Of the transaction that is written: one that fails leaves nothing, but the file is torn if the process is killed."""
    db.execute("pragma journal_mode=memory")
    db.execute("pragma cache_spill=off")  # a page that is written before the end of a transaction that then fails stays as it is


def is_in_memory(db: sqlite3.Connection) -> bool:
    """Whether the file is read for the first time, with its journal in memory."""
    return bool(meta_value(db, FIRST) == IN_MEMORY)


def may_be_torn(db: sqlite3.Connection) -> bool:
    """Whether a file that nobody writes cannot be gone on with, since its process was killed."""
    return is_in_memory(db) and not meta_value(db, "clean")


def keep_beside(db: sqlite3.Connection) -> None:
    """A process that is killed loses nothing, and readers do not wait. Raises sqlite3.Error, also if somebody reads for long."""
    [mode] = db.execute("pragma journal_mode=wal").fetchone()
    if mode != "wal":
        raise sqlite3.OperationalError(f"its journal is still in the mode {mode}")
    db.execute("pragma cache_spill=on")
    db.execute(f"pragma journal_size_limit={MOST}")  # a larger one is cut when a later write begins it anew


def cut(db: sqlite3.Connection, file: Path) -> None:
    """Empty a large journal, unless somebody reads just now. Raises sqlite3.Error."""
    try:
        size = Path(f"{file}-wal").stat().st_size
    except FileNotFoundError:
        return
    if size > MOST:
        empty(db)


def empty(db: sqlite3.Connection, patience: int = 0) -> bool:
    """Write what is in the journal to the file, and cut it; False: somebody reads what was before, for longer than `patience` (ms).

    Raises sqlite3.Error.
    """
    [waits] = db.execute("pragma busy_timeout").fetchone()
    db.execute(f"pragma busy_timeout={patience}")
    try:
        [busy, *_] = db.execute("pragma wal_checkpoint(truncate)").fetchone()
    finally:
        db.execute(f"pragma busy_timeout={waits}")
    return not busy
