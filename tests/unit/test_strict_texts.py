"""Foreign text is read as a strict reader of its format reads it: whatever else Python would take is refused."""

from __future__ import annotations

import io
import json
import os
from typing import Any

import fastavro
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from streams.cli.commands.publish_file import EventFile, publish_events
from streams.codec import AvroCodec
from streams.errors import InvalidEvent
from streams.eventfiles.convert import Converter
from streams.eventfiles.file_events import EventMaker
from streams.eventfiles.rows import FORMATS, Row
from tests.applications.bank.events import AccountOpen
from tests.unit.codec_classes import ThingSet
from tests.unit.test_sources import THING


def rows(form: str, text: str | bytes) -> list[Row]:
    return list(FORMATS[form](io.BytesIO(text.encode() if isinstance(text, str) else text)))


NUMBERS = ["1_000", " 1", "1 ", "1\n", "\u0661", "\uff11", "", "-", "0x10", "1,5", "1 000"]


@pytest.mark.parametrize(
    ("name", "texts"),
    [
        ("small", [*NUMBERS, "1.0", "1e3", "²"]),
        ("ratio", [*NUMBERS, "inf", "-Infinity", "nan", "1e400", "1e-400", "9007199254740993", "e5", ".", "1e", "1e1.5"]),
        ("ratio", ["100000000000000000001", "1" * 400]),
        ("flag", ["1", "yes", " true", "true ", "t"]),
        ("raw", ["AAF=", "AAE", " AAE=", "AA E=", "AAE=\n", "_-8="]),
        (
            "at",
            [
                "2011-01-11T19:50:40.123456789Z", "2011-01-11T19:50:40.1234567+00:00", "2011-W02-2T19:50:40Z",
                "2011-01-11T19:50:40,5Z", "2011-01-11x19:50:40Z", "20110111T195040Z", "2011-01-11", "2011-01-11T19:50:40",
                " 2011-01-11T19:50:40Z", "2011-01-11T19:50:40Z\n", "2011-011T19:50:40Z", "2011-01-11T19:50:60Z",
                "2011-01-11T24:00:00Z", "2011-01-11T19:50:40+01:75", "2011-01-11T19:50:40+01:00:30", "2011-02-30T00:00:00Z",
                "2011-01-11T19:50:40.Z", "\uff11011-01-11T19:50:40Z",
            ],
        ),
    ],
)  # fmt: skip
def test_what_only_python_takes_is_refused(name: str, texts: list[str]) -> None:
    """It would be another value than the file says, or one for two that differ."""
    for text in texts:
        with pytest.raises(InvalidEvent, match=f"column '{name}' is "):
            Converter(ThingSet, texts=True)({**THING, name: text})


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("ratio", "-1.5e-3", -0.0015),
        ("ratio", "0", 0.0),
        ("ratio", "0.0e-999", 0.0),
        ("ratio", "9007199254740992", 2.0**53),
        ("ratio", "0.1", 0.1),
        ("ratio", "100000000000000000000", 1e20),
        ("at", "2011-01-11T19:50:40.620000000Z", None),
        ("at", "2011-01-11 19:50:40.62+00:00", None),
        ("at", "2011-01-11t19:50:40.620z", None),
    ],
)
def test_what_a_strict_reader_takes_is_taken(name: str, text: str, value: Any) -> None:
    """More digits than microseconds are taken if they are 0, since nothing is lost."""
    convert = Converter(ThingSet, texts=True)
    expected = convert(THING).at if value is None else value
    assert getattr(convert({**THING, name: text}), name) == expected


@pytest.mark.parametrize("text", ["1e400", "-1e400", "1e-400"])
def test_a_number_of_json_that_no_double_holds_is_refused(text: str) -> None:
    """Python reads infinity, or 0."""
    [row] = rows("jsonl", f'{{"a": {text}}}')
    assert row.problem == f"the number {text} is too large or too small to keep"
    with pytest.raises(InvalidEvent):
        Converter(ThingSet, texts=True)({**THING, "part": f'{{"word": "w", "weights": {{"a": {text}}}}}'})


