"""Rows that are kept of a key's past, one every so many of its events: from the last one on, few events are to be folded.

Where they stand is noted while high-water times are filled in. What they are is folded later, by the code that asks the past too;
other code has no use for them, and makes them anew.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterable

from streams.app import App
from streams.codec import PREFIX, AvroCodec
from streams.engine.records import Entry
from streams.errors import HistoryError, UnsupportedSchema
from streams.history.code.application_handlers import ApplicationHandlers
from streams.history.code.recorded_row import RecordedRow
from streams.history.recorded_event import Place
from streams.history.stored.stored_past import StoredPast, learn_schemas
from streams.history.stored.stored_rows import kept_entry
from streams.server.readmodel.store_meta import set_meta
from streams.server.readmodel.transaction import transaction

BASE = "base"
"""The code of a row behind events that are not kept: nothing makes it anew, so it holds for any code."""
EVERY = 256
"""Events of a key from one to the next."""
CHECKPOINTS = (
    """create table checkpoint(ns text not null, key text not null, seq integer not null, recorded integer not null,
    high integer not null, latest integer, code text, version integer, row blob, primary key(ns, key, seq)) without rowid""",
    "create index checkpoint_to_make on checkpoint(ns, key, seq) where code is null",
    """create trigger checkpoint_of_erased after insert on erased begin
    delete from checkpoint where ns = new.ns and key = new.key and seq >= new.seq; end""",
)
"""`row` is Avro, empty where there was no row, and null where the code of `code` cannot tell it. Without a `code` it is due."""
NOTE = "insert or ignore into checkpoint(ns, key, seq, recorded, high, latest) values(?, ?, ?, ?, ?, ?)"
DUE = "select ns, key from checkpoint where code is null limit 1"
DUE_OF = "select seq from checkpoint where ns = ? and key = ? and code is null order by seq"
LAST = """select seq, version, row from checkpoint where ns = ? and key = ? and seq < ? and code in (?, 'base')
and row is not null order by seq desc limit 1"""
SCHEMA = "insert or ignore into schema(id, text) values(?, ?)"
MADE = "update checkpoint set code = ?, version = ?, row = ? where ns = ? and key = ? and seq = ?"
NotedPlace = tuple[str, str, int, int, int, int | None]
"""Namespace, key and sequence of an event; when it was recorded, and its high-water time (µs): not before the first value, and
not later than the second, which is None if both are the same."""


def note_checkpoints(db: sqlite3.Connection, events: Iterable[NotedPlace]) -> None:
    """Events behind which a row is to be kept."""
    db.executemany(NOTE, events)


def make_checkpoints(db: sqlite3.Connection, app: App, codec: AvroCodec, code: str, deadline: float) -> None:
    """Fold those that are due, until `deadline` (of the monotonic clock) at most. Raises sqlite3.Error.

    `code` names what folds them, as `code_of` does.
    """
    if db.execute("select value from meta where name = 'checkpoints'").fetchone() != (code,):
        db.execute("update checkpoint set code = null, row = null where code not in (?, ?)", (code, BASE))
        set_meta(db, checkpoints=code)
    maker = None
    while time.monotonic() < deadline and (place := db.execute(DUE).fetchone()) is not None:
        maker = maker or _Maker(db, app, codec, code)
        if not maker.make(place, deadline):
            return


class _Maker:
    def __init__(self, db: sqlite3.Connection, app: App, codec: AvroCodec, code: str) -> None:
        self._db, self._handlers, self._codec, self._code = db, ApplicationHandlers(app, codec), codec, code
        self._past = StoredPast(db, codec)

    def make(self, place: Place, deadline: float) -> bool:
        """Those of one key, as many as there is time for; False if it must be tried again later."""
        erased = self._past.first_erased(place)
        if erased is not None and not erased.is_old:
            self._db.execute("delete from checkpoint where ns = ? and key = ? and seq >= ?", (*place, erased.sequence))
        due = [seq for (seq,) in self._db.execute(DUE_OF, place).fetchall()]
        made: list[tuple[int, Entry | None]] = []
        try:
            self._fold(place, due, made, deadline, erased.until if erased is not None and erased.is_old else 0)
        except HistoryError as error:
            if isinstance(error.__cause__, UnsupportedSchema):  # it will be known, once the file or Kafka is asked
                learn_schemas(self._db, self._codec)
                return False
            made += [(seq, None) for seq in due[len(made) :]]
        kept = [(self._code, *self._kept(entry), *place, seq) for seq, entry in made]
        with transaction(self._db):
            self._db.executemany(MADE, kept)
            self._db.executemany(SCHEMA, self._schemas(row for _, _, row, *_ in kept if row))
        return bool(made) or not due

    def _fold(self, place: Place, due: list[int], made: list[tuple[int, Entry | None]], deadline: float, missing: int) -> None:
        """`made` gets them one by one; None for those whose events are gone, or whose rows this code cannot tell.

        Up to the sequence `missing` the events are not kept. Raises HistoryError where an event does not read here.
        """
        if not due:
            return
        last = self._db.execute(LAST, (*place, due[0], self._code)).fetchone()
        sequence, entry = (0, (None, 0)) if last is None else kept_entry(self._handlers, place[0], last)
        row = RecordedRow(self._handlers.fold, entry)
        for it in self._past.key_events_behind(place, sequence) if sequence >= missing else ():
            row.take(it)
            if row.untold is not None and isinstance(row.untold.__cause__, UnsupportedSchema):  # of a row that a step has set
                raise row.untold
            if it.order.sequence == due[len(made)]:
                made.append((due[len(made)], row.entry if row.untold is None else None))
                if len(made) == len(due) or time.monotonic() >= deadline:
                    return
        made += [(seq, None) for seq in due[len(made) :]]

    def _schemas(self, rows: Iterable[bytes]) -> list[tuple[int, str]]:
        """Ids and texts of what rows are written with: a later application has another one."""
        ids = {int.from_bytes(row[1:PREFIX], "big") for row in rows}
        return [(it, self._codec.schema_text(it)) for it in ids]

    def _kept(self, entry: Entry | None) -> tuple[int, bytes | None]:
        if entry is None:
            return 0, None
        row, version = entry
        return version, b"" if row is None else self._handlers.codec.encode_frozen(row)[1]
