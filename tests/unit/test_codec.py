"""The codec: what is written reads back, equal data gives equal bytes, and no bytes can do harm."""

from __future__ import annotations

import io
import json
import math
import struct
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone
from types import MappingProxyType
from typing import Any, ClassVar, Literal

import fastavro
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.codec import AvroCodec, codec_of, prefix_of
from streams.data import EventData, Record
from streams.errors import InvalidEvent, InvalidSchema, SchemaNotFound, StaleTypes, UndecodableRecord, UnsupportedSchema
from streams.schemas.schema_ids import canonical, fingerprint, id_of
from tests.applications import bank
from tests.applications.bank.events import AccountRow
from tests.unit.codec_classes import NAME_1, NAME_2, Part, ThingName1, ThingName2, ThingRow, ThingSet, named

CALM = settings(deadline=None)
"""How long an example takes says nothing on a machine that others use."""
CODEC = AvroCodec([ThingSet, ThingName2], [ThingRow])

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
keys = st.text(st.characters(exclude_categories=["Cs"], min_codepoint=2), min_size=1, max_size=128)
times = st.datetimes(min_value=datetime(1, 1, 2), timezones=st.just(UTC))  # noqa: DTZ001 - the zone is the next argument
doubles = st.floats(allow_nan=False, allow_infinity=False)
parts = st.builds(
    Part,
    word=text,
    weights=st.dictionaries(text, doubles, max_size=3).map(MappingProxyType),
    seen=st.none() | times,
)
things = st.builds(
    ThingSet,
    thing=keys,
    small=st.integers(-(2**31), 2**31 - 1),
    large=st.integers(-(2**63), 2**63 - 1),
    ratio=doubles,
    short=st.floats(allow_nan=False, allow_infinity=False, width=32),
    flag=st.booleans(),
    raw=st.binary(max_size=40),
    at=times,
    around=times.map(lambda time: time.replace(microsecond=time.microsecond // 1000 * 1000)),
    colour=st.sampled_from(["red", "green"]),
    note=st.none() | text,
    part=parts,
    parts=st.lists(parts, max_size=3).map(tuple),
    counts=st.dictionaries(text, st.none() | st.integers(-(2**63), 2**63 - 1), max_size=3).map(MappingProxyType),
    table=st.lists(st.lists(st.integers(-300, 300), max_size=3).map(tuple), max_size=3).map(tuple),
    maybe=st.none() | st.lists(text, max_size=2).map(tuple),
)


def thing(**changes: Any) -> ThingSet:
    base = ThingSet(
        thing="t1",
        small=1,
        large=2,
        ratio=0.5,
        short=0.25,
        flag=True,
        raw=b"\x00",
        at=datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC),
        around=datetime(2026, 1, 2, tzinfo=UTC),
        colour="red",
        part=Part(word="w", weights={"b": 1.0, "a": 2.0}),
        parts=(),
        counts={},
        table=((1,), ()),
    )
    return msgspec.structs.replace(base, **changes)


def row(**changes: Any) -> ThingRow:
    event = thing(**changes)
    return ThingRow(**{name: getattr(event, name) for name in event.__struct_fields__})


@CALM
@given(things)
def test_what_is_written_reads_back(event: ThingSet) -> None:
    """Decoding what was encoded gives equal data, whatever the values of every type."""
    assert event == CODEC.decode(CODEC.encode(event))


zones = st.integers(-14, 14).map(lambda hours: timezone(timedelta(hours=hours)))
loose_times = st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30), timezones=zones)  # noqa: DTZ001 - the zones are here
loose_numbers = doubles | st.just(-0.0) | st.integers(-(2**53), 2**53)
loose_parts = st.builds(
    Part, word=text, weights=st.dictionaries(text, loose_numbers, max_size=4), seen=st.none() | loose_times
)
loose_rows = things.flatmap(
    lambda event: st.builds(
        row,
        **{
            name: st.just(getattr(event, name)) for name in ("thing", "small", "large", "flag", "raw", "colour", "note")
        },
        ratio=loose_numbers,
        short=st.floats(allow_nan=False, allow_infinity=False, width=32) | st.just(-0.0) | st.integers(-(2**24), 2**24),
        at=loose_times,
        around=loose_times.map(lambda time: time.replace(microsecond=time.microsecond // 1000 * 1000)),
        part=loose_parts,
        parts=st.lists(loose_parts, max_size=3),
        counts=st.dictionaries(text, st.none() | st.integers(-(2**63), 2**63 - 1), max_size=4),
        table=st.lists(st.lists(st.integers(-300, 300), max_size=3), max_size=3),
        maybe=st.none() | st.lists(text, max_size=2),
    )
)


@CALM
@given(loose_rows)
def test_a_live_row_is_the_restored_row(live: ThingRow) -> None:
    """Whatever a handler puts into a row, of every type, a table holds what it would hold after a restart."""
    frozen = CODEC.freeze(live)
    assert repr(CODEC.decode_row(ThingRow, CODEC.encode_row(live))) == repr(frozen)
    assert CODEC.freeze(frozen) is frozen
    assert CODEC.encode_row(frozen) == CODEC.encode_row(live)


def test_the_bytes_stay() -> None:
    """What the specification of Avro prescribes is written, whatever library writes it."""
    body = CODEC.encode(ThingName2(thing="k", name="né", rank=-65))[5:]
    assert body == b"\x02k" + b"\x06n\xc3\xa9" + b"\x81\x01" + b"\x00"
    part = CODEC.encode_row(row())[5:]
    assert b"\x02w\x04\x02a" + struct.pack("<d", 2.0) + b"\x02b" + struct.pack("<d", 1.0) + b"\x00\x00" in part


@CALM
@given(things)
def test_writing_again_gives_the_same_bytes(event: ThingSet) -> None:
    """Encoding what was decoded gives the very bytes."""
    value = CODEC.encode(event)
    assert value == CODEC.encode(CODEC.decode(value))


@CALM
@given(st.dictionaries(text, doubles, min_size=2, max_size=5), st.randoms())
def test_the_order_of_a_map_does_not_show(weights: dict[str, float], random: Any) -> None:
    """Two equal maps, filled in different orders, are written alike."""
    names = list(weights)
    random.shuffle(names)
    first, second = Part(word="", weights=weights), Part(word="", weights={name: weights[name] for name in names})
    assert CODEC.encode(thing(part=first)) == CODEC.encode(thing(part=second))


def test_equal_numbers_are_written_alike() -> None:
    """-0.0 is written as 0.0, and a whole number in a float field as that float."""
    assert CODEC.encode(thing(ratio=0.0, short=2.0)) == CODEC.encode(thing(ratio=-0.0, short=2))


def test_a_time_is_the_same_in_every_zone() -> None:
    """One moment, given in two zones, is written alike."""
    east = datetime(2026, 1, 2, 5, tzinfo=timezone(timedelta(hours=2)))
    assert CODEC.encode(thing(at=east)) == CODEC.encode(thing(at=datetime(2026, 1, 2, 3, tzinfo=UTC)))


@pytest.mark.parametrize(
    ("changes", "path", "expected"),
    [
        ({"thing": 7}, "thing.set.thing", "a string"),
        ({"thing": "\ud800"}, "thing.set.thing", "UTF-8"),
        ({"small": 2**31}, "thing.set.small", "a whole number from -2147483648 to 2147483647"),
        ({"small": True}, "thing.set.small", "a whole number"),
        ({"small": 1.0}, "thing.set.small", "a whole number"),
        ({"large": -(2**63) - 1}, "thing.set.large", "a whole number"),
        ({"ratio": float("nan")}, "thing.set.ratio", "not NaN"),
        ({"ratio": float("inf")}, "thing.set.ratio", "neither NaN nor infinite"),
        ({"short": float("-inf")}, "thing.set.short", "neither NaN nor infinite"),
        ({"part": Part(word="w", weights={"a": math.inf})}, "thing.set.part.weights{}", "neither NaN nor infinite"),
        ({"ratio": 2**53 + 1}, "thing.set.ratio", "a number"),
        ({"ratio": True}, "thing.set.ratio", "a number"),
        ({"short": 0.1}, "thing.set.short", "32 bits hold exactly"),
        ({"short": 1e300}, "thing.set.short", "32 bits"),
        ({"flag": 1}, "thing.set.flag", "True or False"),
        ({"raw": "text"}, "thing.set.raw", "bytes"),
        ({"at": datetime(2026, 1, 1)}, "thing.set.at", "a time zone"),  # noqa: DTZ001 - the fault that is refused
        ({"around": datetime(2026, 1, 1, microsecond=1, tzinfo=UTC)}, "thing.set.around", "whole milliseconds"),
        ({"colour": "blue"}, "thing.set.colour", "one of red, green"),
        ({"note": 1}, "thing.set.note", "a string"),
        ({"part": None}, "thing.set.part", "a Part"),
        ({"part": thing()}, "thing.set.part", "a Part"),
        ({"part": Part(word="w", weights={"a": "1"})}, "thing.set.part.weights{}", "a number"),  # type: ignore[dict-item]  # the fault that is refused
        ({"parts": (Part(word=1, weights={}),)}, "thing.set.parts[].word", "a string"),  # type: ignore[arg-type]  # the fault that is refused
        ({"parts": "no"}, "thing.set.parts", "a tuple"),
        ({"counts": {1: 1}}, "a key of thing.set.counts", "a string"),
        ({"counts": [1]}, "thing.set.counts", "a mapping"),
        ({"table": ((None,),)}, "thing.set.table[][]", "a whole number"),
    ],
)
def test_wrong_data_is_refused_by_name(changes: dict[str, Any], path: str, expected: str) -> None:
    """A value of a wrong type or range is refused with its path, itself and what was expected."""
    with pytest.raises(InvalidEvent) as caught:
        CODEC.encode(thing(**changes))
    assert str(caught.value).startswith(f"{path} is ")
    assert expected in str(caught.value)


def test_a_refusal_is_short() -> None:
    """A value of a megabyte is cut in the message."""
    with pytest.raises(InvalidEvent) as caught:
        CODEC.encode(thing(small="x" * 1_000_000))
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize("key", ["", "\x00a", "\x01a", "x" * 513, "ü" * 257])
def test_a_bad_key_is_refused_both_ways(key: str) -> None:
    """A key that is empty, too long or reserved can be neither written nor read; the message names the field."""
    with pytest.raises(InvalidEvent, match=r"the key thing\.name\.thing is "):
        CODEC.encode(ThingName2(thing=key))
    good = CODEC.encode(ThingName2(thing="k"))
    body = io.BytesIO()
    fastavro.schemaless_writer(body, fastavro.parse_schema(json.loads(NAME_2)), {"thing": key})
    with pytest.raises(InvalidEvent, match=r"the key thing\.name\.thing is "):
        CODEC.decode(good[:5] + body.getvalue())


@pytest.mark.parametrize("key", ["x" * 512, "ü" * 256, "\x02", "\U0001f600" * 128])
def test_a_long_key_is_a_key(key: str) -> None:
    """512 bytes are a key, and so is any first byte above 0x01."""
    assert key == CODEC.decode(CODEC.encode(ThingName2(thing=key))).key


@settings(CALM, max_examples=200)
@given(st.binary(max_size=200), st.sampled_from([ThingSet.schemas[0], NAME_1, NAME_2]))
def test_random_bytes_do_no_harm(body: bytes, schema: str) -> None:
    """Any bytes behind a known id give data or one of three errors, nothing else."""
    harmless(b"\x00" + id_of(canonical(json.loads(schema))).to_bytes(4, "big") + body)


@settings(CALM, max_examples=200)
@given(things, st.data())
def test_damaged_bytes_do_no_harm(event: ThingSet, data: st.DataObject) -> None:
    """Valid bytes with bytes changed, cut or put in give data or one of three errors, nothing else."""
    value = bytearray(CODEC.encode(event))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(value)))
        value[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    harmless(bytes(value))


def harmless(value: bytes) -> None:
    try:
        data = CODEC.decode(value)
    except (InvalidEvent, UnsupportedSchema, UndecodableRecord):
        return
    assert data == CODEC.decode(CODEC.encode(data))


def every_length(number: int) -> bytes:
    """`number` as Avro writes it."""
    body = io.BytesIO()
    fastavro.schemaless_writer(body, "long", number)
    return body.getvalue()


@pytest.mark.parametrize("length", [2**20, 2**31, 2**62, -1, -(2**63)])
def test_an_absurd_length_costs_nothing(length: int) -> None:
    """A length or count far beyond the bytes is one error, not memory or time."""
    prefix = CODEC.encode(thing())[:5]
    with pytest.raises(UndecodableRecord, match=f"Expected {length} bytes, read 0"):
        CODEC.decode(prefix + every_length(length))
    with pytest.raises(UndecodableRecord, match=r"do not read as thing\.name v1"):
        CODEC.decode(damaged_count(length))


def damaged_count(count: int) -> bytes:
    """A `thing.name` v1 whose array claims `count` items, with none behind."""
    prefix = b"\x00" + id_of(canonical(json.loads(NAME_1))).to_bytes(4, "big")
    return prefix + b"\x02k" + b"\x00" + every_length(count)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (b"", "begins with nothing"),
        (b"\x00\x01", "begins with 00 01"),
        (b'{"user": "u1"}', "begins with 7b 22"),
        (b"\x00\xff\xff\xff\xff", "begins with 00 ff"),
    ],
)
def test_what_is_not_framed_is_undecodable(value: bytes, words: str) -> None:
    """A value that cannot be ours (no frame, or an id of 32 bits) is set aside, it waits for no schema."""
    with pytest.raises(UndecodableRecord, match=words):
        CODEC.decode(value)