def test_a_whole_number_of_json_is_a_double_if_it_loses_nothing() -> None:
    """One of hundreds of digits raised an OverflowError, which is no answer over HTTP."""

    def given(number: int) -> Any:
        part = json.loads(f'{{"word": "w", "weights": {{"a": {number}}}}}')
        data = Converter(ThingSet, texts=True)(THING)
        made = Converter(ThingSet, texts=False)({**structs.asdict(data), "part": part, "parts": []})
        frozen: Any = AvroCodec([ThingSet], []).encode_frozen(made)[0]
        return frozen.part.weights["a"]

    assert [given(10**20), given(2**60)] == [1e20, 2.0**60]
    for number in (10**400, 10**20 + 1, 2**53 + 1):
        with pytest.raises(InvalidEvent, match="a number"):
            given(number)


def test_a_quote_is_a_letter_in_tsv() -> None:
    """IANA's text/tab-separated-values quotes nothing: a name may begin with a quote, and no quote swallows lines."""
    text = 'a\tb\n"nice" tea\t5" disk\n"open\t"all"\n""\t\'\n'
    assert rows("tsv", text) == [
        Row(2, {"a": '"nice" tea', "b": '5" disk'}), Row(3, {"a": '"open', "b": '"all"'}), Row(4, {"a": '""', "b": "'"}),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("form", "broken", "problem"),
    [
        ("csv", '5" disk,x', "column 2: this does not read: a quote in a field without quotes"),
        ("csv", ' "a",x', "column 2: this does not read: a quote in a field without quotes"),
        ("csv", '"a" ,x', "column 4: this does not read: a comma was expected"),
        ("csv", '"a"b,x', "column 4: this does not read: a comma was expected"),
        ("csv", 'x,"a"b', "column 6: this does not read: a comma was expected"),
        ("csv", "a\0,x", "column 2: a NUL is no text"),
        ("tsv", "a\t\0", "column 3: a NUL is no text"),
        ("csv", '"a\0",x', "column 3: a NUL is no text"),
        ("csv", "a\rb,x", "column 2: a carriage return without a line feed ends no line"),
        ("tsv", "a\tb\rc", "column 4: a carriage return without a line feed ends no line"),
        ("csv", '"a",b\rc', "column 6: a carriage return without a line feed ends no line"),
        ("csv", "\ufeffa,x", "column 1: a byte order mark belongs at the beginning of a file"),
        ("tsv", "\ufeffa\tx", "column 1: a byte order mark belongs at the beginning of a file"),
        ("jsonl", '\ufeff{"a": 1}', "column 1: this is no JSON"),
        ("jsonl", '\x0c{"a": 1}', "column 1: this is no JSON"),
        ("jsonl", "\x0b", "column 1: this is no JSON"),
        ("jsonl", '{"a": "\0"}', "column 8: this is no JSON"),
        ("jsonl", '{"a": {"b": 1, "b": 2}}', "column 'b' is there twice"),
        ("jsonl", '{"a": 1}\r{"a": 2}', "column 10: this is no JSON (Extra data)"),
    ],
)  # fmt: skip
def test_a_loose_line_is_refused_and_its_neighbours_are_read(form: str, broken: str, problem: str) -> None:
    """By its number and the column in it."""
    head, good = {"csv": ("a,b\n", "1,2\n"), "tsv": ("a\tb\n", "1\t2\n"), "jsonl": ("", '{"a": "1"}\n')}[form]
    before, found, after = rows(form, f"{head}{good}{broken}\n{good}")
    assert (before.values, before.problem, after.problem) == (after.values, None, None)
    assert found.line == (2 if form == "jsonl" else 3)
    assert problem in (found.problem or "")


