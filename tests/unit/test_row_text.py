"""Rows of a table as a person sees them."""

from __future__ import annotations

import pytest

from streams.cli.output.row_text import show_many, told_apart
from tests.applications.shop.events import OrdersPerDayRow


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
