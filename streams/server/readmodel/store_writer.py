"""Writes what is followed into the file: rows, projections, records, what is set aside and due, with all positions.

What is given is collected, and written by `commit` in one transaction, so that a file is always of one moment.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import msgspec

from streams.app import App
from streams.data import Record
from streams.engine import marker
from streams.engine.generations import RowsThere
from streams.engine.marker import Marker
from streams.engine.records import Codec
from streams.event import Event
from streams.server.readmodel import file_journal
from streams.server.readmodel.corrected_note import NOT_LOOKED_AT
from streams.server.readmodel.deleted_rows import DeletedRows
from streams.server.readmodel.erased_times import ERASE, NOTE
from streams.server.readmodel.fold_note import FoldNote
from streams.server.readmodel.fold_record import FoldRecord
from streams.server.readmodel.left_out import leaves_out
from streams.server.readmodel.left_out_records import IDH, LeftOutRecords
from streams.server.readmodel.log_record import ALWAYS, LogRecord
from streams.server.readmodel.record_insertion import insert_records
from streams.server.readmodel.row_writer import RowWriter
from streams.server.readmodel.store_meta import meta_value, set_meta
from streams.server.readmodel.store_schema import row_table, rows_beside, table_statement
from streams.server.readmodel.stored_projection import StoredProjection
from streams.server.readmodel.transaction import transaction
from streams.server.readmodel.unbuilt_tables import THERE

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
FOR_READERS = 200
"""ms that what was erased waits for who reads it: most readers take less, and whoever takes longer holds up no commit."""
REREAD = "reread"
"""The kind of the positions of tables that are read again beside what is answered."""
AGAIN = {"table": REREAD, THERE: "there again"}
"""The kinds of what is kept of tables, and under which it is kept while they are read again beside what is answered."""
KindAndPartition = tuple[str, str, int]
"""Kind of topic, namespace and partition."""


class StoredPosition(NamedTuple):
    """How far a topic's partition is in the file: what is read next, and for a log the last sequence."""

    next_offset: int
    sequence: int = 0
    recorded: int = 0
    marker: bytes | None = None


