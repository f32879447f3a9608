"""Rows in an order, a page at a time, in a file without a server around it."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from typing import Any

import pytest

from streams.data import Record
from streams.errors import InvalidQuery
from streams.query.cursors import cursor_of
from streams.query.row_fields import COMPARED
from streams.query_parameters import read_query
from streams.server.readmodel.row_columns import columns_of
from tests.support.things import HOUR, Thing, stored


def paged(rows: Mapping[str, Record], limit: int, **parameters: str) -> tuple[list[str], int]:
    """The keys of all pages one after the other, and the length of the longest cursor."""
    keys: list[str] = []
    following: str | None = ""
    longest = 0
    moment = stored(rows)
    while following is not None:
        given = {**parameters, "_limit": str(limit), **({"_next": following} if following else {})}
        query = read_query(given.items(), Thing, "things")
        page = moment.rows_of("things", columns_of(Thing)).page(query)
        following = cursor_of("things", query, page.next)
        longest = max(longest, len(following or ""))
        keys += [key for key, _, _ in page.rows]
    return keys, longest


@pytest.mark.parametrize("field", ["text", "note", "raw"])
@pytest.mark.parametrize("length", [COMPARED - 1, COMPARED, COMPARED + 1])
def test_a_filter_compares_all_of_a_value(field: str, length: int) -> None:
    """Also beyond what rows are sorted by."""
    letter: Any = b"\xff" if field == "raw" else "ß"
    rows = {f"k{n}": Thing(**{field: letter * (length + n)}) for n in range(3)}
    text = b64encode(letter * (length + 1)).decode() if field == "raw" else letter * (length + 1)
    assert paged(rows, 50, **{field: text})[0] == ["k1"]


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("note", ["a", "b", None, None]),
        ("at", [HOUR, HOUR.replace(hour=1), None, None]),
        ("ratio", [-1.5, 0.0, None, None]),
        ("raw", [b"", b"\x00", b"\xff"]),
    ],
)
@pytest.mark.parametrize("limit", [1, 2, 50])
def test_nothing_comes_last_in_both_directions(field: str, values: list[Any], limit: int) -> None:
    """And every row is on one page, however small the pages are."""
    rows = {f"k{n}": Thing(**{field: value}) for n, value in enumerate(values)}
    rising = list(rows)
    there = [key for key in rising if getattr(rows[key], field) is not None]
    falling = there[::-1] + [key for key in rising if key not in there][::-1]
    assert paged(rows, limit, _sort=field)[0] == rising
    assert paged(rows, limit, _sort=f"-{field}")[0] == falling


@pytest.mark.parametrize("direction", ["", "-"])
@pytest.mark.parametrize(("field", "long"), [("text", "ß" * 100_000), ("raw", b"x" * 100_000)])
def test_a_cursor_is_short_however_long_the_values_are(field: str, long: Any, direction: str) -> None:
    """Rows whose texts begin alike are in the order of their keys, so that a cursor fits into an address."""
    rows = {f"k{n}": Thing(**{field: long + long[:1] * (9 - n)}) for n in range(5)}
    keys, longest = paged(rows, 1, _sort=f"{direction}{field}")
    assert keys == sorted(rows, reverse=bool(direction))
    assert longest < 1_000


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("count", "x", "a whole number"),
        ("ratio", "x", "a number or nothing"),
        ("done", "x", "true or false"),
        ("kind", "x", "one of a, b"),
        ("raw", "x", "bytes as base64"),
    ],
)
def test_a_value_that_no_row_can_have_is_reported_in_words(field: str, value: str, expected: str) -> None:
    """The parameter, its value and what was expected, in no library's words."""
    with pytest.raises(InvalidQuery) as caught:
        read_query([(field, value)], Thing, "things")
    assert str(caught.value) == f"the parameter '{field}' is 'x'; {expected} was expected"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("at", "2026-01-31T12:00:00.123456789Z"),
        ("at", "2026-01-31T12:00:00"),
        ("ratio", "nan"),
        ("count", "1.0"), ("count", "1e0"), ("count", "1_0"),
        ("done", "1"), ("done", "yes"),
        ("raw", "AAF="), ("raw", "AA E="),
        ("kind", "c"),
        ("ratio", "inf"),
        ("ratio", "1e-400"),
    ],
)
def test_a_value_is_read_strictly(field: str, value: str) -> None:
    """Rounded, it would select another row, or none in silence."""
    with pytest.raises(InvalidQuery, match=f"the parameter '{field}' is '{value}'"):
        read_query([(field, value)], Thing, "things")
