"""Writes the rows of one table of the file."""

from __future__ import annotations

import sqlite3
from typing import Any, NamedTuple

from streams.data import Record
from streams.server.readmodel.change_log import note_changes
from streams.server.readmodel.row_columns import binder_of, columns_of, has_numbers_beyond_json
from streams.server.readmodel.row_json import to_json
from streams.server.readmodel.store_schema import put_statement


class UnreadableRow(NamedTuple):
    """Stands for a row that the classes here cannot read, since a newer deployment wrote it."""

    reason: str


class RowWriter:
    """The changes of one table: the last of each key counts."""

    def __init__(self, table: str, row_type: type[Record]) -> None:
        columns, self._table = columns_of(row_type), table
        self._bind, self._nothing = binder_of(columns), (None,) * len(columns)
        self._put, self._drop = put_statement(table, columns), f"delete from {table} where key = ?"
        self._version = f"select version from {table} where key = ?"
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

    def version(self, db: sqlite3.Connection, key: str) -> int:
        """That of its row, written or not; 0 if there is none."""
        if key in self.changed:
            values = self.changed[key]
            return 0 if values is None else int(values[2])
        found = db.execute(self._version, (key,)).fetchone()
        return 0 if found is None else int(found[0])

    def write(self, db: sqlite3.Connection, *, noted: bool = False) -> None:
        """`noted`: streams are told what has changed."""
        if self.changed:
            if noted:
                note_changes(db, self._table, self.changed)
            readable, whole = 4 + len(self._nothing), 6 + len(self._nothing)
            found = [values for values in self.changed.values() if values is not None]
            db.executemany(self._put_readable, [values for values in found if len(values) == readable])
            db.executemany(self._put, [values for values in found if len(values) == whole])
            db.executemany(self._drop, [(key,) for key, values in self.changed.items() if values is None])
            self.changed.clear()