def test_a_byte_too_many_is_undecodable() -> None:
    """Bytes behind the body mean that it is not what its schema id says."""
    with pytest.raises(UndecodableRecord, match="1 bytes are left over"):
        CODEC.decode(CODEC.encode(thing()) + b"\x00")


@pytest.mark.parametrize(
    ("field", "bits"),
    [("ratio", struct.pack("<d", float("nan"))), ("short", struct.pack("<f", float("nan")))],
)
def test_nan_cannot_come_in(field: str, bits: bytes) -> None:
    """A foreign record with NaN is undecodable, as a row could not hold it."""
    value = CODEC.encode(thing(**{field: 123456.0}))
    there = struct.pack("<d" if field == "ratio" else "<f", 123456.0)
    with pytest.raises(UndecodableRecord, match="NaN"):
        CODEC.decode(value.replace(there, bits))


@pytest.mark.parametrize(
    ("field", "there", "bits"),
    [
        ("ratio", struct.pack("<d", 123456.0), struct.pack("<d", math.inf)),
        ("short", struct.pack("<f", 123456.0), struct.pack("<f", -math.inf)),
    ],
)
def test_an_infinite_number_comes_in_no_more_but_is_read(field: str, there: bytes, bits: bytes) -> None:
    """A log of before may hold it, so it is decoded; the two ways that take events from outside refuse it."""
    value = CODEC.encode(thing(**{field: 123456.0})).replace(there, bits)
    event = CODEC.decode(value)
    assert math.isinf(getattr(event, field))
    with pytest.raises(InvalidEvent, match=f"thing.set.{field} is -?inf .* neither NaN nor infinite"):
        CODEC.check_arrived(event)
    reader = CODEC.event_reader(value[:5])
    assert reader is not None
    with pytest.raises(InvalidEvent, match="neither NaN nor infinite"):
        reader.read(value, 5)