@pytest.mark.parametrize("form", ["csv", "tsv"])
@pytest.mark.parametrize("first", ["a,b\r1,2\r", "a\0,b\n", '"a,b\n1,2\n', "a\tb\r1\t2\r"])
def test_a_first_line_that_does_not_read_ends_the_file(form: str, first: str) -> None:
    """Such as one with the ends of lines of an old Macintosh: the file would be one line."""
    if form == "tsv" and first.startswith('"'):
        return
    with pytest.raises(InvalidEvent, match=r"line 1, which names the columns, does not read: column \d+: "):
        rows(form, first)


def test_a_wrong_byte_in_a_quoted_field_breaks_its_row_and_no_line_of_it_becomes_a_row() -> None:
    """The rest of the field is text, however much it looks like rows."""
    [broken, good] = rows("csv", b'a,b\n1,"x\n\xff\n3,4\n5,6"\n7,8\n')
    assert (broken.line, broken.problem) == (3, "column 1: the byte 0xff is no UTF-8")
    assert good == Row(6, {"a": "7", "b": "8"})


class Published:
    """Takes what would be published."""

    def __init__(self) -> None:
        self.ids: list[str] = []

    def publish(self, event: Any) -> None:
        self.ids.append(event.id)

    def flush(self) -> None:
        pass


def test_a_quote_that_never_closes_is_not_skipped_with_all_behind_it() -> None:
    """With `--on-error skip` the rest of the file would be left out, and counted as one broken line."""
    text = 'account,balance\na,1\nb,"2\nc,3\nd,4\n'
    codec = AvroCodec([AccountOpen], [])
    maker = EventMaker(Converter(AccountOpen, texts=True), codec, None, 1_000_000)
    there: Any = Published()
    with pytest.raises(InvalidEvent, match=r"a\.csv: nothing from line 3 on could be read, .* 1 event before it were"):
        publish_events(there, EventFile("a.csv", io.BytesIO(text.encode()), "csv", maker, None))
    assert len(there.ids) == 1


def test_an_avro_file_that_is_damaged_says_that_its_rest_is_not_read() -> None:
    """The next block cannot be found, so nothing behind it is skipped as if it were one record."""
    file = io.BytesIO()
    schema = fastavro.parse_schema({"type": "record", "name": "r", "fields": [{"name": "a", "type": "string"}]})
    fastavro.writer(file, schema, [{"a": str(number)} for number in range(9)], sync_interval=1)
    *whole, last = rows("avro", file.getvalue()[:-10])
    assert [row.ends for row in whole] == [False] * len(whole)
    assert last.ends


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('a,b\n1,"x\n2,"y"\n3,z\n', "line 3, column 4: this does not read: a comma was expected"),
        ('a,b\n1,"x\n2,"" y\n3,z"z\n4,z\n', "line 4, column 5: this does not read: a comma was expected"),
        ('a,b\n1,"x\ny",z"z\n3,z\n', "line 3, column 5: this does not read: a quote in a field without quotes"),
        ('a,b\n1,"x\ny","z\n3,z\n', "line 3, column 4: the quote that opens here is never closed"),
        ('a,b\n1,"x\n2,"\0y"\n3,z\n', "line 3, column 4: a NUL is no text"),
    ],
)
def test_what_is_malformed_behind_the_first_line_of_a_record_ends_the_file(text: str, problem: str) -> None:
    """A quote that is not closed ends at the next row's: with `--on-error skip` good rows would be left out, and counted as one."""
    [row] = rows("csv", text)
    assert (row.line, row.values, row.ends) == (2, {}, True)
    assert (row.problem or "").startswith(problem)


def container() -> bytes:
    """Two records in one block of an Avro container without compression."""
    file = io.BytesIO()
    schema = {"type": "record", "name": "r", "fields": [{"name": "a", "type": "string"}]}
    fastavro.writer(file, schema, [{"a": "one"}, {"a": "two"}], sync_marker=b"S" * 16)
    return file.getvalue()


