"""A question to a table, and the rows in memory that it asks for, in their order."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple

from streams.query.filters import Filter, hold
from streams.query.row_fields import KEY, RowField

LIMIT: Final = 50
MOST: Final = 1_000
"""Rows of a page."""
MOST_SORTED: Final = 3
"""Fields of an order, beside the key."""
MOST_FACETS: Final = 5
FACET_VALUES: Final = 20
"""Values of a facet that are told, the most frequent first."""
CAP: Final = 10_000
"""Up to which a capped count is exact."""


class SortField(NamedTuple):
    field: RowField
    falling: bool = False

    def __str__(self) -> str:
        return f"{'-' if self.falling else ''}{self.field.name}"


class RowCount(NamedTuple):
    """`more`: there are more than that."""

    number: int
    more: bool


class FacetValue(NamedTuple):
    value: Any
    often: int


@dataclass(frozen=True)
class Query:
    """What is asked of a table. `after` is the place of the row before the page: its values in `order`, the key last.

    In an order, rows without a value come last in both directions, and of long texts and bytes the beginning is compared.
    """

    filters: Sequence[Filter] = ()
    sort: Sequence[SortField] = ()
    limit: int = LIMIT
    after: tuple[Any, ...] | None = None
    select: Sequence[RowField] | None = None
    count: Literal["capped", "exact"] | None = None
    facets: Sequence[RowField] = ()

    @property
    def order(self) -> Sequence[SortField]:
        """The whole order, which ends with the key: in the direction of the field before it, as an index has it."""
        sort = list(self.sort)
        for at, each in enumerate(sort):
            if each.field == KEY:
                return sort[: at + 1]
        return [*sort, SortField(KEY, falling=bool(sort) and sort[-1].falling)]

    @property
    def is_by_key(self) -> bool:
        return self.order[0].field == KEY

    @property
    def needs_whole_table(self) -> bool:
        """Whether it is answered by looking at more than the rows of its page."""
        return not self.is_by_key or self.count is not None or bool(self.facets)

    @property
    def used_fields(self) -> Mapping[str, RowField]:
        """By name, those that rows are chosen, sorted or counted by; the key is there in any case."""
        fields = [*(it.field for it in self.filters), *(it.field for it in self.order), *self.facets]
        return {field.name: field for field in fields if field != KEY}

    def holds(self, key: str, row: Any) -> bool:
        return hold(self.filters, key, row)

    def place(self, key: str, row: Any) -> tuple[Any, ...]:
        """The place of a row in the order."""
        return tuple(each.field.sorted_by(key, row) for each in self.order)


def sorted_rows(rows: Iterable[tuple[str, Any]], query: Query) -> list[tuple[str, Any]]:
    """All rows that are asked for, in their order, on whichever page."""
    found = [(query.place(key, row), key, row) for key, row in rows if query.holds(key, row)]
    for at, each in reversed([*enumerate(query.order)]):
        there, nothing = ((1, 0) if each.falling else (0, 1))
        found.sort(key=lambda it, at=at, a=there, b=nothing: (b,) if it[0][at] is None else (a, it[0][at]), reverse=each.falling)  # type: ignore[misc]  # mypy cannot infer a lambda with defaults
    return [(key, row) for _, key, row in found]


def capped(count: int, query: Query) -> RowCount:
    return RowCount(CAP, True) if query.count == "capped" and count > CAP else RowCount(count, False)