def test_a_negative_zero_comes_in_as_zero() -> None:
    """A foreign -0.0 is 0.0 for handlers too, so that equal rows are written alike."""
    value = CODEC.encode(thing(ratio=123456.0)).replace(struct.pack("<d", 123456.0), struct.pack("<d", -0.0))
    event = CODEC.decode(value)
    assert isinstance(event, ThingSet)
    assert str(event.ratio) == "0.0"


def test_an_int_of_64_bits_is_undecodable() -> None:
    """A number that an int field cannot hold is refused at the door, not when a row would be written."""
    schema = id_of(canonical(json.loads(NAME_2))).to_bytes(4, "big")
    with pytest.raises(UndecodableRecord, match=r"thing\.name\.rank is 4294967296 .* a whole number from"):
        CODEC.decode(b"\x00" + schema + b"\x02k\x00" + every_length(2**32) + b"\x00")


def test_an_unknown_id_is_named() -> None:
    """A schema id that nobody knows is reported with the id, for the partition waits for it."""
    with pytest.raises(SchemaNotFound, match="schema id 77") as caught:
        CODEC.decode(b"\x00\x00\x00\x00\x4d")
    assert caught.value.schema_id == 77


def test_an_older_version_reads_as_the_newest() -> None:
    """A record of version 1 gives the class of version 2: renamed by alias, removed read over, new by default."""
    old = AvroCodec([ThingName1], [])
    event = ThingName1(thing="k", title="a title", gone=(Part(word="w", weights={"a": 1.0}),), rank=3)
    assert ThingName2(thing="k", name="a title", rank=3) == CODEC.decode(old.encode(event))


