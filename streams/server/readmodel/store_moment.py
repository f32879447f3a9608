"""What the file holds at one moment: whatever is read from it belongs together, rows, counts and positions."""

from __future__ import annotations

import sqlite3
from collections.abc import ItemsView, Iterable, Iterator, Mapping, Sequence, ValuesView
from typing import NamedTuple

from streams.data import Record
from streams.history.recorded_event import NamespacePartition
from streams.query.filters import Filter
from streams.query.row_fields import EQUAL, KEY
from streams.server.readmodel.change_log import ChangeEnd, change_end, changed_keys, keys_changed
from streams.server.readmodel.row_answers import RowAnswers
from streams.server.readmodel.row_columns import RowColumn, quoted
from streams.server.readmodel.row_json import RowDecoder
from streams.server.readmodel.row_query import selection


class FoundRow(NamedTuple):
    """`body` is JSON, None if the row cannot be read here, and then `problem` says why."""

    version: int
    body: bytes | None
    problem: str | None


class StoreMoment:
    """One read transaction of one connection."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        db.execute("begin")
        found = db.execute("select kind, ns, part, seq from position where kind in ('table', 'log')").fetchall()
        self._positions: dict[tuple[str, str, int], int] = {(kind, ns, part): seq for kind, ns, part, seq in found}

    def position(self, kinds: Iterable[str], partition: NamespacePartition) -> int:
        """The smallest position of these kinds of topics."""
        return min(self._positions.get((kind, *partition), 0) for kind in kinds)

    def positions(self, kinds: Sequence[str]) -> dict[NamespacePartition, int]:
        """The same of all partitions that it knows of."""
        there = {(ns, part) for _, ns, part in self._positions}
        return {partition: self.position(kinds, partition) for partition in there}

    def rows_of(self, table: str, columns: Sequence[RowColumn], *, whole: bool = False) -> RowAnswers:
        """What answers questions about a table. `whole`: no row of it is unreadable."""
        return RowAnswers(self._db, table, columns, whole=whole)

    def lacks(self, table: str, columns: Iterable[RowColumn]) -> list[str]:
        """The fields of these that the table has no columns for, or others: its rows have another schema."""
        kept = {quoted(name): kind for _, name, kind, *_ in self._db.execute(f"pragma table_info({table})").fetchall()}
        return [column.field for column in columns if kept.get(column.name, "").lower() != column.affinity]

    def unreadable(self, table: str, limit: int) -> tuple[int, list[tuple[str, str]]]:
        """How many rows cannot be read here, and some of them with the reason, in the order of their keys."""
        where = f"from {table} where problem is not null"
        [count] = self._db.execute(f"select count(*) {where}").fetchone()
        if count == 0:
            return 0, []
        return count, self._db.execute(f"select key, problem {where} order by key limit ?", (limit,)).fetchall()

    def count(self, table: str, *, whole: bool = False) -> int:
        """How many rows can be read here. `whole` as in `rows_of`: a projection's, which has no index of those."""
        [rows] = self._db.execute(f"select count(*) from {table}").fetchone()
        return int(rows) if whole else int(rows) - self.unreadable(table, 0)[0]

    def row(self, table: str, row_type: type[Record], key: str, conditions: Sequence[Filter]) -> FoundRow | None:
        """A row of which the conditions hold; None: there is none. One that cannot be read here is none either."""
        chosen = selection(table, row_type, [Filter(KEY, EQUAL, key), *conditions], "version, body, problem")
        found = self._db.execute(*chosen).fetchone()
        return None if found is None or found[1] is None else FoundRow(*found)

    def keys_of(self, table: str, row_type: type[Record], keys: Iterable[str], conditions: Sequence[Filter]) -> set[str]:
        """Those of these keys that have a row of which the conditions hold."""
        chosen = selection(table, row_type, [Filter(KEY, "in", tuple({*keys})), *conditions], "key")
        return {key for (key,) in self._db.execute(*chosen)}

    def change_end(self, table: str) -> ChangeEnd:
        return change_end(self._db, table)

    def changed_keys(self, table: str, after: int, key: str | None) -> dict[str, int]:
        """As in change_log."""
        return changed_keys(self._db, table, after, key)

    def keys_changed(self, table: str, after: int, upto: int) -> list[str]:
        """As in change_log."""
        return keys_changed(self._db, table, after, upto)

    def whole_rows(self, table: str, keys: Sequence[str]) -> dict[str, tuple[int, bytes | None, bytes | None, str | None]]:
        """Version, body, raw and problem of the rows of these keys, also of those that cannot be read here."""
        marks = ", ".join("?" * len(keys))
        text = f"select key, version, body, raw, problem from {table} where key in ({marks})"
        return {key: (version, body, raw, problem) for key, version, body, raw, problem in self._db.execute(text, keys)}

    def rows_among(
        self, table: str, row_type: type[Record], keys: Sequence[str], conditions: Sequence[Filter]
    ) -> dict[str, tuple[int, bytes]]:
        """Version and body of the rows of these keys of which the conditions hold, and that can be read here."""
        chosen = selection(table, row_type, [Filter(KEY, "in", tuple(keys)), *conditions], "key, version, body")
        return {key: (version, body) for key, version, body in self._db.execute(*chosen) if body is not None}

    def unreadable_among(self, table: str, keys: Sequence[str]) -> dict[str, str]:
        """Why rows of these keys cannot be read here; nothing of those that can be."""
        marks = ", ".join("?" * len(keys))
        text = f"select key, problem from {table} where key in ({marks}) and problem is not null"
        return dict(self._db.execute(text, list(keys)).fetchall())

    def some_keys(self, table: str, row_type: type[Record], conditions: Sequence[Filter], most: int) -> list[str]:
        """At most so many keys of rows of which the conditions hold, and that can be read here."""
        text, values = selection(table, row_type, conditions, "key, body is not null")
        return [key for key, is_readable in self._db.execute(f"{text} limit ?", [*values, most]) if is_readable]

    def table(self, name: str, decoder: RowDecoder) -> StoredTable:
        return StoredTable(self._db, name, decoder)


