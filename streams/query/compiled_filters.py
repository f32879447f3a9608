"""Filters as one function, for many rows: what a filter is of is looked up once, and not again for each row."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any

from streams.query.filters import ALWAYS, OF_VALUES, Filter
from streams.query.row_fields import EQUAL, RowField

Holds = Callable[[str, Any], bool]
"""Whether a row, given with its key, is as filters say."""


def compiled(filters: Sequence[Filter]) -> Holds:
    """As `hold` of streams/query/filters.py."""
    tests = [_test(each) for each in filters]
    if len(tests) == 1:
        return tests[0]

    def all_hold(key: str, row: Any) -> bool:
        for test in tests:  # noqa: SIM110 - it is called for each row, and a generator takes twice as long
            if not test(key, row):
                return False
        return True

    return all_hold


def _test(condition: Filter) -> Holds:
    field, operator, wanted = condition
    if not field.path:
        return lambda key, _: condition.holds(key, None)
    value = _value_of(field)
    if operator == EQUAL:
        return lambda _, row: bool(value(row) == wanted)
    if operator in ("in", "notin"):
        wanted = frozenset(wanted)
    if operator in ALWAYS:
        always = ALWAYS[operator]
        return lambda _, row: bool(always(value(row), wanted))
    holds = OF_VALUES[operator]
    return lambda _, row: (found := value(row)) is not None and bool(holds(found, wanted))


def _value_of(field: RowField) -> Callable[[Any], Any]:
    """What a row has in a field; the quick way if it is in no part, which may be nothing."""
    return attrgetter(field.name) if len(field.path) == 1 else lambda row: field.value("", row)