MOVED_ENUM = {"type": "enum", "name": "Kind", "symbols": ["other", "old"], "default": "other"}
MOVED_PART = {
    "type": "record",
    "name": "Inner",
    "fields": [
        {"name": "label", "type": "string", "aliases": ["name"]},
        {"name": "kind", "type": MOVED_ENUM},
        {"name": "more", "type": "string", "default": "new"},
    ],
}


class Inner(Record, frozen=True, kw_only=True):
    label: str
    kind: Literal["other", "old"]
    more: str = "new"


class Moved(EventData, frozen=True, kw_only=True):
    event_type: ClassVar[str] = "thing.name"
    key_field: ClassVar[str] = "thing"
    schemas: ClassVar[tuple[str, ...]] = (
        named(
            [
                {"name": "thing", "type": "string"},
                {"name": "one", "type": ["null", MOVED_PART], "default": None},
                {"name": "many", "type": {"type": "array", "items": "Inner"}},
                {"name": "by", "type": {"type": "map", "values": ["null", "Inner"]}},
                {"name": "ratio", "type": "double"},
                {"name": "seal", "type": "bytes", "default": "\u00ff"},
            ],
            version=2,
        ),
    )

    thing: str
    many: tuple[Inner, ...]
    by: Mapping[str, Inner | None]
    ratio: float
    one: Inner | None = None
    seal: bytes = b"\xff"


