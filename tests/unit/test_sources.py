"""Files of events: what reads, and how a broken line is named."""

from __future__ import annotations

import io
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import fastavro
import pytest

from processors import app
from processors.events import UserRename, UserSignup
from processors.publish import from_row
from streams.codec import AvroCodec, codec_of
from streams.errors import ConfigError, InvalidEvent
from streams.eventfiles.convert import Converter
from streams.eventfiles.file_events import BadRow, EventMaker, FileEvent
from streams.eventfiles.rows import FORMATS, Row, format_of
from tests.unit.codec_classes import Part, ThingSet

ROOT = Path(__file__).parents[2]
CREATED = datetime(2011, 1, 11, 19, 50, 40, 620000, tzinfo=UTC)


def rows(form: str, text: str | bytes) -> list[Row]:
    return list(FORMATS[form](io.BytesIO(text.encode() if isinstance(text, str) else text)))


def events(make: Any, *of: Row, expected: str | None = "user.signup") -> list[FileEvent | BadRow]:
    codec = AvroCodec(app().event_types().values(), [])
    return list(EventMaker(make, codec, expected, 1_000_000).events(of))


def problem(make: Any, values: dict[str, Any], expected: str | None = "user.signup") -> str:
    (bad,) = events(make, Row(7, values), expected=expected)
    assert isinstance(bad, BadRow), bad
    assert bad.line == 7
    return bad.problem


@pytest.mark.parametrize(
    ("form", "text"),
    [
        ("csv", "user,email\nu1,a@b\n\nu2,c@d\n"),
        ("csv", '\ufeffuser,email\r\nu1,"a@b"\r\n\r\nu2,c@d'),
        ("tsv", "user\temail\nu1\ta@b\n\nu2\tc@d\n"),
        ("jsonl", '{"user": "u1", "email": "a@b"}\n\n{"user": "u2", "email": "c@d"}'),
    ],
)
def test_formats_of_text_give_the_same_rows(form: str, text: str) -> None:
    """Columns come by their names, lines count from 1, and empty lines are nothing."""
    found = rows(form, text)
    assert [row.values for row in found] == [{"user": "u1", "email": "a@b"}, {"user": "u2", "email": "c@d"}]
    first = 1 if form == "jsonl" else 2
    assert [row.line for row in found] == [first, first + 2]


def test_a_quoted_field_may_hold_new_lines() -> None:
    """The row after it has the number of the line where it stands."""
    assert rows("csv", 'a,b\n"1\n2",3\n4,5\n') == [Row(2, {"a": "1\n2", "b": "3"}), Row(4, {"a": "4", "b": "5"})]


def test_an_avro_container_gives_values_as_they_are() -> None:
    """Times and numbers need no reading; a file cut off in the middle says so after its whole records."""
    kind = {"type": "long", "logicalType": "timestamp-micros"}
    fields = [{"name": "user", "type": "string"}, {"name": "created", "type": kind}]
    schema = fastavro.parse_schema({"type": "record", "name": "r", "fields": fields})
    file = io.BytesIO()
    fastavro.writer(file, schema, [{"user": f"u{n}", "created": CREATED} for n in range(3)], sync_interval=1)
    assert rows("avro", file.getvalue())[0] == Row(1, {"user": "u0", "created": CREATED})
    *whole, last = rows("avro", file.getvalue()[:-20])
    assert [row.values["user"] for row in whole] == ["u0", "u1"]
    assert (last.line, "damaged from here on" in (last.problem or "")) == (3, True)


