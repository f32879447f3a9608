"""The ids of a file's rows: natural repeats survive, and the same file again gives the same ids (rule 13)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors import app
from processors.events import UserClose, UserRename
from streams.codec import AvroCodec
from streams.engine.identity import content_id
from streams.engine.times import to_micros
from streams.eventfiles.file_events import BadRow, EventMaker, FileEvent
from streams.eventfiles.rows import Row

CODEC = AvroCodec(app().event_types().values(), [])
NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)

Said = tuple[str, str, datetime | None]
"""A row: user, name, and when it happened."""
moments = st.sampled_from([None, NOON, NOON + timedelta(microseconds=1), NOON.astimezone(timezone(timedelta(hours=1)))])
files = st.lists(st.tuples(st.sampled_from(["u1", "u2"]), st.sampled_from(["Ada", "Bea"]), moments), max_size=12)


def from_row(row: Any) -> Any:
    user, name, time = row["said"]
    return UserRename(user=user, name=name), time


def rows_of(file: Sequence[Said]) -> list[Row]:
    return [Row(line, {"said": said}) for line, said in enumerate(file, 1)]


def read(file: Sequence[Said]) -> list[FileEvent]:
    """One pass over the file."""
    found = EventMaker(from_row, CODEC, None, 1_000_000).events(rows_of(file))
    return [event for event in found if isinstance(event, FileEvent)]


def ids(file: Sequence[Said]) -> list[str]:
    return [event.id for event in read(file)]


@given(files)
def test_no_two_rows_of_a_file_have_one_id(file: list[Said]) -> None:
    """However often they are equal: each is an event that happened."""
    assert len(set(ids(file))) == len(file)


@given(files)
def test_a_file_read_again_gives_the_same_ids(file: list[Said]) -> None:
    """It is checked and then published by one maker, and may be published again; its first rows alone have the same."""
    maker, rows = EventMaker(from_row, CODEC, None, 1_000_000), rows_of(file)
    assert list(maker.events(rows)) == list(maker.events(rows)) == read(file)
    assert ids(file[:5]) == ids(file)[:5]


@given(st.data(), files)
def test_the_order_of_the_rows_makes_no_id(data: st.DataObject, file: list[Said]) -> None:
    """What counts is how many are equal, not where they stand."""
    moved = data.draw(st.permutations(file))
    assert Counter(ids(moved)) == Counter(ids(file))


@given(files)
def test_an_id_is_of_type_data_time_and_occurrence_alone(file: list[Said]) -> None:
    """The n-th equal row has the n-th id; one instant is one time, whatever its zone."""
    seen = Counter[Any]()
    for event, (user, name, time) in zip(read(file), file, strict=True):
        seen[user, name, time] += 1
        value, micros = CODEC.encode(UserRename(user=user, name=name)), None if time is None else to_micros(time)
        assert event.occurrence == seen[user, name, time]
        assert event.id == content_id("user.rename", value, micros, event.occurrence)


def test_rows_that_differ_only_in_their_time_are_two_events() -> None:
    """Also if one of them gives none."""
    assert len(set(ids([("u1", "Ada", None), ("u1", "Ada", NOON), ("u1", "Ada", NOON + timedelta(seconds=1))]))) == 3


def test_rows_of_two_types_are_two_events() -> None:
    """Their bytes may be equal."""
    assert content_id("user.close", b"x", None, 1) != content_id("user.remind", b"x", None, 1)


@pytest.mark.parametrize(
    ("time", "occurrence", "expected"),
    [
        (None, 1, "c31285f9-afb7-5f6a-9096-6659db60b6ff"),
        (None, 2, "85fa454d-f1b3-5e6a-abc7-1f51d6175e96"),
        (NOON, 1, "2ad137f9-de49-5f05-b0e0-2cfc72d57b6b"),
        (NOON + timedelta(microseconds=1), 1, "3bedf80c-558d-5f66-a0ee-339bee90364c"),
    ],
)
def test_ids_stay_what_they_are(time: datetime | None, occurrence: int, expected: str) -> None:
    """For ever: a file that was published before an upgrade is published again after it."""
    *_, event = read([("u1", "Ada", time)] * occurrence)
    assert event.id == expected


def made(*given_: Any, id_column: str | None = None, time_column: str | None = None) -> list[FileEvent | BadRow]:
    """What the function gives for each row, or what is made of a row of columns: (what it gives, columns)."""
    rows = [Row(line, {"give": give, **columns}) for line, (give, columns) in enumerate(given_, 1)]
    return list(EventMaker(lambda row: row["give"], CODEC, None, 1_000_000, "file", id_column, time_column).events(rows))


ADA, BEA, CLOSE = UserRename(user="u1", name="Ada"), UserRename(user="u1", name="Bea"), UserClose(user="u1")


def test_a_function_may_give_an_id() -> None:
    """With a time or without; other rows have ids as ever."""
    found = made(((ADA, NOON, "a-1"), {}), ((ADA, None, "a-2"), {}), ((ADA, NOON, None), {}), ((ADA, NOON), {}))
    assert [(event.id, event.time) for event in found[:2] if isinstance(event, FileEvent)] == [
        ("a-1", NOON),
        ("a-2", None),
    ]
    assert [event.id for event in found[2:] if isinstance(event, FileEvent)] == ids([("u1", "Ada", NOON)] * 2)


@pytest.mark.parametrize(("value", "expected"), [("a-1", "a-1"), (7, "7"), (" 7", " 7")])
def test_a_column_may_be_the_id(value: object, expected: str) -> None:
    """A text as it is, or a whole number."""
    [event] = made((ADA, {"number": value}), id_column="number")
    assert isinstance(event, FileEvent)
    assert (event.id, event.time) == (expected, None)


@pytest.mark.parametrize("value", ["2026-01-31T12:00:00Z", " 2026-01-31T13:00:00+01:00", NOON])
def test_a_column_may_be_the_time(value: object) -> None:
    """In ISO 8601 with a zone, or as Avro has it; it is in the id."""
    [event] = made((ADA, {"at": value}), time_column="at")
    assert isinstance(event, FileEvent)
    assert event.time == NOON
    assert [event.id] == ids([("u1", "Ada", NOON)])


NO_ID = "; a text of 1 to 1024 bytes or a whole number was expected, as the id"
NO_TIME = "; an ISO 8601 time with a zone, such as 2026-01-31T12:00:00Z, was expected"


@pytest.mark.parametrize("value", ["", " ", None, 1.5, True, ["a"], "x" * 1025, "\ud800"])
def test_a_column_that_is_no_id_breaks_the_line(value: object) -> None:
    """It is named, with its value and what was expected."""
    [bad] = made((ADA, {"number": value}), id_column="number")
    assert isinstance(bad, BadRow)
    assert bad.problem.startswith(f"column 'number' is {value!r:.80}")
    assert bad.problem.endswith(NO_ID)


@pytest.mark.parametrize(
    "value", ["", None, "noon", "2026-01-31", "2026-01-31T12:00:00", 7, NOON.replace(tzinfo=None), "0001-01-01T00:00+01:00"]
)
def test_a_column_that_is_no_time_breaks_the_line(value: object) -> None:
    """The same: a time without a zone is none, nor one before the year 1."""
    [bad] = made((ADA, {"at": value}), time_column="at")
    assert isinstance(bad, BadRow)
    assert bad.problem == f"column 'at' is {value!r}{NO_TIME}"


@pytest.mark.parametrize("option", ["id_column", "time_column"])
def test_a_column_that_is_not_there_breaks_the_line(option: str) -> None:
    """With the columns that are."""
    [bad] = made((ADA, {"a": 1}), **{option: "b"})
    assert isinstance(bad, BadRow)
    assert bad.problem == "column 'b' is missing; there are give, a"


@pytest.mark.parametrize(
    ("gives", "option", "noun"), [((ADA, NOON), "time_column", "time"), ((ADA, None, "x"), "id_column", "id")]
)
def test_what_the_function_gives_no_column_may_give(gives: Any, option: str, noun: str) -> None:
    """Which one is meant is not known."""
    [bad] = made((gives, {"a": "a"}), **{option: "a"})
    assert isinstance(bad, BadRow)
    assert bad.problem == f"the function gives the {noun}, and --{noun}-column names 'a' for it: leave one of them out"


def test_what_the_function_does_not_give_a_column_may() -> None:
    """Both may be used together."""
    columns = {"number": 7, "at": NOON}
    [event] = made((ADA, columns), id_column="number", time_column="at")
    [timed] = made(((ADA, NOON), columns), id_column="number")
    assert isinstance(event, FileEvent)
    assert event == timed
    assert (event.id, event.time) == ("7", NOON)


def test_a_row_with_the_id_of_an_equal_one_is_the_same_event() -> None:
    """By the word of whoever gave the ids; the others are events."""
    found = made(((ADA, NOON, "1"), {}), ((BEA, NOON, "2"), {}), ((ADA, NOON, "1"), {}), ((ADA, NOON, "3"), {}))
    events = [event for event in found if isinstance(event, FileEvent)]
    assert [event.is_repeat for event in events] == [False, False, True, False]


@pytest.mark.parametrize("other", [(BEA, NOON, "1"), (CLOSE, NOON, "1"), (ADA, None, "1")])
def test_a_row_with_the_id_of_another_one_is_broken(other: Any) -> None:
    """With other data it would be quarantined, with another time it would be lost as a duplicate."""
    first, _, bad = made(((ADA, NOON, "1"), {}), ((ADA, NOON, "2"), {}), (other, {}))
    assert isinstance(first, FileEvent)
    assert isinstance(bad, BadRow)
    assert bad.problem == "the id '1' is that of line 1, whose data or time are not the same: one id names one event"


def test_a_broken_row_is_no_occurrence() -> None:
    """It counts once it is mended."""
    rows = [Row(1, {}, "broken"), Row(2, {"said": ("u1", "Ada", NOON)}), Row(3, {"said": ("u1",)})]
    *_, event, _ = EventMaker(from_row, CODEC, None, 1_000_000).events(rows)
    assert isinstance(event, FileEvent)
    assert event.occurrence == 1


def test_a_function_is_called_once_for_a_row_and_again_only_if_it_raises() -> None:
    """Then to learn the column that it read last; it never sees what it changed before."""
    seen: list[Any] = []

    def changing(row: Any) -> Any:
        seen.append(row["name"])
        user = row.pop("user")
        return UserRename(user=user, name=str(int(row["name"])))

    rows = [Row(1, {"user": "u1", "name": "7"}), Row(2, {"user": "u1", "name": "x"})]
    event, bad = EventMaker(changing, CODEC, None, 1_000_000).events(rows)
    assert isinstance(event, FileEvent)
    assert isinstance(bad, BadRow)
    assert bad.problem.startswith("column 'name' is 'x' (ValueError: ")
    assert seen == ["7", "x", "x"]