def test_versions_differ_at_any_depth() -> None:
    """Inside arrays, maps and nullable records: names by alias, unknown symbols and missing fields by default."""
    kinds = {"type": "enum", "name": "Kind", "symbols": ["old", "odd"]}
    inner = {
        "type": "record",
        "name": "Inner",
        "fields": [{"name": "name", "type": "string"}, {"name": "kind", "type": kinds}],
    }
    older = named(
        [
            {"name": "ratio", "type": "long"},
            {"name": "many", "type": {"type": "array", "items": inner}},
            {"name": "one", "type": ["null", "Inner"], "default": None},
            {"name": "thing", "type": "string"},
            {"name": "by", "type": {"type": "map", "values": ["null", "Inner"]}},
        ]
    )
    data = {"name": "a", "kind": "odd"}
    written = {"ratio": 3, "many": [data], "one": data, "thing": "k", "by": {"z": data, "y": None}}
    found = read_as(Moved, older, written)
    moved = Inner(label="a", kind="other")
    assert Moved(thing="k", many=(moved,), by={"y": None, "z": moved}, ratio=3.0, one=moved) == found
    assert "ratio=3.0" in repr(found)


def test_a_name_may_change_hands() -> None:
    """A field that took over the former name of another one is that field for whoever knows no alias any more."""
    newer = named(
        [{"name": "thing", "type": "string"}, {"name": "name", "type": "string"}, {"name": "title", "type": "string"}]
    )
    assert ThingName2(thing="k", name="n") == read_as(ThingName2, newer, {"thing": "k", "name": "n", "title": "t"})


