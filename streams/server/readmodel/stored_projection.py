"""A projection in the file: folds events into its rows, which are written with what else is given."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from typing import Any

from streams.data import Record
from streams.engine.projector import Projector
from streams.engine.readable import in_a_line
from streams.engine.records import Codec
from streams.event import Event
from streams.projection import Projection
from streams.server.readmodel.fold_note import FoldNote
from streams.server.readmodel.fold_record import FoldRecord
from streams.server.readmodel.row_json import RowDecoder
from streams.server.readmodel.row_writer import RowWriter
from streams.server.readmodel.store_schema import projection_table

KNOWN_ROWS = 20_000
"""Rows of a projection that are kept decoded; then they are all forgotten."""


class StoredProjection:
    """One projection's rows. A fold that raises stops it: skipping an event would make it silently wrong."""

    def __init__(
        self, db: sqlite3.Connection, projection: Projection[Any], codec: Codec, fault: str | None, table: str = ""
    ) -> None:
        self.projection, self.fault = projection, fault
        self.note: FoldNote | None = None
        """Where it is noted which fold goes on, for the process after this one."""
        self.record: FoldRecord | None = None
        """The same for the process that looks at this one."""
        self._codec = codec
        table = table or projection_table(projection.name)
        self._rows = _FoldedRows(db, table, RowDecoder(projection.row_type, codec))
        self._projector = Projector([projection], codec)
        self._writer = RowWriter(table, projection.row_type)
        self._newly_stopped, self._is_beside = False, table != projection_table(projection.name)

    def fold(self, event: Event[Any], where: str) -> None:
        if self.fault is not None or type(event.data) not in self.projection.folds_by:
            return
        if self.note is not None:
            self.note.begin(self.projection.name, _place(event, where))
        if self.record is not None:
            self.record.begin(self.projection.name, event.data.event_type, where)
        try:
            key, row = self._projector.change(self.projection, event, self._rows)
        except BaseException as error:  # noqa: BLE001 - the application's own function may raise anything
            self.stand_still(f"raised {in_a_line(error)}", _place(event, where))
            return
        finally:
            if self.record is not None:
                self.record.end()
            if self.note is not None:
                self.note.end()
        self._rows.known[key] = row
        raw = b"" if row is None or not self._writer.keeps_raw else self._codec.encode_frozen(row)[1]
        self._writer.put(key, None, None, row, raw)

    def stand_still(self, did: str, place: str) -> None:
        """From now on nothing is folded, since that is what its fold did."""
        what = f"the projection {self.projection.name} {did} at {place}"
        self.fault = f"{what}. It stands still: correct it and start the server again"
        self._newly_stopped = True

    def write(self, db: sqlite3.Connection, *, noted: bool = False) -> None:
        """`noted` as in RowWriter."""
        self._writer.write(db, noted=noted)
        if self._newly_stopped and not self._is_beside:
            db.execute("insert or replace into stopped(name, why) values(?, ?)", (self.projection.name, self.fault))
            self._newly_stopped = False
        if len(self._rows.known) > KNOWN_ROWS:
            self._rows.known.clear()


def _place(event: Event[Any], where: str) -> str:
    return f"{event.data.event_type}, {where}"


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
