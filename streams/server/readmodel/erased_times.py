"""Events that an operator has erased, as far as the high-water times of others depend on them.

Of one that the file had, its time and its place are kept, and it gets a high-water time in its turn. One that Kafka had no more
when the file was read may be known by its tombstone, or only by what it led to.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from streams.engine.times import to_micros
from streams.event import OURS
from streams.history.high_water import LEAST
from streams.history.stored.kept_headers import picker
from streams.server.readmodel.store_meta import meta_value, set_meta

ERASED = (
    """create table erased(ns text not null, part integer not null, seq integer not null, key text not null, recorded integer,
    high integer, time integer, latest integer, idh integer, causeh integer, primary key(ns, part, seq)) without rowid""",
    "create index erased_by_key on erased(ns, key, seq)",
    "create index erased_by_id on erased(idh) where idh is not null",
    "create index erased_without_high on erased(recorded, ns, part, seq) where high is null and recorded is not null",
)
"""`recorded` and all behind it are null where the file never had the event."""
ERASE = """insert or ignore into erased(ns, part, seq, key, recorded, high, time, latest, idh, causeh)
select ?, ?, ?, ?, max(recorded), max(high), max(time), max(latest), max(idh), max(causeh)
from record where ns = ? and part = ? and seq = ?"""
NOTE = "update erased set recorded = ?, time = ?, idh = ?, causeh = ? where ns = ? and part = ? and seq = ? and recorded is null"
"""Of one that was erased before it was written."""
NEXT = """select ns, part, seq, key, time, idh, causeh, recorded from erased indexed by erased_without_high
where high is null and recorded is not null and recorded <= ? order by recorded, ns, part, seq limit ?"""
BEFORE = """select seq, high, coalesce(latest, high), 0 from erased where ns = ? and key = ? and seq < ? and high is not null
order by seq desc limit 1"""
UNKNOWN = "select 1 from erased where ns = ? and key = ? and seq > ? and seq < ? and recorded is null limit 1"
CAUSES = """select idh, max(high), max(coalesce(latest, high)) from erased
where idh in ({}) and high is not null group by idh"""
HEADERS = "select headers from record where ns = ? and part = ? and seq = ?"
LATEST = "latest_high"
"""In `meta`: the latest high-water time so far (µs)."""
Position = tuple[str, int, int]
"""Namespace, partition and sequence."""
KeyTimes = tuple[int, int, int, int]
"""Of an event its sequence, its high-water time at least and at most (µs), and which of its key's events it is."""

_pick = picker("ce_source", "ce_causetime")


class ErasedTimes:
    """Of one step of filling in. All that reads may raise sqlite3.Error."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._there = db.execute("select 1 from erased limit 1").fetchone() is not None
        self._spaces = {name for (name,) in db.execute("select distinct ns from position where kind = 'log'")}
        self._latest = self._kept = int(meta_value(db, LATEST) or LEAST)

    def next(self, until: int, most: int) -> Sequence[tuple[Any, ...]]:
        """Those without a high-water time, as `NEXT` of `store_high_water.py` gives others."""
        return self._db.execute(NEXT, (until, most)).fetchall() if self._there else ()

    def last(self, namespace: str, key: str, sequence: int, found: KeyTimes) -> KeyTimes:
        """The later one of a key: `found`, or one that was erased and stands before `sequence`."""
        gone = self._db.execute(BEFORE, (namespace, key, sequence)).fetchone() if self._there else None
        return found if gone is None or gone[0] < found[0] else gone

    def behind(self, namespace: str, key: str, last: int, sequence: int, recorded: int) -> int:
        """A time that no erased event between two of a key depends on a later one than (µs), where that is not known.

        LEAST: none is between them. `recorded` is when the second one was.
        """
        if not self._there or self._db.execute(UNKNOWN, (namespace, key, last, sequence)).fetchone() is None:
            return LEAST
        return max(recorded, self._latest)

    def causes(self, marks: str, ids: Collection[int]) -> Sequence[tuple[int, int, int]]:
        """Id and times of those that are known."""
        return self._db.execute(CAUSES.format(marks), [*ids]).fetchall() if self._there else ()

    def cause_recorded(self, at: Position, recorded: int) -> int | None:
        """When the cause of an event was recorded (µs) that is not in its log any more; None: it is of nobody's log here.

        Of an event that is erased itself it is only known that it was before it was `recorded`.
        """
        found = self._db.execute(HEADERS, at).fetchone()
        if found is None:
            return recorded
        source, time = _pick(found[0])
        namespace = (source or b"").decode(errors="replace").removeprefix(OURS).rpartition("/")[2]
        if namespace not in self._spaces or not time:
            return None
        return to_micros(datetime.fromisoformat(time.decode()))

    def cause(self, recorded: int) -> int:
        """A time that a missing cause depends on no later one than, as far as what is here tells (µs)."""
        return max(recorded, self._latest)

    def filled(self, latest: int) -> None:
        """So late is the high-water time of an event that was filled in."""
        self._latest = max(self._latest, latest)

    def write(self) -> None:
        """Within the transaction of the step."""
        if self._latest > self._kept:
            set_meta(self._db, **{LATEST: self._latest})