@pytest.mark.parametrize(
    ("form", "text", "line", "message"),
    [
        ("csv", "a,b\n1,2\n3\n4,5\n", 3, "column 'b' is missing: 1 of 2 are there"),
        ("csv", "a,b\n1,2\n3,4,5\n4,5\n", 3, "column 3 has no name: there are 3, and line 1 names 2"),
        ("tsv", b"a\tb\n1\t2\n3\t\xff\n4\t5\n", 3, "column 3: the byte 0xff is no UTF-8"),
        ("csv", 'a,b\n1,2\n3,"4"5\n4,5\n', 3, "this does not read"),
        ("jsonl", '{"a": 1}\n{"a": }\n{"a": 2}', 2, "column 7: this is no JSON (Expecting value)"),
        ("jsonl", '{"a": 1}\n{"a": 1\r\n{"a": 2}', 2, "column 8: this is no JSON (Expecting ',' delimiter)"),
        ("jsonl", '{"a": 1}\n{"a": \n{"a": 2}', 2, "column 6: this is no JSON (Expecting value)"),
        ("jsonl", '{"a": 1}\n[1]\n{"a": 2}', 2, "this is a JSON array; an object with the event's fields was expected"),
        ("jsonl", '{"a": 1}\n{"a": 1, "a": 2}\n{"a": 2}', 2, "column 'a' is there twice"),
        ("jsonl", '{"a": 1}\n{"a": NaN}\n{"a": 2}', 2, "NaN is no JSON"),
        ("jsonl", f'{{"a": 1}}\n{{"a": {"9" * 5_000}}}\n{{"a": 2}}', 2, "a number too long to read"),
        ("jsonl", b'{"a": 1}\n{"a": "\xc3\x28"}\n{"a": 2}', 2, "column 8: the byte 0xc3 is no UTF-8"),
        ("jsonl", '{"a": 1}\n' + "[" * 100_000 + '\n{"a": 2}', 2, "it is nested too deeply"),
    ],
)
def test_a_broken_line_is_named_and_the_next_one_is_read(form: str, text: str | bytes, line: int, message: str) -> None:
    """Its number and its column are reported, and the rows around it are there."""
    before, broken, after = rows(form, text)
    assert (before.problem, after.problem) == (None, None)
    assert broken.line == line
    assert message in (broken.problem or "")


def test_a_quote_that_never_ends_is_one_broken_row() -> None:
    """The whole rest belongs to it, and its first line is named."""
    good, broken = rows("csv", 'a,b\n1,2\n3,"4\n5,6\n')
    assert (good.problem, broken.line) == (None, 3)
    assert "unexpected end of data" in (broken.problem or "")


@pytest.mark.parametrize(
    ("form", "text", "message"),
    [
        ("csv", "", "the file is empty"),
        ("csv", "a,a\n1,2\n", "each needs a name of its own"),
        ("avro", "no", "no Avro object container file"),
    ],
)
def test_a_file_that_is_none_is_refused_as_a_whole(form: str, text: str, message: str) -> None:
    """Without names of columns, or a header, no row can be read."""
    with pytest.raises(InvalidEvent, match=message):
        rows(form, text)


def test_the_format_is_that_of_the_suffix_or_the_named_one() -> None:
    """An unknown one is refused with the ones that there are."""
    assert format_of(Path("a.TSV"), None) == "tsv"
    assert format_of(Path("a.txt"), "csv") == "csv"
    with pytest.raises(ConfigError, match="say --format, one of jsonl, csv, tsv, avro"):
        format_of(Path("a.txt"), None)
    with pytest.raises(ConfigError, match="--format is 'xml'"):
        format_of(Path("a.txt"), "xml")


TEXTS = {"user": "2", "email": "2@example.org", "created": "2011-01-11T19:50:40.620Z", "reputation": "101", "views": ""}


def test_texts_are_read_by_the_types_of_the_schema() -> None:
    """An empty cell is the field's default."""
    data = Converter(UserSignup, texts=True)(TEXTS)
    assert data == UserSignup(user="2", email="2@example.org", created=CREATED, reputation=101)


def test_a_column_that_somebody_else_reads_need_not_be_a_field() -> None:
    """It is passed over; any other one is a mistake as ever."""
    convert = Converter(UserSignup, texts=True, besides=["number", "email"])
    assert convert({"user": "u1", "email": "e", "number": "7"}) == UserSignup(user="u1", email="e")
    with pytest.raises(InvalidEvent, match=r"column 'at' is no field of user\.signup"):
        convert({"user": "u1", "email": "e", "at": "x"})