def test_an_avro_block_with_more_than_its_records_is_damaged() -> None:
    """Its count says one, none or fewer than none: the records behind them were left out in silence."""
    head, body = container().split(b"S" * 16, 1)
    assert body[0] == 4  # two, as Avro writes it
    *before, last = rows("avro", head + b"S" * 16 + b"\x02" + body[1:])
    assert ([row.values for row in before], last.ends) == ([{"a": "one"}], True)
    assert "a block holds more than its records" in (last.problem or "")
    for count in (b"\x00", b"\x01"):
        with pytest.raises(InvalidEvent, match=r"the first block of this Avro file does not read .*more than its records"):
            rows("avro", head + b"S" * 16 + count + body[1:])


@pytest.mark.parametrize("inside", ["N", {"type": "map", "values": "N"}, {"type": "array", "items": ["null", "N"]}])
def test_an_avro_file_of_records_inside_themselves_is_refused(inside: Any) -> None:
    """Some thousand of them inside one another ended the process with a segmentation fault."""
    part = {"type": "record", "name": "P", "fields": [{"name": "b", "type": ["null", inside]}]}
    file = io.BytesIO()
    fastavro.writer(file, {"type": "record", "name": "N", "namespace": "x", "fields": [{"name": "a", "type": part}]}, [])
    with pytest.raises(InvalidEvent, match=r"the schema of this Avro file has 'x\.N' inside itself"):
        rows("avro", file.getvalue())


def test_an_avro_container_is_read_from_a_pipe() -> None:
    """Which does not know where it is."""
    reader, writer = os.pipe()
    with os.fdopen(writer, "wb") as into:
        into.write(container())
    with os.fdopen(reader, "rb") as pipe:
        assert [row.values for row in FORMATS["avro"](pipe)] == [{"a": "one"}, {"a": "two"}]


cells = st.text(st.characters(codec="utf-8", exclude_characters="\0"))


def quoted(cell: str, always: bool) -> str:
    special = not cell or cell[0] == "\ufeff" or any(letter in cell for letter in ',"\r\n')
    return '"' + cell.replace('"', '""') + '"' if always or special else cell


@given(st.lists(st.tuples(cells, cells), max_size=6), st.sampled_from(["\n", "\r\n"]), st.booleans())
def test_what_a_writer_of_csv_writes_is_read_as_it_was(table: list[tuple[str, str]], end: str, always: bool) -> None:
    """Whatever is in the fields: quotes, commas, ends of lines, other scripts."""
    text = "".join(",".join(quoted(cell, always) for cell in cells) + end for cells in [("a", "b"), *table])
    assert [row.values for row in rows("csv", text)] == [{"a": one, "b": other} for one, other in table]


plain_cells = st.text(st.characters(codec="utf-8", exclude_characters="\0\t\r\n"), min_size=1)


@given(st.lists(st.tuples(plain_cells, plain_cells), max_size=6))
def test_what_is_in_a_tsv_is_read_as_it_is(table: list[tuple[str, str]]) -> None:
    """Letter by letter."""
    text = "a\tb\n" + "".join(f"{one}\t{other}\n" for one, other in table if not one.startswith("\ufeff"))
    found = [{"a": one, "b": other} for one, other in table if not one.startswith("\ufeff")]
    assert [row.values for row in rows("tsv", text)] == found


@given(st.binary(), st.sampled_from(["csv", "tsv", "jsonl"]))
def test_whatever_the_bytes_every_line_is_a_row_or_a_problem(data: bytes, form: str) -> None:
    """No reader raises anything but a sentence about the file."""
    try:
        found = rows(form, b"a,b\n" + data if form == "csv" else data)
    except InvalidEvent:
        return
    assert all(row.problem is None or row.values == {} for row in found)
    assert [row.line for row in found] == sorted(row.line for row in found)
    json.dumps([row.problem for row in found])
