"""Writes what is followed into the file: rows, projections, records, what is set aside and due, with all positions.

What is given is collected, and written by `commit` in one transaction, so that a file is always of one moment.
"""

from __future__ import annotations

import sqlite3
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from streams.app import App
from streams.data import Record
from streams.engine import marker
from streams.engine.marker import Marker
from streams.engine.projector import Projector
from streams.engine.readable import in_a_line
from streams.engine.records import Codec
from streams.event import Event
from streams.projection import Projection
from streams.server.readmodel.log_record import NAMES, LogRecord
from streams.server.readmodel.row_columns import binder_of, columns_of, has_numbers_beyond_json
from streams.server.readmodel.row_json import RowDecoder, to_json
from streams.server.readmodel.store_schema import projection_table, put_statement, row_table, rows_beside

KNOWN_ROWS = 20_000
"""Rows of a projection that are kept decoded; then they are all forgotten."""
ASIDE = (
    "insert or replace into aside(ns, part, place, inbox, status, recorded, key, type, id, idh, causeh, reason, value, headers) "
    "values(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
DUE = (
    "insert or replace into due(ns, part, id, kind, at, target, key, causeh, value, headers) "
    "values(?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
POSITION = (
    "insert or replace into position(kind, ns, part, next_offset, seq, recorded, marker) values(?, ?, ?, ?, ?, ?, ?)"
)
REREAD = "reread"
"""The kind of the positions of tables that are read again beside what is answered."""
At = tuple[str, str, int]
"""Kind of topic, namespace and partition."""


class UnreadableRow(NamedTuple):
    """Stands for a row that the classes here cannot read, since a newer deployment wrote it."""

    reason: str


class StoredPosition(NamedTuple):
    """How far a topic's partition is in the file: what is read next, and for a log the last sequence."""

    next_offset: int
    sequence: int = 0
    recorded: int = 0
    marker: bytes | None = None


class StoreWriter:
    """Used by one thread. Raises sqlite3.Error, after which it is to be dropped: what it holds is not in the file."""

    def __init__(self, db: sqlite3.Connection, app: App, codec: Codec, reread: Iterable[str] = ()) -> None:
        """`reread` are the namespaces whose rows are written beside those that there are."""
        self._db, self._reread = db, {*reread}
        self.positions: dict[At, StoredPosition] = {
            (kind, ns, part): StoredPosition(*rest)
            for kind, ns, part, *rest in db.execute("select * from position").fetchall()
            if kind != "table" or ns not in self._reread
        }
        self._moved: set[At] = set()
        self._row_types = {space.name: space.row_type for space in app.namespaces}
        self._tables = {
            name: RowWriter(rows_beside(name) if name in self._reread else row_table(name), of)
            for name, of in self._row_types.items()
        }
        stopped = dict(db.execute("select name, why from stopped").fetchall())
        self.projections = {
            it.name: StoredProjection(db, it, codec, stopped.get(it.name)) for it in app.projections
        }
        self._records: list[LogRecord] = []
        self._changes: list[tuple[str, tuple[Any, ...]]] = []
        self._erases = False

    def put_row(self, namespace: str, part: int, key: str, version: int, row: Any, value: bytes = b"") -> None:
        """A row, an UnreadableRow, or None, which removes it. `value` is its Avro."""
        self._tables[namespace].put(key, part, version, row, value)

    def put_marker(self, namespace: str, part: int, last: Marker) -> None:
        """The marker of a transaction whose rows are all given, with the duplicates that it tells of."""
        at = ("table", namespace, part)
        before = self.positions.get(at, StoredPosition(0))
        self.positions[at] = before._replace(sequence=last.last, recorded=last.recorded, marker=marker.encode(last))
        self._moved.add(at)
        for it in last.duplicates:
            text = "insert or replace into duplicate(ns, part, inbox, seq, outcome) values(?, ?, ?, ?, ?)"
            self._changes.append((text, (namespace, part, it.offset, it.sequence, it.outcome)))

    def put_records(self, records: Iterable[LogRecord]) -> None:
        """Records of logs, each of which names a place that has none."""
        self._records += records

    def erase_record(self, namespace: str, part: int, sequence: int, key: str) -> None:
        """Remove a record of a log, so that nothing of it is left in the file but that there was one."""
        self._erases = True
        text = """insert or ignore into erased(ns, part, seq, key, recorded, high)
        select ?, ?, ?, ?, max(recorded), max(high) from record where ns = ? and part = ? and seq = ?"""
        self._changes.append((text, (namespace, part, sequence, key, namespace, part, sequence)))
        self._changes.append(("delete from record where ns = ? and part = ? and seq = ?", (namespace, part, sequence)))

    def put_schema(self, schema_id: int, text: str) -> None:
        """The schema of records that are in the file: without Kafka, nobody else has it."""
        self._changes.append(("insert or replace into schema(id, text) values(?, ?)", (schema_id, text)))

    def put_aside(self, values: tuple[Any, ...]) -> None:
        """A record that is set aside: the values of `ASIDE`."""
        self._changes.append((ASIDE, values))

    def drop_aside(self, namespace: str, part: int, place: str) -> None:
        self._changes.append(("delete from aside where ns = ? and part = ? and place = ?", (namespace, part, place)))

    def put_due(self, values: tuple[Any, ...]) -> None:
        """A timer or a call: the values of `DUE`."""
        self._changes.append((DUE, values))

    def drop_due(self, namespace: str, part: int, event_id: str) -> None:
        self._changes.append(("delete from due where ns = ? and part = ? and id = ?", (namespace, part, event_id)))

    def fold(self, event: Event[Any], where: str) -> None:
        """Fold an accepted event into the projections; `where` names it."""
        for projection in self.projections.values():
            projection.fold(event, where)

    def reached(self, at: At, next_offset: int, sequence: int | None = None, recorded: int | None = None) -> None:
        """All before `next_offset` is given."""
        before = self.positions.get(at, StoredPosition(0))
        if sequence is not None:
            self.positions[at] = before._replace(next_offset=next_offset, sequence=sequence, recorded=recorded or 0)
        elif before.next_offset != next_offset or at not in self.positions:
            self.positions[at] = before._replace(next_offset=next_offset)
        else:
            return
        self._moved.add(at)

    @property
    def has_changes(self) -> bool:
        return bool(self._moved or self._records or self._changes) or any(it.changed for it in self._tables.values())

    def commit(self) -> None:
        """Write all that was given."""
        db = self._db
        if self._erases:
            db.execute("pragma secure_delete=on")
        db.execute("begin immediate")
        try:
            for table in self._tables.values():
                table.write(db)
            _insert(db, self._records)
            for text, values in self._changes:
                db.execute(text, values)
            for projection in self.projections.values():
                projection.write(db)
            db.executemany(POSITION, [(self._kept_as(at), *at[1:], *self.positions[at]) for at in self._moved])
            db.execute("insert or replace into meta(name, value) values('seen', ?)", (time.time(),))
            db.execute("commit")
        except BaseException:
            if db.in_transaction:
                db.execute("rollback")
            raise
        if self._erases:
            [busy, *_] = db.execute("pragma wal_checkpoint(truncate)").fetchone()
            db.execute("pragma secure_delete=off")
            self._erases = bool(busy)  # somebody reads what was before: the next commit tries again
        self._moved.clear()
        self._records.clear()
        self._changes.clear()

    def _kept_as(self, at: At) -> str:
        """The kind under which a position is kept: what is read again does not stand for what is answered."""
        return REREAD if at[0] == "table" and at[1] in self._reread else at[0]

    def exchanged(self, namespace: str) -> None:
        """The rows that were read again are those of the namespace now."""
        self._reread.discard(namespace)
        self._tables[namespace] = RowWriter(row_table(namespace), self._row_types[namespace])

    def unreadable(self) -> Iterator[tuple[str, str, int, int, bytes]]:
        """Namespace, key, partition, version and Avro of rows that were not read."""
        for name in self._tables.keys() - self._reread:
            text = f"select key, part, version, raw from {row_table(name)} where problem is not null"
            for key, part, version, raw in self._db.execute(text).fetchall():
                yield name, key, part, version, raw


def _insert(db: sqlite3.Connection, records: Iterable[LogRecord]) -> None:
    """A statement for each number of values."""
    chosen = defaultdict[int, list[LogRecord]](list)
    for record in records:
        chosen[len(record)].append(record)
    for count, found in chosen.items():
        names = ", ".join(NAMES[:count])
        db.executemany(f"insert or replace into record({names}) values(?{', ?' * (count - 1)})", found)


class RowWriter:
    """The changes of one table: the last of each key counts."""

    def __init__(self, table: str, row_type: type[Record]) -> None:
        columns = columns_of(row_type)
        self._bind, self._nothing = binder_of(columns), (None,) * len(columns)
        self._put, self._drop = put_statement(table, columns), f"delete from {table} where key = ?"
        self._put_readable = put_statement(table, columns, readable=True)
        self.keeps_raw = has_numbers_beyond_json(row_type)
        self.changed: dict[str, tuple[Any, ...] | None] = {}
        """By key the values of `_put_readable`, or the more of `_put`; None: it is removed."""

    def put(self, key: str, part: int | None, version: int | None, row: Any, value: bytes) -> None:
        if row is None:
            self.changed[key] = None
        elif type(row) is UnreadableRow:
            self.changed[key] = (key, part, version, None, *self._nothing, value, row.reason)
        elif self.keeps_raw:
            self.changed[key] = (key, part, version, to_json(row), *self._bind(row), value, None)
        else:
            self.changed[key] = (key, part, version, to_json(row), *self._bind(row))

    def write(self, db: sqlite3.Connection) -> None:
        if self.changed:
            readable, whole = 4 + len(self._nothing), 6 + len(self._nothing)
            found = [values for values in self.changed.values() if values is not None]
            db.executemany(self._put_readable, [values for values in found if len(values) == readable])
            db.executemany(self._put, [values for values in found if len(values) == whole])
            db.executemany(self._drop, [(key,) for key, values in self.changed.items() if values is None])
            self.changed.clear()


class StoredProjection:
    """One projection's rows. A fold that raises stops it: skipping an event would make it silently wrong."""

    def __init__(
        self, db: sqlite3.Connection, projection: Projection[Any], codec: Codec, fault: str | None, table: str = ""
    ) -> None:
        self.projection, self.fault = projection, fault
        self._codec = codec
        table = table or projection_table(projection.name)
        self._rows = _FoldedRows(db, table, RowDecoder(projection.row_type, codec))
        self._projector = Projector([projection], codec)
        self._writer = RowWriter(table, projection.row_type)
        self._newly_stopped = False

    def fold(self, event: Event[Any], where: str) -> None:
        if self.fault is not None or type(event.data) not in self.projection.folds_by:
            return
        try:
            key, row = self._projector.change(self.projection, event, self._rows)
        except BaseException as error:  # noqa: BLE001 - the application's own function may raise anything
            self.fault = (
                f"the projection {self.projection.name} raised {in_a_line(error)} at {event.data.event_type}, {where}. It stands "
                "still: correct it and start the server again"
            )
            self._newly_stopped = True
            return
        self._rows.known[key] = row
        raw = b"" if row is None or not self._writer.keeps_raw else self._codec.encode_frozen(row)[1]
        self._writer.put(key, None, None, row, raw)

    def write(self, db: sqlite3.Connection) -> None:
        self._writer.write(db)
        if self._newly_stopped:
            db.execute("insert or replace into stopped(name, why) values(?, ?)", (self.projection.name, self.fault))
            self._newly_stopped = False
        if len(self._rows.known) > KNOWN_ROWS:
            self._rows.known.clear()


class _FoldedRows(Mapping[str, Record]):
    """A projection's rows, those that are not written yet among them. A fold reads one by its key."""

    def __init__(self, db: sqlite3.Connection, table: str, decoder: RowDecoder) -> None:
        self._db, self._decoder = db, decoder
        self._one, self._keys = f"select body, raw from {table} where key = ?", f"select key from {table}"
        self.known: dict[str, Record | None] = {}
        """The latest by key; None: it is deleted. Those that are not written yet are all here."""

    def __getitem__(self, key: str) -> Record:
        try:
            row = self.known[key]
        except KeyError:
            found = self._db.execute(self._one, (key,)).fetchone()
            row = self.known[key] = None if found is None else self._decoder.row(*found)
        if row is None:
            raise KeyError(key)
        return row

    def __iter__(self) -> Iterator[str]:
        written = {key for (key,) in self._db.execute(self._keys)}
        return iter([key for key in written | self.known.keys() if self.known.get(key, key) is not None])

    def __len__(self) -> int:
        return len(list(iter(self)))