def test_json_is_read_by_the_types_of_the_schema() -> None:
    """Times are texts in JSON; numbers are not."""
    convert = Converter(UserSignup, texts=False)
    values = {"user": "2", "email": "e", "created": "2011-01-11T19:50:40.620Z", "last_seen": None, "views": 3}
    assert convert(values) == UserSignup(user="2", email="e", created=CREATED, views=3)
    with pytest.raises(InvalidEvent, match=r"column 'views' is '3'; a whole number from -9223372036854775808 to"):
        convert({"user": "2", "email": "e", "views": "3"})
    with pytest.raises(InvalidEvent, match="column 'views' is True; a whole number"):
        convert({"user": "2", "email": "e", "views": True})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"reputation": "many"}, "column 'reputation' is 'many'; a whole number from -9223372036854775808 to "),
        ({"reputation": "1.0"}, "column 'reputation' is '1.0'; a whole number"),
        ({"reputation": "9223372036854775808"}, "column 'reputation' is '9223372036854775808'; a whole number"),
        ({"created": "yesterday"}, "column 'created' is 'yesterday'; an ISO 8601 time with a zone"),
        ({"created": "2011-01-11T19:50:40"}, "column 'created' is '2011-01-11T19:50:40'; an ISO 8601 time with a zone"),
        ({"emial": "e"}, "column 'emial' is no field of user.signup (did you mean email?); its fields are user, "),
        ({"user": None}, "column 'user' is missing; a text was expected"),
        ({"email": "x" * 500}, None),
    ],
)
def test_a_value_that_does_not_fit_is_named(change: dict[str, Any], message: str | None) -> None:
    """Column, value and what was expected."""
    values = {name: value for name, value in {**TEXTS, **change}.items() if value is not None}
    convert = Converter(UserSignup, texts=True)
    if message is None:
        assert isinstance(events(convert, Row(7, values))[0], FileEvent)
    else:
        assert message in problem(convert, values)


THING = {
    "thing": "t", "small": "-1", "large": "+12", "ratio": "1e3", "short": "0.5", "flag": "TRUE", "raw": "AAE=",
    "at": "2011-01-11T19:50:40.620+00:00", "around": "2011-01-11T20:50:40.62+01:00", "colour": "red", "note": "",
    "part": '{"word": "w", "weights": {"a": 1.5}}', "parts": '[{"word": "v", "weights": {}, "seen": null}]',
    "counts": '{"x": 1, "y": null}', "table": "[[1, 2], []]",
}  # fmt: skip


def test_every_kind_of_field_can_be_given_as_text() -> None:
    """Lists, maps and records are JSON in a cell."""
    assert Converter(ThingSet, texts=True)(THING) == ThingSet(
        thing="t", small=-1, large=12, ratio=1000.0, short=0.5, flag=True, raw=b"\x00\x01", at=CREATED, around=CREATED,
        colour="red", part=Part(word="w", weights={"a": 1.5}), parts=(Part(word="v", weights={}),),
        counts={"x": 1, "y": None}, table=((1, 2), ()),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("flag", "yes", "column 'flag' is 'yes'; true or false was expected"),
        ("raw", "???", "column 'raw' is '???'; bytes, in a text as base64, was expected"),
        ("colour", "blue", "column 'colour' is 'blue'; one of red, green was expected"),
        ("ratio", "nan", "column 'ratio' is 'nan'; a number was expected"),
        (
            "table",
            "[[1, true]]",
            "column 'table.1.2' is True; a whole number from -2147483648 to 2147483647 was expected",
        ),
        ("counts", '{"x": "1"}', "column 'counts.x' is '1'; a whole number"),
        ("part", "word", "column 'part' is 'word'; JSON for the record was expected"),
        ("part", '{"word": "w", "weights": {}, "word": "v"}', "column 'word' is there twice"),
        ("part", '{"word": "w"}', "column 'part.weights' is missing; JSON for the map was expected"),
        ("part", '{"word": "w", "weight": {}}', "column 'part' has no field 'weight'"),
        ("parts", '[{"word": "w", "weights": {}, "seen": 1}]', "column 'parts.1.seen' is 1; an ISO 8601 time"),
    ],
)
def test_a_mistake_inside_a_field_is_named_by_its_path(name: str, text: str, message: str) -> None:
    """The same sentence as for a plain field."""
    with pytest.raises(InvalidEvent) as caught:
        Converter(ThingSet, texts=True)({**THING, name: text})
    assert message in str(caught.value)


