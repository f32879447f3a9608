"""Rows whose first events were never in the file, by the setting `history`: from what Kafka's table has of them on, they are told.

A row of a table names the event behind which it is what it is, by its version. It is kept there like the row behind events that are
left out later. So all times before that are refused, as they were.
"""

from __future__ import annotations

import sqlite3
import time
from typing import NamedTuple

from streams.app import App
from streams.codec import PREFIX, AvroCodec
from streams.data import Record
from streams.engine.records import Entry
from streams.errors import StreamsError
from streams.history.code.application_handlers import ApplicationHandlers
from streams.history.high_water import LEAST
from streams.kafka.messages import kept_marker
from streams.server.readmodel.checkpoints import BASE, SCHEMA
from streams.server.readmodel.left_out import leaves_out
from streams.server.readmodel.row_json import RowDecoder
from streams.server.readmodel.store_meta import meta_value, set_meta
from streams.server.readmodel.store_schema import row_table
from streams.server.readmodel.transaction import transaction

DUE = """select l.key, l.seq from left_out l where l.ns = ? and l.key > ? and not exists(select 1 from checkpoint c
where c.ns = l.ns and c.key = l.key and c.seq >= l.seq and c.code = 'base' and c.row is not null)
and not exists(select 1 from erased e where e.ns = l.ns and e.key = l.key) order by l.key limit ?"""
AGAIN = "select 1 from position where kind = 'reread' and ns = ? limit 1"
"""Rows of another schema are read beside those that there are."""
LEFT_OUT_OF = "select part, seq, recorded from left_out_log where ns = ?"
MARKERS = "select part, marker from position where kind = 'table' and ns = ? and marker is not null"
READ = "select part, seq from position where kind = 'log' and ns = ?"
AT = "select recorded, high, latest from record where ns = ? and key = ? and seq = ? and high is not null"
LAST_ACCEPTED = "select max(seq) from record where ns = ? and key = ? and accepted"
PUT = f"""insert or replace into checkpoint(ns, key, seq, recorded, high, latest, code, version, row)
values(?, ?, ?, ?, ?, ?, '{BASE}', ?, ?)"""
PIECE = 500
"""Rows that are written at once."""
DONE = "rows_at_limit"
"""In `meta`: nothing is to be kept, until more is left out."""


class _Kept(NamedTuple):
    """Where a row is kept: behind which sequence, when that was recorded, and its high-water time at least and at most (µs).

    `version` is the row's; 0 of one that is gone, if what took it away is not kept.
    """

    sequence: int
    recorded: int
    high: int
    latest: int
    version: int


def keep_rows(db: sqlite3.Connection, app: App, codec: AvroCodec, deadline: float) -> None:
    """Keep rows until `deadline` (of the monotonic clock) at most, once their tables and logs are read. Raises sqlite3.Error."""
    if meta_value(db, DONE) is not None or not leaves_out(db):
        return
    handlers = ApplicationHandlers(app, codec)
    kept = [_Rows(db, handlers, codec, space.name).keep(deadline) for space in app.namespaces]
    if all(kept):
        set_meta(db, **{DONE: 1})


class _Rows:
    """Of one namespace."""

    def __init__(self, db: sqlite3.Connection, handlers: ApplicationHandlers, codec: AvroCodec, namespace: str) -> None:
        self._db, self._handlers, self._codec, self._namespace = db, handlers, codec, namespace
        self._decoder = RowDecoder(handlers.spaces[namespace].row_type, codec)
        self._row = f"select version, body, raw, problem from {row_table(namespace)} where key = ?"
        self._recorded, self._times = 0, int(meta_value(db, "left_out_times") or 0)
        """What is not kept was recorded until then, and depends on no time as late as the second one (µs)."""

    def keep(self, deadline: float) -> bool:
        """Whether all are kept that can be."""
        if not self._is_read():
            return False
        last, whole = "", True
        while due := self._db.execute(DUE, (self._namespace, last, PIECE)).fetchall():
            if time.monotonic() >= deadline:
                return False
            found = [(key, sequence, self._entry(key)) for key, sequence in due]
            kept = [(key, self._place(key, sequence, entry), entry) for key, sequence, entry in found if entry is not None]
            whole = whole and all(place is not None for _, place, _ in kept)
            self._put([(key, place, entry) for key, place, entry in kept if place is not None])
            last = due[-1][0]
        return whole

    def _is_read(self) -> bool:
        """Whether the table is read behind all that is left out, and the log as far as the table; and it is not read again now."""
        if self._db.execute(AGAIN, (self._namespace,)).fetchone() is not None:
            return False
        markers = {part: kept_marker(blob).last for part, blob in self._db.execute(MARKERS, (self._namespace,)).fetchall()}
        read = dict(self._db.execute(READ, (self._namespace,)).fetchall())
        for part, sequence, recorded in self._db.execute(LEFT_OUT_OF, (self._namespace,)).fetchall():
            self._recorded = max(self._recorded, recorded)
            if part not in markers or markers[part] < sequence:
                return False
        return all((read.get(part) or 0) >= last for part, last in markers.items())

    def _entry(self, key: str) -> Entry | None:
        """What the table has; None: it does not read here."""
        found = self._db.execute(self._row, (key,)).fetchone()
        if found is None:
            return None, 0
        version, body, raw, problem = found
        if problem is not None:
            return None
        try:
            return self._decoder.row(body, raw), version
        except StreamsError:
            return None

    def _place(self, key: str, sequence: int, entry: Entry) -> _Kept | None:
        """Behind which event the row is so; `sequence` is that of its last one that is left out. None: that is not read yet."""
        row, version = entry
        if row is None:  # it is gone since the last event that was accepted, as far as one is kept
            [last] = self._db.execute(LAST_ACCEPTED, (self._namespace, key)).fetchone()
            version = last or 0
        if version <= sequence:
            return _Kept(sequence, self._recorded, LEAST, self._times, version)
        found = self._db.execute(AT, (self._namespace, key, version)).fetchone()
        if found is None:
            return None
        recorded, high, latest = found
        return _Kept(version, recorded, high, high if latest is None else latest, version)

    def _put(self, kept: list[tuple[str, _Kept, Entry]]) -> None:
        rows = [(self._namespace, key, *place, self._encoded(row)) for key, place, (row, _) in kept]
        ids = {int.from_bytes(row[-1][1:PREFIX], "big") for row in rows if row[-1]}
        with transaction(self._db):
            self._db.executemany(PUT, rows)
            self._db.executemany(SCHEMA, [(it, self._codec.schema_text(it)) for it in ids])

    def _encoded(self, row: Record | None) -> bytes:
        return b"" if row is None else self._handlers.codec.encode_frozen(row)[1]
