"""Records of logs that are too old to be kept in the file, by the setting `history`; and that they are missing.

Kafka has them. Of each key it is noted up to where its events are not here, so that nothing is told of its row as if there were
none. What was kept for a while is left out once the row behind it is kept: from there on the row is told.
"""

from __future__ import annotations

import math
import sqlite3
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from streams.server.readmodel.checkpoints import BASE, note_checkpoints
from streams.server.readmodel.log_record import NAMES, LogRecord
from streams.server.readmodel.store_meta import meta_value
from streams.server.readmodel.transaction import transaction

LEFT_OUT = (
    """create table left_out(ns text not null, key text not null, seq integer not null, primary key(ns, key)) without rowid""",
    """create table left_out_log(ns text not null, part integer not null, seq integer not null, recorded integer not null,
    primary key(ns, part)) without rowid""",
)
"""The last sequence that is not here, by key, and by partition with when it was recorded."""
PUT = "insert into left_out values(?, ?, ?) on conflict(ns, key) do update set seq = max(seq, excluded.seq)"
PUT_LOG = """insert into left_out_log values(?, ?, ?, ?) on conflict(ns, part) do update
set seq = max(seq, excluded.seq), recorded = max(recorded, excluded.recorded)"""
OLDEST = """select ns, part, seq, key, recorded, high from record indexed by record_by_order
where recorded < ? and high < ? order by recorded, ns, part, seq limit ?"""
IS_MADE = "select 1 from checkpoint where ns = ? and key = ? and seq = ? and code is not null"
IS_ERASED = "select 1 from erased where ns = ? and key = ? limit 1"
"""No row is told any more, so none is to be kept."""
DROP = "delete from record where ns = ? and part = ? and seq = ?"
KEEP = f"update checkpoint set code = '{BASE}' where ns = ? and key = ? and seq = ?"
FORGET = "delete from checkpoint where ns = ? and key = ? and seq < ?"
PUT_TIMES = """insert into meta(name, value) values('left_out_times', ?)
on conflict(name) do update set value = max(value, excluded.value)"""
"""No high-water time of what is not here is later than this one (µs)."""
LATEST = "select max(time) from record where recorded < ?"
PIECE = 2_000
"""Records of one step."""
TIME = NAMES.index("time")
LogPiece = Sequence[tuple[str, int, int, str, int, int]]


def leaves_out(db: sqlite3.Connection) -> bool:
    """Whether anything is missing. Raises sqlite3.Error."""
    return db.execute("select 1 from left_out_log limit 1").fetchone() is not None


class LeftOutRecords:
    """What is left out of what is read, until it is noted. Used by one thread."""

    def __init__(self, before: int) -> None:
        """Of what was recorded, and happened, before this time (µs since 1970); 0: nothing."""
        self.before = before
        self._keys: dict[tuple[str, str], int] = {}
        self._logs: dict[tuple[str, int], tuple[int, int]] = {}
        self._latest, self._noted = before, 0
        """The latest time that something left out may depend on, and the one that is noted."""

    def without(self, records: Iterable[LogRecord]) -> Iterable[LogRecord]:
        """Those that are kept; the others are noted by `write`."""
        if not self.before:
            return records
        kept, before = list[LogRecord](), self.before
        for it in records:
            if it[0] < before and it[TIME] < before:
                recorded, namespace, part, sequence, _, key = it[:6]
                self._keys[namespace, key] = sequence
                self._logs[namespace, part] = sequence, recorded
            else:
                kept.append(it)
                if it[0] < before:  # from the future: what is left out behind it depends on it
                    self._latest = max(self._latest, it[TIME])
        return kept

    def write(self, db: sqlite3.Connection) -> None:
        """Within a transaction, once what is kept is written. Raises sqlite3.Error."""
        if self._latest > self._noted:
            [known] = db.execute(LATEST, (self.before,)).fetchone() if not self._noted else [None]
            self._latest = max(self._latest, known or 0)
            db.execute(PUT_TIMES, (self._latest,))
            self._noted = self._latest
        db.executemany(PUT, [(*at, sequence) for at, sequence in self._keys.items()])
        db.executemany(PUT_LOG, [(*at, *last) for at, last in self._logs.items()])

    def written(self) -> None:
        """The transaction has ended."""
        self._keys.clear()
        self._logs.clear()


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
        piece: LogPiece = db.execute(OLDEST, (before, before, PIECE)).fetchall()
        if not piece or not _step(db, piece, before, make_rows):
            return


def _step(db: sqlite3.Connection, piece: LogPiece, before: int, make_rows: Callable[[], None]) -> bool:
    """Leave out those of keys whose row behind them is kept, or not told any more; False if there are none yet."""
    last = {(ns, key): (ns, key, sequence, recorded, high) for ns, _, sequence, key, recorded, high in piece}
    with transaction(db):
        note_checkpoints(db, last.values())
    make_rows()
    made = {
        place
        for place, (*at, _, _) in last.items()
        if db.execute(IS_MADE, at).fetchone() is not None or db.execute(IS_ERASED, place).fetchone() is not None
    }
    gone = [it for it in piece if (it[0], it[3]) in made]
    places: list[tuple[Any, ...]] = [last[place][:3] for place in made]
    with transaction(db):
        db.executemany(DROP, [it[:3] for it in gone])
        db.executemany(PUT, places)
        db.executemany(PUT_LOG, [(ns, part, sequence, recorded) for ns, part, sequence, _, recorded, _ in gone])
        db.execute(PUT_TIMES, (before,))
        db.executemany(KEEP, places)
        db.executemany(FORGET, places)
    return bool(gone)