def test_null_may_stand_second() -> None:
    """The order of a union is the schema's own."""
    schema = named([{"name": "thing", "type": "string"}, {"name": "title", "type": ["string", "null"], "default": "x"}])

    class Titled(EventData, frozen=True, kw_only=True):
        event_type: ClassVar[str] = "thing.name"
        key_field: ClassVar[str] = "thing"
        schemas: ClassVar[tuple[str, ...]] = (schema,)

        thing: str
        title: str | None = "x"

    for title in ("t", None):
        assert Titled(thing="k", title=title) == read_as(Titled, schema, {"thing": "k", "title": title})
        assert Titled(thing="k", title=title) == AvroCodec([Titled], []).decode(
            AvroCodec([], []).encode(Titled(thing="k", title=title))
        )


def read_as(cls: type[EventData], schema: str, written: dict[str, Any]) -> EventData:
    """What a codec for `cls` makes of a record that another program wrote by `schema`."""
    body = io.BytesIO()
    fastavro.schemaless_writer(body, json.loads(schema), written)
    codec = AvroCodec([cls], [])
    return codec.decode(prefix_of(codec.add_schema(schema)) + body.getvalue())


def test_a_newer_version_is_learned_while_running() -> None:
    """A record of version 2 waits in an application of version 1 until the schema arrives, then reads."""
    old = AvroCodec([ThingName1], [])
    value = CODEC.encode(ThingName2(thing="k", name="n", rank=3))
    with pytest.raises(SchemaNotFound):
        old.decode(value)
    assert old.add_schema(NAME_2) == int.from_bytes(value[1:5], "big")
    assert ThingName1(thing="k", rank=3) == old.decode(value)


def test_an_event_without_a_handler_is_named() -> None:
    """A schema of an event that this application does not handle is remembered; its records wait, by name."""
    codec = AvroCodec([ThingSet], [])
    schema_id = codec.add_schema(NAME_1)
    assert codec.schema_ids()[schema_id] == "thing.name"
    with pytest.raises(UnsupportedSchema, match=r"thing\.name .* has no handler in this application"):
        codec.decode(AvroCodec([ThingName1], []).encode(ThingName1(thing="k")))


def test_an_event_for_others_is_written_and_not_read() -> None:
    """An emission for another application can be encoded; it does not become decodable here by that."""
    codec = AvroCodec([ThingSet], [])
    value = codec.encode(ThingName1(thing="k"))
    assert ThingName1(thing="k") == AvroCodec([ThingName1], []).decode(value)
    with pytest.raises(UnsupportedSchema, match="no handler"):
        codec.decode(value)


def test_a_copy_learns_on_its_own() -> None:
    """It reads and writes as the first one does, and what it learns later the first one does not know."""
    codec = AvroCodec([ThingSet], [ThingRow])
    copy = codec.copy()
    assert copy.schema_ids() == codec.schema_ids()
    schema_id = copy.add_schema(ThingName1.schemas[0])
    assert schema_id in copy.schema_ids().keys() - codec.schema_ids().keys()