def test_a_row_of_the_sample_is_a_sign_up_at_its_time() -> None:
    """The sample producer's function, over every row of the demonstration's file."""
    with (ROOT / "ops/data/signups.tsv").open("rb") as file:
        found = events(from_row, *FORMATS["tsv"](file))
    assert len(found) == 500
    first = found[0]
    assert isinstance(first, FileEvent)
    assert (first.time, first.prepared.key) == (CREATED, "2")
    assert len({event.id for event in found if isinstance(event, FileEvent)}) == 500


def test_the_sample_is_part_of_the_real_file() -> None:
    """Every 48th row of the whole, so its source and licence are the same."""
    whole = (ROOT / "tests/data/signups.tsv").read_text(encoding="utf-8").splitlines()
    sample = (ROOT / "ops/data/signups.tsv").read_text(encoding="utf-8").splitlines()
    assert sample == [whole[0], *whole[1::48][:500]]
    assert len(whole) == 24_260


def test_equal_rows_have_equal_ids_whatever_the_file() -> None:
    """So what another file said before is a duplicate; another value gives another id."""
    ids = [
        event.id
        for values in (TEXTS, dict(reversed(TEXTS.items())), {**TEXTS, "reputation": "102"})
        for event in events(Converter(UserSignup, texts=True), Row(1, values))
        if isinstance(event, FileEvent)
    ]
    assert ids[0] == ids[1]
    assert ids[0] != ids[2]


GOOD = {
    "id": "2", "created": "2011-01-11T19:50:40.620", "last_seen": "", "reputation": "1", "views": "1", "up_votes": "1",
    "down_votes": "0",
}  # fmt: skip


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"views": "x"}, "column 'views' is 'x' (ValueError: invalid literal for int()"),
        ({"created": "x"}, "column 'created' is 'x' (ValueError: Invalid isoformat string: 'x')"),
        ({"views": None}, "column 'views' is missing; there are id, created, last_seen, reputation, up_votes, down_v"),
        ({"id": ""}, "the key user.signup.user is ''"),
    ],
)
def test_what_a_function_stumbles_over_is_named(change: dict[str, Any], message: str) -> None:
    """The column that it read last, with its value."""
    values = {name: value for name, value in {**GOOD, **change}.items() if value is not None}
    assert message in problem(from_row, values)


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (None, "it gave None; an event, (event, time) or (event, time, id) was expected"),
        ((UserSignup(user="1", email="e"), "now"), "an event, (event, time) or (event, time, id) was expected"),
        ((UserSignup(user="1", email="e"), CREATED, 7), "an event, (event, time) or (event, time, id) was expected"),
        ((UserSignup(user="1", email="e"), None, ""), "the id of an event is ''; expected 1 to 1024 bytes"),
        ((UserSignup(user="1", email="e"), CREATED.replace(tzinfo=None)), "has no time zone: is it UTC?"),
        (UserRename(user="1", name="n"), "it gave a user.rename; a user.signup was expected"),
        (UserSignup(user="1", email="x" * 2_000_000), "holds 2000022 bytes; an event may hold 1000000"),
        (UserSignup(user="1", email=1), "user.signup.email is 1 (int); expected a string"),  # type: ignore[arg-type]  # that is the mistake
    ],
)
def test_what_a_function_gives_is_checked(made: Any, message: str) -> None:
    """Nothing leaves that would be refused at the handler's door."""
    assert message in problem(lambda _: made, {})


def test_a_function_may_give_several_kinds_of_events() -> None:
    """Where no type was asked for."""
    kinds = [UserSignup(user="1", email="e"), UserRename(user="1", name="n")]
    found = events(lambda row: kinds[row["n"]], Row(1, {"n": 0}), Row(2, {"n": 1}), expected=None)
    codec = codec_of(app())
    assert [codec.decode(event.prepared.value) for event in found if isinstance(event, FileEvent)] == kinds
