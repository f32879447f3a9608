"""A question to a table as SQL: a page of its rows, how many there are, and how often which values.

A page is read in pieces, each of which an index can give in order: behind the row before it come those that are equal in all but
the last part of the order, then those that are equal in all but the last two, and so on.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from streams.data import Record
from streams.query.filters import Filter
from streams.query.query import CAP, FACET_VALUES, Query
from streams.query.row_fields import KEY, RowField
from streams.server.readmodel.row_columns import KEY_COLUMN, RowColumn, columns_of
from streams.server.readmodel.row_conditions import Sql, sql_of


class SortColumn(NamedTuple):
    column: RowColumn
    falling: bool

    @property
    def plain(self) -> str:
        return f"{self.column.name} desc" if self.falling else self.column.name

    @property
    def sql(self) -> str:
        """With nothing last, which SQLite has before all else: so it is last already, if it is falling."""
        return f"{self.plain} nulls last" if self.column.of.optional and not self.falling else self.plain


class RowQuery:
    """A question to one table. `whole`: no row of it is unreadable, so none has to be left out."""

    def __init__(self, table: str, query: Query, columns: Sequence[RowColumn], *, whole: bool = False) -> None:
        self.query = query
        self._table, self._columns = table, {column.field: column for column in columns}
        self.order = [SortColumn(self._column(each.field), each.falling) for each in query.order]
        found = [sql_of(condition, self._columns) for condition in query.filters]
        self._conditions = found if whole else [*found, Sql("body is not null")]

    def _column(self, field: RowField) -> RowColumn:
        return KEY_COLUMN if field == KEY else self._columns[field.name]

    def pieces(self, *shown: str) -> Iterator[Sql]:
        """Each gives key, version and body, unless others are named, and the values of the order: of rows in their order.

        One more value is to be given, the most rows that are wanted; -1 for all.
        """
        names = ", ".join([*(shown or ("key", "version", "body")), *(each.column.name for each in self.order)])
        for first, behind in self._begins():
            where, values = _joined([*self._conditions, *behind])
            order = ", ".join(self._order_from(first))
            yield Sql(f"select {names} from {self._table}{where} order by {order} limit ?", values)

    def _order_from(self, first: int) -> Iterator[str]:
        """What the rows of a piece are sorted by; in the first of it they all have a value, or none has."""
        for at, each in enumerate(self.order[first:]):
            yield each.plain if at == 0 and self.query.after is not None else each.sql

    def _begins(self) -> Iterator[tuple[int, Sequence[Sql]]]:
        """By the part of the order that a piece begins to go on in, what its rows have."""
        if self.query.after is None:
            yield 0, []
            return
        last = list(zip(self.order, self.query.after, strict=True))
        for at in reversed(range(len(last))):
            equal = [_same(each.column, value) for each, value in last[:at]]
            each, value = last[at]
            if value is not None:
                yield at, [*equal, Sql(f"{each.column.name} {'<' if each.falling else '>'} ?", [each.column.bind(value)])]
                if each.column.of.optional:
                    yield at, [*equal, Sql(f"{each.column.name} is null")]

    def place(self, values: Iterable[Any]) -> tuple[Any, ...]:
        """The place of a row, from what SQLite gives of the order."""
        return tuple(each.column.loaded(value) for each, value in zip(self.order, values, strict=True))

    def counting(self) -> Sql:
        """The number of rows; one more than the most that are told, if it is capped."""
        where, values = _joined(self._conditions)
        if self.query.count == "capped":
            return Sql(f"select count(*) from (select 1 from {self._table}{where} limit {CAP + 1})", values)
        return Sql(f"select count(*) from {self._table}{where}", values)

    def facets(self) -> Mapping[str, Sql]:
        """By field, what gives its values and how often they are there."""
        columns = {field.name: self._column(field).name for field in self.query.facets}
        return {name: self._facet(column) for name, column in columns.items()}

    def _facet(self, column: str) -> Sql:
        where, values = _joined(self._conditions)
        order = f"order by count(*) desc, {column} nulls last limit {FACET_VALUES}"
        return Sql(f"select {column}, count(*) from {self._table}{where} group by {column} {order}", values)

    def loaded(self, field: str, value: Any) -> Any:
        column = KEY_COLUMN if field == KEY.name else self._columns[field]
        return column.loaded(value)


def _same(column: RowColumn, value: Any) -> Sql:
    """Equal as far as the order goes: of a long value the beginning."""
    return Sql(f"{column.name} is null") if value is None else Sql(f"{column.name} = ?", [column.bind(value)])


def _joined(conditions: Sequence[Sql]) -> tuple[str, Sequence[Any]]:
    if not conditions:
        return "", []
    text = " and ".join(each.text for each in conditions)
    return f" where {text}", [value for each in conditions for value in each.values]


def selection(table: str, row_type: type[Record], conditions: Sequence[Filter], shown: str = "key, body, raw") -> Sql:
    """Gives these columns of all rows of which the conditions hold, in no order."""
    columns = {column.field: column for column in columns_of(row_type)}
    where, values = _joined([sql_of(condition, columns) for condition in conditions])
    return Sql(f"select {shown} from {table}{where}", values)