def test_codecs_of_one_application_share_what_is_compiled_and_learn_on_their_own() -> None:
    """A process asks for several, and its tests for thousands; what one of them is told is not known to the next."""
    first, second = codec_of(bank.app()), codec_of(bank.app())
    assert first.settler(AccountRow) is second.settler(AccountRow)
    added = first.add_schema(ThingSet.schemas[0])
    assert added in first.schema_ids()
    assert added not in {**second.schema_ids(), **codec_of(bank.app()).schema_ids()}


def test_a_version_that_cannot_be_read_blocks() -> None:
    """A newer schema that breaks the rules is no reason to set records aside: they block until their version is deployed."""
    codec = AvroCodec([ThingName1], [])
    broken = named([{"name": "thing", "type": "string"}, {"name": "rank", "type": "string"}], version=3)
    schema_id = codec.add_schema(broken)
    with pytest.raises(UnsupportedSchema, match=r"thing\.name\.rank is of type string in one version and int"):
        codec.decode(b"\x00" + schema_id.to_bytes(4, "big") + b"\x02k\x02x")


def test_an_event_that_was_about_another_entity_blocks() -> None:
    """A draft that changed its key field: in a table, a timer and a call its events lie under keys that are not this code's."""
    codec = AvroCodec([ThingName1], [])
    fields = [{"name": name, "type": "string", "default": ""} for name in ("thing", "other")]
    about = {key: codec.add_schema(named(fields, key=key)) for key in ("thing", "other", "")}
    values = {key: b"\x00" + schema_id.to_bytes(4, "big") + b"\x02k\x02x" for key, schema_id in about.items()}
    assert {codec.decode(values["thing"]).key, codec.decode(values[""]).key} == {"k"}
    with pytest.raises(UnsupportedSchema, match=r"\"key\" of thing\.name is 'other' there and 'thing' here"):
        codec.decode(values["other"])


def test_a_schema_beyond_ours_is_refused() -> None:
    """A text that is no schema, or uses what we left out, cannot be learned."""
    with pytest.raises(InvalidSchema, match="no JSON"):
        CODEC.add_schema("{")
    with pytest.raises(InvalidSchema, match="logicalType 'uuid'"):
        CODEC.add_schema(named([{"name": "thing", "type": {"type": "string", "logicalType": "uuid"}}]))


def test_a_class_that_differs_from_its_schema_is_stale() -> None:
    """A class whose fields are not those of its schema is found when the codec is made."""

    class ThingName(ThingName1, frozen=True, kw_only=True):
        more: int = 0

    with pytest.raises(StaleTypes, match="differ in more"):
        AvroCodec([ThingName], [])


def test_the_fingerprint_is_the_writers() -> None:
    """The log carries the full fingerprint of the schema that wrote the value."""
    value = AvroCodec([ThingName1], []).encode(ThingName1(thing="k"))
    assert fingerprint(canonical(json.loads(NAME_1))) == CODEC.fingerprint(value)
    assert canonical(json.loads(NAME_1)) == CODEC.schema_text(int.from_bytes(value[1:5], "big"))
    with pytest.raises(SchemaNotFound):
        CODEC.fingerprint(b"\x00\x00\x00\x00\x01")
    with pytest.raises(SchemaNotFound):
        CODEC.schema_text(1)


def test_a_schema_that_another_thread_adds_is_unknown_or_known() -> None:
    """Never of the wrong kind: then its event would be quarantined, an unknown one waits. A restore shares the live codec."""
    value, interval = AvroCodec([ThingName2], []).encode(ThingName2(thing="k", name="n", rank=3)), sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for _ in range(50):
            codec = AvroCodec([ThingName1], [])
            adding = threading.Thread(target=codec.add_schema, args=(NAME_2,))
            adding.start()
            read: EventData | None = None
            while read is None:
                with suppress(SchemaNotFound):
                    read = codec.decode(value)
            adding.join()
            assert read == ThingName1(thing="k", rank=3)
    finally:
        sys.setswitchinterval(interval)


