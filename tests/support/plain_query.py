"""What a question to a table is answered with, in plain Python: the database must agree."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from streams.query.query import FACET_VALUES, FacetValue, Query, RowCount, capped, sorted_rows
from streams.query.row_fields import RowField


class RowsPage(NamedTuple):
    """Keys and rows; and the place where the next page begins, None if there is none."""

    rows: Sequence[tuple[str, Any]]
    next: tuple[Any, ...] | None


def page_of_rows(rows: Iterable[tuple[str, Any]], query: Query) -> RowsPage:
    """The page that is asked for."""
    found = [(key, row) for key, row in sorted_rows(rows, query) if _is_behind(query, query.place(key, row))]
    shown = found[: query.limit]
    return RowsPage(shown, query.place(*shown[-1]) if shown and len(found) > query.limit else None)


def _is_behind(query: Query, place: tuple[Any, ...]) -> bool:
    """Whether a place is behind that of the row before the page."""
    for found, last, each in zip(place, query.after or (), query.order, strict=False):
        if found != last:
            return last is not None and (found is None or (found < last if each.falling else found > last))
    return query.after is None


def count_of_rows(rows: Iterable[tuple[str, Any]], query: Query) -> RowCount:
    """How many rows are as asked, on all pages."""
    return capped(sum(1 for key, row in rows if query.holds(key, row)), query)


def facets_of_rows(rows: Iterable[tuple[str, Any]], query: Query) -> Mapping[str, Sequence[FacetValue]]:
    """By field, how often which value is there; the most frequent first, then by value, nothing last."""
    found = [(key, row) for key, row in rows if query.holds(key, row)]
    return {field.name: _facet(field, found) for field in query.facets}


def _facet(field: RowField, rows: Sequence[tuple[str, Any]]) -> Sequence[FacetValue]:
    counts = Counter(field.sorted_by(key, row) for key, row in rows)
    some = sorted(counts.items(), key=lambda it: (-it[1], *((1,) if it[0] is None else (0, it[0]))))
    return [FacetValue(value, count) for value, count in some[:FACET_VALUES]]
