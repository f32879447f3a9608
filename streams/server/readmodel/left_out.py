"""Events that are too old to be kept in the file, by the setting `history`; and that they are missing.

Kafka has them. Of each key it is noted up to where its events are not here, so that nothing is told of its row as if there were
none. What was kept for a while is left out once the row behind it is kept: from there on the row is told.
"""

from __future__ import annotations

import math
import sqlite3
import time
from collections.abc import Callable, Sequence, Set
from typing import Any, NamedTuple

from streams.history.recorded_event import ROOT
from streams.server.readmodel.checkpoints import BASE, note_checkpoints
from streams.server.readmodel.store_meta import meta_value
from streams.server.readmodel.transaction import transaction

LEFT_OUT = (
    """create table left_out(ns text not null, key text not null, seq integer not null, primary key(ns, key)) without rowid""",
    """create table left_out_log(ns text not null, part integer not null, seq integer not null, recorded integer not null,
    primary key(ns, part)) without rowid""",
    "create table left_out_id(idh integer primary key)",
)
"""The last sequence that is not here, by key, and by partition with when it was recorded; and the published events by 64 bits of
their references: another one may have the same id, and then it is not known which one led to an effect."""
PUT = "insert into left_out values(?, ?, ?) on conflict(ns, key) do update set seq = max(seq, excluded.seq)"
PUT_LOG = """insert into left_out_log values(?, ?, ?, ?) on conflict(ns, part) do update
set seq = max(seq, excluded.seq), recorded = max(recorded, excluded.recorded)"""
PUT_ID = "insert or ignore into left_out_id values(?)"
PUT_TIMES = """insert into meta(name, value) values('left_out_times', ?)
on conflict(name) do update set value = max(value, excluded.value)"""
"""No high-water time of what is not here is as late as this one (µs)."""
OLDEST = """select ns, part, seq, key, recorded, high, latest, idh, kind from record indexed by record_by_order
where recorded < ? and high < ? order by recorded, ns, part, seq limit ?"""
IS_MADE = "select 1 from checkpoint where ns = ? and key = ? and seq = ? and code is not null"
IS_ERASED = "select 1 from erased where ns = ? and key = ? limit 1"
"""No row is told any more, so none is to be kept."""
DROP = "delete from record where ns = ? and part = ? and seq = ?"
KEEP = f"update checkpoint set code = '{BASE}' where ns = ? and key = ? and seq = ?"
FORGET = "delete from checkpoint where ns = ? and key = ? and seq < ?"
PIECE = 2_000
"""Records of one step."""


class OldRecord(NamedTuple):
    """A row of OLDEST."""

    namespace: str
    part: int
    sequence: int
    key: str
    recorded: int
    high: int
    latest: int | None
    short_id: int
    kind: str

    @property
    def place(self) -> tuple[str, str]:
        return self.namespace, self.key


def leaves_out(db: sqlite3.Connection) -> bool:
    """Whether anything is missing. Raises sqlite3.Error."""
    return db.execute("select 1 from left_out_log limit 1").fetchone() is not None


def left_out_namespaces(db: sqlite3.Connection) -> Set[str]:
    """Those of which events are missing. Raises sqlite3.Error."""
    return {namespace for (namespace,) in db.execute("select distinct ns from left_out_log")}


class HistoryLimit:
    """How long events are kept, by when they were recorded."""

    def __init__(self, seconds: float | None) -> None:
        """None: for ever."""
        self.seconds = math.inf if seconds is None else seconds

    def before(self) -> int:
        """What was recorded before this time (µs since 1970) is not kept; 0: all is."""
        return 0 if math.isinf(self.seconds) else max(1, round((time.time() - self.seconds) * 1e6))

    def asks_for_more(self, db: sqlite3.Connection) -> bool:
        """Whether events were left out under a narrower limit, which only Kafka has. Raises sqlite3.Error."""
        kept = meta_value(db, "history")
        return kept is not None and kept < self.seconds and leaves_out(db)


def leave_out(db: sqlite3.Connection, before: int, make_rows: Callable[[], None], deadline: float) -> None:
    """Leave out what has grown too old, until `deadline` (of the monotonic clock) at most. Raises sqlite3.Error.

    `make_rows` makes the checkpoints that are due. What has no high-water time yet, or one that is not so old, stays.
    """
    while time.monotonic() < deadline:
        piece = [OldRecord(*it) for it in db.execute(OLDEST, (before, before, PIECE)).fetchall()]
        if not piece or not _step(db, piece, before, make_rows):
            return


def _step(db: sqlite3.Connection, piece: Sequence[OldRecord], before: int, make_rows: Callable[[], None]) -> bool:
    """Leave out those of keys whose row behind them is kept, or not told any more; False if there are none yet."""
    last = {it.place: it for it in piece}
    with transaction(db):
        note_checkpoints(db, [(*it.place, it.sequence, it.recorded, it.high, it.latest) for it in last.values()])
    make_rows()
    made = {
        place
        for place, it in last.items()
        if db.execute(IS_MADE, (*place, it.sequence)).fetchone() is not None
        or db.execute(IS_ERASED, place).fetchone() is not None
    }
    gone = [it for it in piece if it.place in made]
    places: list[tuple[Any, ...]] = [(*place, last[place].sequence) for place in made]
    with transaction(db):
        db.executemany(DROP, [(it.namespace, it.part, it.sequence) for it in gone])
        db.executemany(PUT, places)
        db.executemany(PUT_LOG, [(it.namespace, it.part, it.sequence, it.recorded) for it in gone])
        db.executemany(PUT_ID, [(it.short_id,) for it in gone if it.kind == ROOT])
        db.execute(PUT_TIMES, (before,))
        db.executemany(KEEP, places)
        db.executemany(FORGET, places)
    return bool(gone)
