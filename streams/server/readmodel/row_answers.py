"""What is asked of a table, answered from the file: a page, a count and facets, or all rows, in one read transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Generator, Mapping, Sequence
from contextlib import AbstractContextManager, closing
from typing import Any, Final, NamedTuple

from streams.query.query import FacetValue, Query, RowCount, capped
from streams.server.readmodel.query_limit import limited, plan_of
from streams.server.readmodel.row_columns import RowColumn
from streams.server.readmodel.row_query import RowQuery

AT_ONCE: Final = 500
"""Rows that are read at a time, if all are asked for."""
PAGE_BYTES: Final = 8 * 1024 * 1024
"""Of the rows of a page, if it has more than one: a thousand rows may have 1 MB each."""
StoredRow = tuple[str, int, bytes]
"""Key, version, body."""


class FoundPage(NamedTuple):
    """`next` is the place of the last row in the order, if there are more. `counted` and `facets` are there if asked for.

    A page may have fewer rows than its limit although there are more: as many as have `PAGE_BYTES`, and at least one.
    """

    rows: Sequence[StoredRow]
    next: tuple[Any, ...] | None
    counted: RowCount | None = None
    facets: Mapping[str, Sequence[FacetValue]] | None = None


class RowAnswers:
    """Answers about one table. `whole`: no row of it is unreadable."""

    def __init__(self, db: sqlite3.Connection, table: str, columns: Sequence[RowColumn], *, whole: bool) -> None:
        self._db, self._table, self._columns, self._whole = db, table, columns, whole

    def page(self, query: Query) -> FoundPage:
        """The page, and whatever else is asked for."""
        asked = self._asked(query)
        rows, place = self._page(asked)
        count = facets = None
        if query.count is not None:
            [number] = self._db.execute(*asked.counting()).fetchone()
            count = capped(number, query)
        if query.facets:
            facets = {name: self._facet(asked, name, *sql) for name, sql in asked.facets().items()}
        return FoundPage(rows, place, count, facets)

    def all_rows(self, query: Query) -> Generator[Sequence[StoredRow]]:
        """All rows from the page on, some at a time. They are sorted once, and without their bodies, which may be large.

        To be closed, if it is not read to its end: until then the file is held, whatever ends the transaction.
        """
        one = f"select key, version, body from {self._table} where id = ?"
        for text, values in self._asked(query).pieces("id"):
            with closing(self._db.execute(text, [*values, -1])) as ids:
                while some := ids.fetchmany(AT_ONCE):
                    yield [self._db.execute(one, (number,)).fetchone() for number, *_ in some]

    def plan(self, query: Query) -> str:
        """How rows are looked for: by which index, or `scan`."""
        asked = self._asked(query)
        first = next(asked.pieces())
        text, values = (first.text, [*first.values, 1]) if query.limit else asked.counting()
        return plan_of(self._db, text, values)

    def limited(self, seconds: float) -> AbstractContextManager[None]:
        """Raises QueryTooSlow from what takes longer within the block."""
        return limited(self._db, seconds)

    def _asked(self, query: Query) -> RowQuery:
        return RowQuery(self._table, query, self._columns, whole=self._whole)

    def _page(self, asked: RowQuery) -> tuple[Sequence[StoredRow], tuple[Any, ...] | None]:
        limit, rows, size = asked.query.limit, list[StoredRow](), 0
        last: Sequence[Any] = ()
        if limit == 0:
            return [], None
        for text, values in asked.pieces("id"):
            with closing(self._db.execute(self._with_bodies(text), [*values, limit + 1 - len(rows)])) as found:
                for key, version, body, _, *place in found:
                    size += len(body)
                    if len(rows) == limit or (rows and size > PAGE_BYTES):
                        return rows, asked.place(last)
                    rows.append((key, version, body))
                    last = place
        return rows, None

    def _with_bodies(self, text: str) -> str:
        """Bodies are read one by one, when their turn comes: those that SQLite sorts it has in memory, all at once.

        With a `cross join` the outer loop is the left one, so its order stays.
        """
        names = "it.key, it.version, it.body, found.*"
        return f"select {names} from ({text}) as found cross join {self._table} as it on it.id = found.id"

    def _facet(self, asked: RowQuery, name: str, text: str, values: Sequence[Any]) -> Sequence[FacetValue]:
        return [FacetValue(asked.loaded(name, value), often) for value, often in self._db.execute(text, values).fetchall()]