def test_a_row_reads_as_its_own_class_only() -> None:
    """A row reads back; as the row of another class, or as an event, it does not."""
    value = CODEC.encode_row(row())
    assert CODEC.freeze(row()) == CODEC.decode_row(ThingRow, value)
    with pytest.raises(UndecodableRecord, match="expected a Part"):
        CODEC.decode_row(Part, value)
    with pytest.raises(UndecodableRecord, match="does not belong here"):
        CODEC.decode(value)
    with pytest.raises(UndecodableRecord, match="does not belong here"):
        CODEC.decode_row(ThingRow, CODEC.encode(thing()))


def test_a_frozen_row_is_the_restored_row() -> None:
    """What a table holds live is what it would hold after a restart: types, zones and order of maps too."""
    east = timezone(timedelta(hours=2))
    part = Part(word="w", weights={"b": -0.0, "a": 3}, seen=datetime(2026, 1, 1, tzinfo=east))
    live = row(ratio=1, short=-0.0, parts=[part], counts={"z": 1, "é": None, "a": 2}, table=[[1], (2,)], maybe=["x"])
    frozen = CODEC.freeze(live)
    assert repr(CODEC.decode_row(ThingRow, CODEC.encode_row(live))) == repr(frozen)
    assert CODEC.encode_row(live) == CODEC.encode_row(frozen)


def test_a_frozen_row_stays_itself() -> None:
    """Freezing what is frozen costs no new row."""
    frozen = CODEC.freeze(row(parts=(Part(word="w", weights={"b": 1.0, "a": 2.0}),)))
    assert CODEC.freeze(frozen) is frozen


def test_a_map_in_a_frozen_row_cannot_be_changed() -> None:
    """A dict that a handler put into a row is out of its hands afterwards."""
    counts: dict[str, int | None] = {"a": 1}
    frozen = CODEC.freeze(row(counts=counts))
    assert isinstance(frozen, ThingRow)
    counts["a"] = 2
    assert dict(frozen.counts) == {"a": 1}
    with pytest.raises(TypeError):
        frozen.counts["a"] = 3  # type: ignore[index]  # what a handler may try


def test_freezing_leaves_mistakes_for_the_writer() -> None:
    """A wrong value passes the freezer, so that one place only refuses it, by name."""
    wrong = row(at="yesterday", counts=7, parts=None, part="p", ratio="x")
    with pytest.raises(InvalidEvent, match=r"thing\.row\."):
        CODEC.encode_row(CODEC.freeze(wrong))


def test_a_class_without_a_schema_cannot_be_written() -> None:
    """A part of a row is no row: the message says where classes come from."""
    with pytest.raises(InvalidEvent, match="retold schemas generate"):
        CODEC.encode_row(Part(word="w", weights={}))


@pytest.mark.parametrize("event", [thing(), ThingName2(thing="k", name="n", rank=300)])
def test_a_record_cut_anywhere_is_undecodable(event: ThingSet | ThingName2) -> None:
    """A value that lost its end, at whatever byte, is never taken for another event."""
    value = CODEC.encode(event)
    for length in range(5, len(value)):
        with pytest.raises(UndecodableRecord):
            CODEC.decode(value[:length])


def test_schemas_are_listed_while_others_are_added() -> None:
    """By a server's threads, which learn them from Kafka: each that is listed has its text."""
    codec, seen, before = AvroCodec([ThingSet], []), set[int](), sys.getswitchinterval()
    key = {"name": "k", "type": "string"}
    texts = [json.dumps({"type": "record", "name": f"other.set{n}", "key": "k", "fields": [key]}) for n in range(1_000)]
    adding = threading.Thread(target=lambda: [codec.add_schema(text) for text in texts])
    sys.setswitchinterval(1e-6)
    try:
        adding.start()
        while adding.is_alive():
            seen |= {schema_id for schema_id in codec.schema_ids() if codec.schema_text(schema_id)}
    finally:
        sys.setswitchinterval(before)
        adding.join()
    assert (len(codec.schema_ids()), seen <= codec.schema_ids().keys()) == (1_001, True)