class StoreWriter:
    """Used by one thread. Raises sqlite3.Error, after which it is to be dropped: what it holds is not in the file."""

    def __init__(
        self, db: sqlite3.Connection, app: App, codec: Codec, reread: Iterable[str] = (), held: Collection[str] = (),
        before: int = 0,
    ) -> None:
        """`reread` are the namespaces whose rows are written beside those that there are.

        Into the projections `held` nothing is folded, until they are folded again. Records from `before` a time (µs) are left out.
        """
        self._db, self._codec, self._reread, self._all = db, codec, {*reread}, app.projections
        self.folded_types = {event for it in app.projections for event in it.folds_by}
        self.positions = _positions(db, self._reread)
        self._moved: set[KindAndPartition] = set()
        self._row_types = {space.name: space.row_type for space in app.namespaces}
        self.generations = {space.name: space.generation for space in app.namespaces}
        self._tables = {
            name: RowWriter(rows_beside(name) if name in self._reread else row_table(name), of)
            for name, of in self._row_types.items()
        }
        self._noted: tuple[FoldNote | None, FoldRecord | None] = None, None
        self.projections: dict[str, StoredProjection] = {}
        self.folded_again([it.name for it in app.projections if it.name not in held])
        self._records: list[LogRecord] = []
        self._changes: list[tuple[str, tuple[Any, ...]]] = []
        self._erases = False
        self._left_out = LeftOutRecords(db, before)
        self.deleted = DeletedRows(db)
        self.steps = 0
        """How many steps of corrections were given."""
        self.in_order = bool(self.folded_types) or before > 0
        """Whether records are to be given in the order of time."""

    def note_folds(self, note: FoldNote | None, record: FoldRecord | None = None) -> None:
        """What goes on is noted, and the one that has ended its process stands still."""
        self._noted = note, record
        for it in self.projections.values():
            self.note_folds_of(it)

    def note_folds_of(self, it: StoredProjection) -> None:
        """The same of one that is not among those here yet."""
        it.note, it.record = self._noted
        fatal = None if it.note is None else it.note.fatal
        if fatal is not None and fatal.projection == it.projection.name and it.fault is None:
            it.stand_still("ended the process that folds it, twice,", fatal.where)

    def put_row(self, namespace: str, part: int, key: str, version: int, row: Any, value: bytes = b"") -> None:
        """A row, an UnreadableRow, or None, which removes it. `value` is its Avro."""
        self._tables[namespace].put(key, part, version, row, value)

    def version(self, namespace: str, key: str) -> int:
        """That of a row; 0 if there is none."""
        return self._tables[namespace].version(self._db, key)

    def recorded(self, namespace: str, part: int, sequence: int) -> int | None:
        """When a record of a log was recorded (µs); None if the file does not have it."""
        place = namespace, part, sequence
        found = self._db.execute("select recorded from record where ns = ? and part = ? and seq = ?", place).fetchone()
        return None if found is None else int(found[0])

    def put_marker(self, namespace: str, part: int, last: Marker) -> None:
        """The marker of a transaction whose rows are all given, with the duplicates that it tells of."""
        at = ("table", namespace, part)
        before = self.positions.get(at, StoredPosition(0))
        self._move(at, before._replace(sequence=last.last, recorded=last.recorded, marker=marker.encode(last)))
        for it in last.duplicates:
            text = "insert or replace into duplicate(ns, part, inbox, seq, outcome) values(?, ?, ?, ?, ?)"
            self._changes.append((text, (namespace, part, it.offset, it.sequence, it.outcome)))

    def put_rows_there(self, namespace: str, part: int, there: RowsThere) -> None:
        """What the records that are given say of the table's rows."""
        self._move((THERE, namespace, part), StoredPosition(0, marker=msgspec.json.encode(there)))

    def put_records(self, records: Iterable[LogRecord]) -> None:
        """Records of logs, each of which names a place that has none. Those that are too old are left out."""
        self._records += self._left_out.without(records)

    def erase_record(self, namespace: str, part: int, sequence: int, key: str) -> None:
        """Remove a record of a log, so that nothing of it is left in the file but that there was one."""
        self._erases = True
        self._changes.append((ERASE, (namespace, part, sequence, key, namespace, part, sequence)))
        self._changes.append(("delete from record where ns = ? and part = ? and seq = ?", (namespace, part, sequence)))

    def note_erased(self, record: LogRecord) -> None:
        """A record that was erased before it was given: when others count from that follow from it depends on it."""
        recorded, namespace, part, sequence, time = record[:5]
        cause = record[ALWAYS] if len(record) > ALWAYS else None
        self._changes.append((NOTE, (recorded, time, record[IDH], cause, namespace, part, sequence)))

    def note_correction(self) -> None:
        """A step was given: the past was corrected, and projections are to be folded again."""
        self.steps += 1
        noted = msgspec.json.encode({it.name: NOT_LOOKED_AT for it in self._all})
        self._changes.append(("insert or replace into meta(name, value) values('uncorrected', ?)", (noted,)))

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

    def reached(self, at: KindAndPartition, next_offset: int, sequence: int | None = None, recorded: int | None = None) -> None:
        """All before `next_offset` is given."""
        before = self.positions.get(at, StoredPosition(0))
        if sequence is not None:
            self._move(at, before._replace(next_offset=next_offset, sequence=sequence, recorded=recorded or 0))
        elif before.next_offset != next_offset or at not in self.positions:
            self._move(at, before._replace(next_offset=next_offset))

    def _move(self, at: KindAndPartition, to: StoredPosition) -> None:
        self.positions[at] = to
        self._moved.add(at)

    @property
    def logged(self) -> int:
        """How many records of logs are in the file, or given."""
        return sum(it.sequence for (kind, *_), it in self.positions.items() if kind == "log")

    @property
    def has_changes(self) -> bool:
        """Whether anything was given that may not be in the file yet."""
        given = self._moved or self._records or self._changes
        return bool(given) or any(it.changed for it in self._tables.values())

    def commit(self) -> None:
        """Write all that was given, in one transaction."""
        if self._erases:
            self._db.execute("pragma secure_delete=on")
        is_answered = meta_value(self._db, "complete") is not None
        with transaction(self._db):
            for name, table in self._tables.items():
                table.write(self._db, noted=is_answered and name not in self._reread)
            for projection in self.projections.values():
                projection.write(self._db, noted=is_answered)
            insert_records(self._db, self._records)
            self._left_out.write(self._db)
            for text, values in self._changes:
                self._db.execute(text, values)
            self._db.executemany(POSITION, [(self._kept_as(at), *at[1:], *self.positions[at]) for at in self._moved])
            set_meta(self._db, seen=time.time())
        self._records.clear()
        self._changes.clear()
        self._moved.clear()
        self._left_out.written()
        self._after_erasing()

    def _after_erasing(self) -> None:
        if self._erases:
            self._erases = not file_journal.empty(self._db, FOR_READERS)  # the next commit tries again
            self._db.execute("pragma secure_delete=off")

    def _kept_as(self, at: KindAndPartition) -> str:
        """The kind under which a position is kept: what is read again does not stand for what is answered."""
        return AGAIN.get(at[0], at[0]) if at[1] in self._reread else at[0]

    def exchanged(self, namespace: str) -> None:
        """The rows that were read again are those of the namespace now."""
        self._reread.discard(namespace)
        self._tables[namespace] = RowWriter(row_table(namespace), self._row_types[namespace])

    def folded_again(self, names: Collection[str]) -> None:
        """These projections are whole in the file: what is given from now on is folded into them."""
        stopped = dict(self._db.execute("select name, why from stopped").fetchall())
        chosen = [it for it in self._all if it.name in names]
        for each in chosen:
            self.projections[each.name] = StoredProjection(self._db, each, self._codec, stopped.get(each.name))
            self.note_folds_of(self.projections[each.name])

    @property
    def leaves_out(self) -> bool:
        """Whether old events are not in the file."""
        return leaves_out(self._db)

    def unreadable(self) -> Iterator[tuple[str, str, int, int, bytes]]:
        """Namespace, key, partition, version and Avro of rows that were not read."""
        for name in self._tables.keys() - self._reread:
            text = f"select key, part, version, raw from {row_table(name)} where problem is not null"
            for key, part, version, raw in self._db.execute(text).fetchall():
                yield name, key, part, version, raw


def _positions(db: sqlite3.Connection, reread: Collection[str]) -> dict[KindAndPartition, StoredPosition]:
    """Where the file ends; of tables that are `reread`, where that is."""
    as_answered = {again: kind for kind, again in AGAIN.items()}
    return {
        (as_answered.get(kind, kind), ns, part): StoredPosition(*rest)
        for kind, ns, part, *rest in db.execute("select * from position").fetchall()
        if kind not in AGAIN or ns not in reread
    }


def begin_reread(
    db: sqlite3.Connection, row_types: Mapping[str, type[Record]], names: Iterable[str], kept: Iterable[str]
) -> None:
    """Within a transaction: make empty tables for the rows of these namespaces, and forget all that is not `kept`."""
    for name in names:
        db.execute(f"drop table if exists {rows_beside(name)}")
        db.execute(table_statement(rows_beside(name), row_types[name]))
        db.executemany("delete from position where kind = ? and ns = ?", [(kind, name) for kind in AGAIN.values()])
        db.execute("delete from deleted where ns = ?", (name,))
    marks = [*kept]
    for kind in AGAIN.values():
        db.execute(f"delete from position where kind = ? and ns not in ({', '.join('?' * len(marks))})", (kind, *marks))
