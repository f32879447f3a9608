"""What comes from a file or a function is shown, and a terminal does not obey it."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors import app
from processors.events import UserSignup
from streams.codec import AvroCodec
from streams.errors import ConfigError, InvalidEvent
from streams.eventfiles.convert import Converter
from streams.eventfiles.file_events import BadRow, EventMaker, FromRow
from streams.eventfiles.rows import FORMATS, Row, format_of
from streams.eventfiles.texts import listed, plain

EVIL = "\x1b[2J\r\n\x9b1m\u202e\ud800"
GOOD = UserSignup(user="u1", email="e")
LONGEST = 12 * 1_000
"""A problem of 1,000 characters, each spelt out with at most ten, and some."""


def problem(make: FromRow, values: dict[str, Any], **columns: str) -> str:
    codec = AvroCodec(app().event_types().values(), [])
    [bad] = EventMaker(make, codec, "user.signup", 1_000_000, **columns).events([Row(1, values)])
    assert isinstance(bad, BadRow)
    return bad.problem


class Shown:
    """An object of the application's, with a repr of its own."""

    def __repr__(self) -> str:
        return EVIL * 1_000


class Mute(Exception):
    """It cannot say what it is."""

    def __str__(self) -> str:
        raise RuntimeError("no words")


def raising(error: Exception) -> FromRow:
    def make(row: Any) -> Any:
        raise error

    return make


CONVERTER = Converter(UserSignup, texts=False)
MANY = {f"{EVIL}{n}" * 50: n for n in range(5_000)}


@pytest.mark.parametrize(
    ("make", "values", "columns"),
    [
        (lambda row: row["absent"], MANY, {}),
        (lambda row: row[EVIL * 1_000], {}, {}),
        (lambda row: int(row[EVIL * 1_000]), {EVIL * 1_000: EVIL}, {}),
        (lambda row: row[0], MANY, {}),
        (lambda row: row[[EVIL]], MANY, {}),
        (lambda _: GOOD, MANY, {"id_column": "number"}),
        (lambda _: GOOD, MANY, {"time_column": "at"}),
        (lambda _: GOOD, {"number": EVIL * 1_000}, {"id_column": "number"}),
        (lambda _: GOOD, {"at": EVIL * 1_000}, {"time_column": "at"}),
        (lambda _: (GOOD, None, EVIL * 1_000), {}, {}),
        (lambda _: Shown(), {}, {}),
        (raising(ValueError(EVIL * 1_000)), {}, {}),
        (raising(InvalidEvent(EVIL * 1_000)), {}, {}),
        (raising(Mute()), {}, {}),
        (CONVERTER, {EVIL * 1_000: 1}, {}),
        (CONVERTER, {"user": "u1", "email": [EVIL] * 1_000}, {}),
        (CONVERTER, {"user": EVIL * 1_000, "email": "e"}, {}),
    ],
)
def test_a_problem_is_one_short_line_without_control_characters(make: FromRow, values: Any, columns: Any) -> None:
    """Whatever the names of columns, their values, what the function gives, and what it raises."""
    told = problem(make, values, **columns)
    assert told.isprintable()
    assert 0 < len(told) <= LONGEST


def test_only_the_first_columns_are_listed() -> None:
    """With how many more there are."""
    told = problem(lambda row: row["absent"], {f"c{n}": n for n in range(1_020)})
    names = ", ".join(f"c{n}" for n in range(20))
    assert told == f"column 'absent' is missing; there are {names} and 1,000 more"
    assert (listed([]), listed(["a", "b"])) == ("none", "a, b")


def test_what_a_function_cannot_say_stops_nothing() -> None:
    """The next rows are read."""
    assert "Mute: <exception str() failed>" in problem(raising(Mute()), {})


@pytest.mark.parametrize("text", [f"{EVIL[:1]},{EVIL[:1]}\n", ",".join(f'"{EVIL[:4]}{n}"' for n in range(5_000)) + ",\n"])
def test_the_names_of_columns_are_shown_in_the_same_way(text: str) -> None:
    """Of a file that does not read at all: its first line names a column twice, or one by nothing."""
    with pytest.raises(InvalidEvent) as raised:
        list(FORMATS["csv"](io.BytesIO(text.encode())))
    assert str(raised.value).isprintable()
    assert len(str(raised.value)) < 3_000


def test_so_is_the_name_of_a_file() -> None:
    """Its suffix too."""
    with pytest.raises(ConfigError) as raised:
        format_of(Path(f"{EVIL}.{EVIL}"), None)
    assert str(raised.value).isprintable()


@given(st.text(st.characters(exclude_categories=())))
def test_a_plain_text_is_printable_and_says_the_same(text: str) -> None:
    """What is printable stays as it is."""
    shown = plain(text, 100)
    assert shown.isprintable()
    if text.isprintable() and len(text) <= 100:
        assert shown == text