class StoredTable(Mapping[str, Record]):
    """A table that is read row by row. It is of its moment, and to be used as long as that lasts."""

    def __init__(self, db: sqlite3.Connection, name: str, decoder: RowDecoder) -> None:
        self._db, self._name, self._decoder = db, name, decoder

    def __getitem__(self, key: str) -> Record:
        text = f"select body, raw from {self._name} where key = ?"
        found = self._db.execute(text, (key,)).fetchone()
        if found is None:
            raise KeyError(key)
        return self._decoder.row(*found)

    def __iter__(self) -> Iterator[str]:
        for (key,) in self._db.execute(f"select key from {self._name}"):
            yield key

    def __len__(self) -> int:
        [count] = self._db.execute(f"select count(*) from {self._name}").fetchone()
        return int(count)

    def __contains__(self, key: object) -> bool:
        text = f"select 1 from {self._name} where key = ?"
        return isinstance(key, str) and self._db.execute(text, (key,)).fetchone() is not None

    def pairs(self) -> Iterator[tuple[str, Record]]:
        """All rows in one pass, not one by one by their keys."""
        for key, body, raw in self._db.execute(f"select key, body, raw from {self._name}"):
            yield key, self._decoder.row(body, raw)

    def find(self, conditions: Sequence[Filter]) -> Mapping[str, Record]:
        """Those of which all conditions hold: by an index, where there is one."""
        decoder = self._decoder
        text, values = selection(self._name, decoder.row_type, conditions)
        return {key: decoder.row(body, raw) for key, body, raw in self._db.execute(text, values)}

    def items(self) -> ItemsView[str, Record]:
        return _StoredItems(self)

    def values(self) -> ValuesView[Record]:
        return _StoredValues(self)


class PermittedTable(Mapping[str, Record]):
    """The rows of a table of which conditions hold: others are not there."""

    def __init__(self, rows: StoredTable, conditions: Sequence[Filter]) -> None:
        self._rows, self._conditions = rows, conditions

    def __getitem__(self, key: str) -> Record:
        return self.find([Filter(KEY, EQUAL, key)])[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self.find(()))

    def __len__(self) -> int:
        return len(self.find(()))

    def find(self, conditions: Sequence[Filter]) -> Mapping[str, Record]:
        return self._rows.find([*self._conditions, *conditions])


class _StoredItems(ItemsView[str, Record]):
    _mapping: StoredTable

    def __iter__(self) -> Iterator[tuple[str, Record]]:
        return self._mapping.pairs()


class _StoredValues(ValuesView[Record]):
    _mapping: StoredTable

    def __iter__(self) -> Iterator[Record]:
        return (row for _, row in self._mapping.pairs())
