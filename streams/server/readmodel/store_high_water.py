"""Fills in the high-water times of the records in a read model's file, in the total order."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Sequence
from typing import Any

from streams.history.high_water import LEAST
from streams.server.readmodel.checkpoints import EVERY, NotedPlace, note_checkpoints
from streams.server.readmodel.erased_times import ErasedTimes, KeyTimes, Position
from streams.server.readmodel.missing_events import MissingEvents
from streams.server.readmodel.store_meta import set_meta
from streams.server.readmodel.transaction import transaction

PIECE = 2_000
"""Records of one step."""
NEXT = """select ns, part, seq, key, time, idh, causeh, recorded from record indexed by record_without_high where high is null
    and recorded <= ? order by recorded, ns, part, seq limit ?"""
BEFORE = """select seq, high, coalesce(latest, high), coalesce(nth, 0) from record where ns = ? and key = ? and seq < ?
order by seq desc limit 1"""
KEPT = """select seq, high, coalesce(latest, high), 0 from checkpoint where ns = ? and key = ? and seq < ?
order by seq desc limit 1"""
"""Of a key whose events before are not kept any more."""
NOTHING = (0, LEAST, LEAST, 0)
"""Before the first event of a key."""
CAUSES = """select idh, max(high), max(coalesce(latest, high)) from record
where idh in ({}) and high is not null group by idh"""
ASKED = 500
"""Causes that are looked up at once."""
PUT = "update record set high = ?, latest = ?, nth = ? where ns = ? and part = ? and seq = ?"
"""`latest`: the high-water time is not known, since events are not kept: it is `high` or later, and not later than this."""
PUT_ERASED = "update erased set high = ?, latest = ? where ns = ? and part = ? and seq = ?"
Filled = tuple[int, int | None, int, str, int, int]
"""The values of PUT."""


def put_frontier(db: sqlite3.Connection, until: int) -> None:
    """Note that all until this time (µs) is filled in, and can change no more. Raises sqlite3.Error."""
    set_meta(db, frontier=until)


def is_filled(db: sqlite3.Connection, until: int) -> bool:
    """Whether all that was recorded until `until` (µs) has its high-water time. Raises sqlite3.Error."""
    return all(
        db.execute(f"select 1 from {table} where high is null and recorded <= ? limit 1", (until,)).fetchone() is None
        for table in ("record", "erased")
    )


def fill_high_water(db: sqlite3.Connection, until: int, most: int = PIECE, every: int = EVERY) -> int:
    """Fill in at most so many, of those that were recorded until `until` (µs), behind which nothing can come any more.

    Every so many events of a key, a checkpoint is noted. Returns how many were filled in. Raises sqlite3.Error.
    """
    gone = ErasedTimes(db)
    records: Sequence[tuple[Any, ...]] = db.execute(NEXT, (until, most)).fetchall()
    erased = gone.next(until, most)
    if erased:
        records = sorted([*records, *erased], key=_order)[:most]
    with transaction(db):
        found, noted = _step(db, records, gone, every)
        if erased:
            places = {it[:3] for it in erased}
            db.executemany(PUT_ERASED, [(high, latest, *at) for high, latest, _, *at in found if tuple(at) in places])
        db.executemany(PUT, found)  # of those that are erased there are no records
        note_checkpoints(db, noted)
        gone.write()
    return len(records)


def _order(it: tuple[Any, ...]) -> tuple[Any, ...]:
    """Of a row of NEXT: recorded, namespace, partition and sequence."""
    return it[7], *it[:3]


def _step(
    db: sqlite3.Connection, records: Sequence[tuple[Any, ...]], gone: ErasedTimes, every: int
) -> tuple[list[Filled], list[NotedPlace]]:
    """What is put, and the checkpoints. Most causes, and most events before of a key, are among the records of one step."""
    found, noted = list[Filled](), list[NotedPlace]()
    by_key: dict[tuple[str, str], KeyTimes] = {}
    causes = {it[6] for it in records if it[6] is not None}
    by_id, missing = _causes(db, causes, gone), MissingEvents(db, causes)
    for ns, part, seq, key, time, idh, causeh, recorded in records:
        last, high, latest, nth = by_key.get((ns, key)) or _last(db, gone, ns, key, seq)
        unknown = max(missing.behind(ns, key, last), gone.behind(ns, key, last, seq, recorded))
        high, latest, nth = max(time, high), max(time, latest, unknown), nth + 1
        if causeh is not None:
            cause = by_id.get(causeh)
            early, late = cause or (LEAST, LEAST)
            known = missing.cause(causeh) if cause else _missing_cause(missing, gone, (ns, part, seq), recorded)
            high, latest = max(high, early), max(latest, late, known)
        by_key[ns, key] = seq, high, latest, nth
        early, late = by_id.get(idh, (high, latest))
        by_id[idh] = max(high, early), max(latest, late)  # handled twice: which one led to an effect is not known
        bound = latest if latest > high else None
        found.append((high, bound, nth, ns, part, seq))
        gone.filled(latest)
        if nth % every == 0:
            noted.append((ns, key, seq, recorded, high, bound))
    return found, noted


def _last(db: sqlite3.Connection, gone: ErasedTimes, ns: str, key: str, sequence: int) -> KeyTimes:
    """The last event of a key before a sequence."""
    before = db.execute(BEFORE, (ns, key, sequence)).fetchone()
    return gone.last(ns, key, sequence, before or db.execute(KEPT, (ns, key, sequence)).fetchone() or NOTHING)


def _missing_cause(missing: MissingEvents, gone: ErasedTimes, at: Position, recorded: int) -> int:
    """A time that the cause of an event depends on no later one than (µs): it is erased, or too old to be kept.

    LEAST: it is of another application, and of no past here.
    """
    cause = gone.cause_recorded(at, recorded)
    if cause is None:
        return LEAST
    left_out = missing.left_out_cause(cause)
    return gone.cause(cause) if left_out is None else left_out


def _causes(db: sqlite3.Connection, ids: Collection[int], gone: ErasedTimes) -> dict[int, tuple[int, int]]:
    """When events that were filled in before count from, by id: not before the one time, and not later than the other.

    They are filled in in order: all of these come before.
    """
    found, asked = dict[int, tuple[int, int]](), list(ids)
    for at in range(0, len(asked), ASKED):
        some = asked[at : at + ASKED]
        marks = ", ".join("?" * len(some))
        for idh, high, latest in (*db.execute(CAUSES.format(marks), some), *gone.causes(marks, some)):
            early, late = found.get(idh, (LEAST, LEAST))
            found[idh] = max(early, high), max(late, latest)
    return found
