"""Tables and projections as of a time: made from the recorded past when they are asked for.

What needs a whole table makes it in a temporary file, with the columns that the read model's file has: so it is found, sorted and
paged as today's is, and memory holds no table.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from streams.app import App
from streams.codec import AvroCodec
from streams.data import Record
from streams.engine.projector import Projector
from streams.engine.records import Entry
from streams.errors import BeforeHistory, CodeChanged, TooMuch
from streams.history.folded_projection import folded
from streams.history.held_back import HeldBack, held_back
from streams.history.past_views import AskedTables
from streams.history.stored.stored_rows import StoredRows
from streams.history.untold_rows import UntoldRows, refuse_corrected, refuse_erased_of
from streams.projection import Projection
from streams.query.query import Query
from streams.server.readmodel.row_answers import PAGE_BYTES, FoundPage, RowAnswers, StoredRow
from streams.server.readmodel.row_columns import columns_of
from streams.server.readmodel.row_json import RowDecoder, to_json
from streams.server.readmodel.row_writer import RowWriter
from streams.server.readmodel.store_moment import StoredTable
from streams.server.readmodel.store_schema import projection_table, row_table, table_statement

KNOWN_ROWS = 5_000
"""Rows that are kept in memory until they are written."""
NATURAL = """order by key = '' or key glob '*[^0-9]*', case when key glob '*[^0-9]*' then 0 else length(ltrim(key, '0')) end,
case when key glob '*[^0-9]*' then '' else ltrim(key, '0') end, key"""
"""Numbers in their order, then the rest, as people are shown rows."""


class PastStore:
    """All tables of a cut, used by one thread and to be closed. `most` limits the events that are read; None: nothing does.

    Raises HistoryError for what this code cannot tell, or of what an event was erased, and TooMuch.
    """

    def __init__(self, app: App, codec: AvroCodec, rows: StoredRows, most: int | None = None) -> None:
        self.app, self._codec, self._rows, self._most = app, codec, rows, most
        self._db = sqlite3.connect("", isolation_level=None)
        self._db.execute("pragma journal_mode=off")
        self._db.execute("begin")  # never to be committed: the file is gone with the connection
        self._types = {it.name: it.row_type for it in app.namespaces} | {it.name: it.row_type for it in app.projections}
        self._projections = {it.name: it for it in app.projections}
        self._made: dict[str, StoredTable] = {}
        self._untold: dict[str, UntoldRows] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._db.close()

    def entry(self, name: str, key: str) -> Entry:
        """A row and its version, which a projection's has not: 0."""
        if name in self._projections:
            return self.table(name).get(key), 0
        found = self._rows.entry((name, key))
        self._check()
        return found

    def page(self, name: str, query: Query) -> FoundPage:
        """As `RowAnswers.page`.

        In the order of keys, a namespace's rows are folded one by one. So where many rows are not those that were asked for, a
        page may have fewer than its limit, and another one follows.
        """
        if name not in self._projections and not query.needs_whole_table:
            return self._page_by_key(name, query)
        return self._answers(name).page(query)

    def all_rows(self, name: str, query: Query) -> Iterator[Sequence[StoredRow]]:
        """As `RowAnswers.all_rows`."""
        return self._answers(name).all_rows(query)

    def _answers(self, name: str) -> RowAnswers:
        self.table(name)
        return RowAnswers(self._db, self._name(name), columns_of(self._types[name]), whole=True)

    def untold(self, namespace: str) -> UntoldRows:
        """The rows that cannot be told, and are in no page. Those that this code cannot fold are known as far as rows were read."""
        if namespace not in self._untold:
            self._untold[namespace] = UntoldRows(self._rows.past, namespace, self._rows.goes_on)
        return self._untold[namespace]

    def row_type(self, name: str) -> type[Record]:
        return self._types[name]

    def held_back(self, asked: AskedTables) -> HeldBack | None:
        """What had happened by then and is in none of the rows that are asked for, since it depends on a later time."""
        return held_back(self._rows, self.app, asked)

    def natural(self, name: str, most: int | None) -> Iterator[tuple[str, Record, int]]:
        """At most so many rows with keys and versions, in the order for people, read one by one."""
        self.table(name)
        text = f"select key, version, body, raw from {self._name(name)} {NATURAL} limit ?"
        decoder = RowDecoder(self._types[name], self._codec)
        for key, version, body, raw in self._db.execute(text, (-1 if most is None else most,)):
            yield key, decoder.row(body, raw), version or 0

    def table(self, name: str) -> StoredTable:
        """All rows of a namespace that can be told, or of a projection."""
        if name not in self._made:
            self._db.execute(table_statement(self._name(name), self._types[name]))
            decoder = RowDecoder(self._types[name], self._codec)
            table = StoredTable(self._db, self._name(name), decoder)
            projection = self._projections.get(name)
            if projection is None:
                self._fill(name)
            else:
                self._fold(projection, table)
            self._made[name] = table
        return self._made[name]

    def whole(self, name: str) -> StoredTable:
        """The same, or BeforeHistory or CodeChanged if a row of it cannot be told."""
        if name not in self._projections:
            self.untold(name).refuse()  # before the table is made in vain
        table = self.table(name)
        if name not in self._projections:
            self.untold(name).refuse()
        return table

    def _name(self, name: str) -> str:
        return projection_table(name) if name in self._projections else row_table(name)

    def _check(self) -> None:
        if self._most is not None and self._rows.read > self._most:
            raise TooMuch(
                f"more than {self._most:,} events would have to be read to tell this, and a server has others to answer: "
                "`retold get` with --as-of or --known has no such limit"
            )

    def _fold_row(self, namespace: str, key: str) -> Entry:
        """No row where it cannot be told, which is noted."""
        untold = self.untold(namespace)
        try:
            return (None, 0) if key in untold else self._rows.fold((namespace, key))
        except (BeforeHistory, CodeChanged) as error:
            untold.add(key, error)
            return None, 0

    def _page_by_key(self, namespace: str, query: Query) -> FoundPage:
        rows, size = list[StoredRow](), 0
        last = None if query.after is None else query.after[0]
        for key in self._rows.keys(namespace, last, falling=query.order[0].falling):
            if len(rows) == query.limit or (self._most is not None and self._rows.read > self._most):
                return FoundPage(rows, None if last is None else (last,))
            row, version = self._fold_row(namespace, key)
            if row is not None and query.holds(key, row):
                body = to_json(row)
                size += len(body)
                if rows and size > PAGE_BYTES:
                    return FoundPage(rows, (last,))
                rows.append((key, version, body))
            last = key
        return FoundPage(rows, None)

    def _fill(self, namespace: str) -> None:
        writer = RowWriter(row_table(namespace), self._types[namespace])
        for key in self._rows.keys(namespace):
            row, version = self._fold_row(namespace, key)
            if row is not None:
                writer.put(key, None, version, row, self._codec.encode_row(row) if writer.keeps_raw else b"")
            self._check()
            if len(writer.changed) >= KNOWN_ROWS:
                writer.write(self._db)
        writer.write(self._db)

    def _fold(self, projection: Projection[Any], table: StoredTable) -> None:
        types = frozenset(it.event_type for it in projection.folds_by)
        refuse_erased_of(self._rows.past, projection)
        if self._rows.counted is None:
            refuse_corrected(self._rows.past, projection)
        writer, projector = RowWriter(self._name(projection.name), projection.row_type), Projector([projection], self._codec)
        rows = _UnwrittenRows(table)
        for it in self._rows.accepted(types):
            key, row = folded(projector, projection, it, rows)
            rows.known[key] = row
            writer.put(key, None, None, row, b"" if row is None or not writer.keeps_raw else self._codec.encode_row(row))
            if len(rows.known) >= KNOWN_ROWS:
                writer.write(self._db)
                rows.known.clear()
                self._check()
        writer.write(self._db)
        self._check()


class _UnwrittenRows(Mapping[str, Record]):
    """A projection's rows while it is folded: those that are written, and the latest that are not."""

    def __init__(self, table: StoredTable) -> None:
        self._table = table
        self.known: dict[str, Record | None] = {}

    def __getitem__(self, key: str) -> Record:
        row = self.known[key] if key in self.known else self._table[key]
        if row is None:
            raise KeyError(key)
        return row

    def __iter__(self) -> Iterator[str]:
        return (key for key in {*self._table, *self.known} if self.known.get(key, key) is not None)

    def __len__(self) -> int:
        return sum(1 for _ in self)
