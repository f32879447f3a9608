"""Rows of a table as a person sees them."""

from __future__ import annotations

import pytest

from streams.cli.output.row_text import show_many, show_projected, told_apart
from streams.engine.readable import are_numbers
from tests.applications.shop.events import OrdersPerDayRow, StockRow


def test_keys_that_look_alike_are_told_apart() -> None:
    """An accent may be of its letter, or a character behind it: two rows of which nobody saw which is which."""
    assert told_apart(["caf\u00e9", "cafe\u0301", "café\u0301x", "c", ""]) == [
        "caf\u00e9 (caf\\xe9)", "cafe\u0301 (cafe\\u0301)", "café\u0301x", "c", "''",
    ]  # fmt: skip


def test_a_table_shows_how_they_differ(capsys: pytest.CaptureFixture[str]) -> None:
    """Also where the row repeats its key."""
    row = OrdersPerDayRow(count=1)
    show_many("day", [("\u00e9", row, 1), ("e\u0301", row, 2)], set())
    assert ["\\xe9" in line or "e\\u0301" in line for line in capsys.readouterr().out.splitlines()[-2:]] == [True, True]


def test_numbers_stand_below_each_other(capsys: pytest.CaptureFixture[str]) -> None:
    """By their last digits, as versions do."""
    rows = [("a", StockRow(free=7, price=1250), 3), ("b", StockRow(free=1200, price=9), 12)]
    show_many("stock", rows, set())
    show_projected([(key, row) for key, row, _ in rows], one=False)
    lines = [line.rstrip() for line in capsys.readouterr().out.splitlines() if line.strip()]
    for head, _, *below in (lines[:4], lines[4:]):
        assert {len(line) for line in below} == {len(head)}
    assert lines[2].split() == ["a", "3", "7", "1250"]


def test_what_is_no_number_begins_below_its_heading() -> None:
    """Nor is a column of nothing, and `true` is a word."""
    columns = [[1, 2.5], [None, 3], [1, "2"], [None], [], [True, 1]]
    assert [are_numbers(values) for values in columns] == [True, True, False, False, False, False]
