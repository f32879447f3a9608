"""Fills in the high-water times of the records in a read model's file, in the total order."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Sequence
from typing import Any

from streams.server.readmodel.checkpoints import EVERY, note_checkpoints
from streams.server.readmodel.store_meta import set_meta
from streams.server.readmodel.transaction import transaction

PIECE = 2_000
"""Records of one step."""
NEXT = """select ns, part, seq, key, time, idh, causeh, recorded from record indexed by record_without_high where high is null
    and recorded <= ? order by recorded, ns, part, seq limit ?"""
BEFORE = "select high, nth from record where ns = ? and key = ? and seq < ? order by seq desc limit 1"
KEPT = "select high, 0 from checkpoint where ns = ? and key = ? and seq < ? order by seq desc limit 1"
"""Of a key whose events before are not kept any more."""
CAUSES = "select idh, max(high) from record where idh in ({}) and high is not null group by idh"
ASKED = 500
"""Causes that are looked up at once."""
PUT = "update record set high = ?, nth = ? where ns = ? and part = ? and seq = ?"


def put_frontier(db: sqlite3.Connection, until: int) -> None:
    """Note that all until this time (µs) is filled in, and can change no more. Raises sqlite3.Error."""
    set_meta(db, frontier=until)


def is_filled(db: sqlite3.Connection, until: int) -> bool:
    """Whether all that was recorded until `until` (µs) has its high-water time. Raises sqlite3.Error."""
    return db.execute("select 1 from record where high is null and recorded <= ? limit 1", (until,)).fetchone() is None


def fill_high_water(db: sqlite3.Connection, until: int, most: int = PIECE, every: int = EVERY) -> int:
    """Fill in at most so many, of those that were recorded until `until` (µs), behind which nothing can come any more.

    Every so many events of a key, a checkpoint is noted. Returns how many were filled in. Raises sqlite3.Error.
    """
    records: Sequence[tuple[Any, ...]] = db.execute(NEXT, (until, most)).fetchall()
    with transaction(db):
        found, noted = _step(db, records, every)
        db.executemany(PUT, found)
        note_checkpoints(db, noted)
    return len(records)


def _step(
    db: sqlite3.Connection, records: Sequence[tuple[Any, ...]], every: int
) -> tuple[list[tuple[int, int, str, int, int]], list[tuple[str, str, int, int, int]]]:
    """What is put, and the checkpoints. Most causes, and most events before of a key, are among the records of one step."""
    found, noted = list[tuple[int, int, str, int, int]](), list[tuple[str, str, int, int, int]]()
    by_key: dict[tuple[str, str], tuple[int, int]] = {}
    by_id = _causes(db, {it[6] for it in records if it[6] is not None})
    for ns, part, seq, key, time, idh, causeh, recorded in records:
        before = by_key.get((ns, key)) or db.execute(BEFORE, (ns, key, seq)).fetchone()
        before = before or db.execute(KEPT, (ns, key, seq)).fetchone()
        high, nth = (time, 1) if before is None else (max(time, before[0]), (before[1] or 0) + 1)
        if causeh in by_id:
            high = max(high, by_id[causeh])
        by_key[ns, key] = high, nth
        by_id[idh] = max(high, by_id.get(idh, high))  # of an id that was handled twice, which one led to an effect is not known
        found.append((high, nth, ns, part, seq))
        if nth % every == 0:
            noted.append((ns, key, seq, recorded, high))
    return found, noted


def _causes(db: sqlite3.Connection, ids: Collection[int]) -> dict[int, int]:
    """The high-water times of events that were filled in before, by id. They are filled in in order: all of these come before."""
    found, asked = dict[int, int](), list(ids)
    for at in range(0, len(asked), ASKED):
        some = asked[at : at + ASKED]
        found.update(db.execute(CAUSES.format(", ".join("?" * len(some))), some).fetchall())
    return found
