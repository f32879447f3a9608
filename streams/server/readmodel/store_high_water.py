"""Fills in the high-water times of the records in a read model's file, in the total order."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from typing import Any

from streams.history.high_water import LEAST

PIECE = 2_000
"""Records of one step."""
NEXT = """select ns, part, seq, key, time, idh, causeh, recorded from record indexed by record_without_high where high is null
    and recorded <= ? order by recorded, ns, part, seq limit ?"""
BEFORE = "select high from record where ns = ? and key = ? and seq < ? order by seq desc limit 1"
CAUSE = "select max(high) from record where idh = ? and recorded < ?"


def put_frontier(db: sqlite3.Connection, until: int) -> None:
    """Note that all until this time (µs) is filled in, and can change no more. Raises sqlite3.Error."""
    db.execute("insert or replace into meta(name, value) values('frontier', ?)", (until,))


def is_filled(db: sqlite3.Connection, until: int) -> bool:
    """Whether all that was recorded until `until` (µs) has its high-water time. Raises sqlite3.Error."""
    return db.execute("select 1 from record where high is null and recorded <= ? limit 1", (until,)).fetchone() is None


def fill_high_water(db: sqlite3.Connection, until: int, most: int = PIECE) -> int:
    """Fill in at most so many, of those that were recorded until `until` (µs), behind which nothing can come any more.

    Returns how many it were. Raises sqlite3.Error.
    """
    records: Iterable[tuple[Any, ...]] = db.execute(NEXT, (until, most)).fetchall()
    count = 0
    db.execute("begin immediate")
    for ns, part, seq, key, time, _, causeh, recorded in records:
        before = db.execute(BEFORE, (ns, key, seq)).fetchone()
        cause = None if causeh is None else db.execute(CAUSE, (causeh, recorded)).fetchone()
        high = max(
            time, LEAST if before is None else before[0], LEAST if cause is None or cause[0] is None else cause[0]
        )
        db.execute("update record set high = ? where ns = ? and part = ? and seq = ?", (high, ns, part, seq))
        count += 1
    db.execute("commit")
    return count
