"""Generated decoders and encoders against the careful ones, which are the reference: values, bytes and errors."""

from __future__ import annotations

import gc
import json
import math
import re
from collections import ChainMap, Counter, OrderedDict, UserDict, defaultdict
from datetime import UTC, datetime, timedelta, timezone
from types import MappingProxyType
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.data import Record
from streams.errors import InvalidEvent
from streams.schemas.avro import AvroType, RecordType, parse
from streams.schemas.binary import Read, reader_of, writer_of
from streams.schemas.classes import item_hint, record_hint, structure_of
from streams.schemas.generated_code import Settle, reader_code, writer_code
from streams.schemas.schema_ids import canonical
from streams.schemas.values import quick_check, record_check
from tests.unit.codec_classes import ThingRow
from tests.unit.test_codec import loose_rows
from tests.unit.test_defaults import Json, built, first_of_names

CALM = settings(deadline=None)
LONGS: Json = {"type": "map", "values": "long"}
PREFIX = b"\0\0\0\0\1"


class Pair(NamedTuple):
    """Of one schema: the careful functions, and the generated ones, which call them."""

    record: RecordType
    cls: type[Record]
    read: Read
    settle: Settle
    fast_read: Read
    fast_settle: Settle


def pair(cls: type[Record]) -> Pair:
    record, text = parse(cls.schemas[-1]), canonical(json.loads(cls.schemas[-1]))
    strict = record_check(record, cls, record.name)
    check, write = quick_check(record, cls, strict), writer_of(text, PREFIX, record, strict)

    def settle(row: Any) -> tuple[Any, bytes]:
        frozen = check(row)
        return frozen, write(frozen)

    read = reader_of(text, record, record, cls)
    fast_read, fast_settle = reader_code(record, cls, read), writer_code(record, cls, PREFIX, settle)
    return Pair(record, cls, read, settle, fast_read.function, fast_settle.function)


def told(function: Any, *arguments: Any) -> tuple[Any, ...]:
    """What it returns, so that 0.0 and -0.0, 1 and True or a list and a tuple are different; or what it raises."""
    try:
        return ("returned", shape(function(*arguments)))
    except Exception as error:  # noqa: BLE001 - whatever it is
        return (type(error), re.sub(" at 0x[0-9a-f]+", "", str(error)))


def shape(value: Any) -> Any:
    if isinstance(value, Record):
        return type(value), {name: shape(getattr(value, name)) for name in value.__struct_fields__}
    if isinstance(value, MappingProxyType | dict):
        return type(value), [(name, shape(item)) for name, item in value.items()]
    if isinstance(value, tuple | list):
        return type(value), [shape(item) for item in value]
    if isinstance(value, datetime):
        return value, value.tzinfo, value.fold
    return type(value), repr(value)


def agree(it: Pair, value: Any) -> None:
    """Encoded alike; and what was encoded is decoded alike, also cut, with more behind it, and with wrong bytes."""
    found = told(it.fast_settle, value)
    assert found == told(it.settle, value)
    if found[0] == "returned":
        _, written = it.settle(value)
        agree_on_bytes(it, written)


def agree_on_bytes(it: Pair, written: bytes) -> None:
    assert told(it.fast_read, written, len(PREFIX)) == told(it.read, written, len(PREFIX))


THINGS = pair(ThingRow)


@CALM
@given(loose_rows)
def test_rows_of_every_type_are_encoded_and_decoded_alike(row: ThingRow) -> None:
    """Whatever a handler puts into them."""
    agree(THINGS, row)


@CALM
@given(loose_rows, st.data())
def test_damaged_bytes_are_read_alike(row: ThingRow, data: st.DataObject) -> None:
    """A byte changed, taken out or put in, or an end cut off or added: the same value, or the same error."""
    written = THINGS.settle(row)[1]
    at = data.draw(st.integers(len(PREFIX), len(written)))
    end = data.draw(st.sampled_from([at, at + 1, len(written)]))
    agree_on_bytes(THINGS, written[:at] + data.draw(st.binary(max_size=11)) + written[end:])


plain_types = st.sampled_from(["string", "bytes", "boolean", "int", "long", "float", "double"])
times = st.sampled_from(["timestamp-micros", "timestamp-millis"]).map(lambda it: {"type": "long", "logicalType": it})
enums = st.lists(st.sampled_from("abcdefgh"), min_size=1, unique=True).map(
    lambda it: {"type": "enum", "name": "Enum", "symbols": it}
)


def nested(inner: st.SearchStrategy[Json]) -> st.SearchStrategy[Json]:
    array = inner.map(lambda it: {"type": "array", "items": it})
    mapped = inner.map(lambda it: {"type": "map", "values": it})
    single = inner.filter(lambda it: not isinstance(it, list))
    maybe = single.map(lambda it: ["null", it]) | single.map(lambda it: [it, "null"])
    fields = st.lists(inner, min_size=1, max_size=4).map(lambda it: [{"name": f"f{n}", "type": kind} for n, kind in enumerate(it)])
    return array | mapped | maybe | fields.map(lambda it: {"type": "record", "name": "Part", "fields": it})


kinds: st.SearchStrategy[Json] = st.recursive(plain_types | times | enums, nested, max_leaves=8)
texts = st.text(max_size=200) | st.just("\ud800")
wholes = st.integers(-70, 70) | st.integers(-(2**15), 2**15) | st.integers(-(2**31) - 1, 2**31) | st.integers(-(2**63) - 1, 2**63)
floats = st.floats() | st.floats(width=32) | st.sampled_from([0.0, -0.0, math.nan, math.inf, 1.0e300])
zones = st.sampled_from([UTC, timezone.utc, None, timezone(timedelta(hours=3))])  # noqa: UP017 - it is the same object
dates = st.datetimes(timezones=zones, allow_imaginary=False) | st.just(datetime(2026, 1, 2, fold=1, tzinfo=UTC))
odd = st.none() | st.booleans() | st.integers(-3, 3) | st.floats() | st.just("") | st.just(b"") | st.just(())
LOOSE: dict[str, st.SearchStrategy[Any]] = {
    "string": texts, "bytes": st.binary(max_size=200), "boolean": st.booleans(), "int": wholes, "long": wholes,
    "float": floats | wholes, "double": floats | wholes, "timestamp-micros": dates, "timestamp-millis": dates,
}  # fmt: skip


def values(kind: AvroType, hint: Any) -> st.SearchStrategy[Any]:
    """Mostly of this type, in whatever form a handler may give."""
    if kind.kind == "enum":
        found: st.SearchStrategy[Any] = st.sampled_from([*kind.symbols, *kind.symbols, "z"])
    elif kind.kind == "array" and kind.item is not None:
        items = st.lists(values(kind.item, item_hint(hint)), max_size=3)
        found = items.map(tuple) | items
    elif kind.kind == "map" and kind.item is not None:
        mapped = st.dictionaries(st.text(max_size=3), values(kind.item, item_hint(hint)), max_size=3)
        found = mapped.map(MappingProxyType) | mapped | mapped.map(lambda it: MappingProxyType(dict(sorted(it.items()))))
    elif kind.record is not None:
        found = records(kind.record, record_hint(hint))
    else:
        found = LOOSE[kind.kind]
    found = found | st.none() if kind.nullable else found
    return st.integers(0, 30).flatmap(lambda n: found if n else odd)


def records(record: RecordType, cls: type[Record]) -> st.SearchStrategy[Record]:
    hints = structure_of(record, cls)
    return st.builds(cls, **{field.name: values(field.type, hints[field.name]) for field in record.fields})


@settings(deadline=None, max_examples=100)
@given(st.lists(kinds, min_size=1, max_size=4), st.data())
def test_every_schema_is_encoded_and_decoded_alike(fields: list[Json], data: st.DataObject) -> None:
    """Of any types within one another; for proper values, for others, and for any bytes."""
    seen = {"row"}
    named = [first_of_names({"name": f"f{n}", "type": kind}, seen) for n, kind in enumerate(fields)]
    it = pair(built({"type": "record", "name": "probe.row", "version": 1, "fields": named}))
    for _ in range(3):
        agree(it, data.draw(records(it.record, it.cls)))
        agree_on_bytes(it, PREFIX + data.draw(st.binary(max_size=30)))


@pytest.mark.parametrize("made", [Counter, OrderedDict, ChainMap, UserDict, lambda it: defaultdict(int, it)])
@pytest.mark.parametrize("size", [0, 2])
def test_a_map_over_another_one_is_as_a_restart_reads_it(made: Any, size: int) -> None:
    """Counter and defaultdict have a value for every name until the row is restored, and defaultdict keeps those asked for."""
    it = pair(built({"type": "record", "name": "probe.row", "version": 1, "fields": [{"name": "f", "type": LONGS}]}))
    for settle in (it.settle, it.settle, it.fast_settle):  # the second time by the shape that the first one has left
        live, written = settle(it.cls(f=MappingProxyType(made({"ab"[at]: at for at in range(size)}))))
        assert [type(inside) for inside in gc.get_referents(live.f)] == [dict]
        assert shape(live) == shape(it.fast_read(written, len(PREFIX)))


KINDS = ["string", "bytes", "boolean", "int", "long", "float", "double", "micros", "millis", "enum", "array", "map", "part"]


def refuse(*_: Any) -> Any:
    raise AssertionError("the careful function is not needed here")


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_common_needs_no_careful_function(kind: str) -> None:
    """Of each type, also where it may be null: without this all that is gained is lost, and nothing would say so."""
    value: Any = {
        "string": "Zoë", "bytes": b"\xff", "boolean": True, "int": -300, "long": 2**40, "float": 0.5, "double": 0.1,
        "micros": datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC), "millis": datetime(1900, 1, 2, tzinfo=UTC), "enum": "b",
        "array": ("a", "b"), "map": MappingProxyType({"a": 1, "b": -1}),
    }.get(kind)  # fmt: skip
    schema: Json = {
        "micros": {"type": "long", "logicalType": "timestamp-micros"},
        "millis": {"type": "long", "logicalType": "timestamp-millis"},
        "enum": {"type": "enum", "name": "Enum", "symbols": ["a", "b"]},
        "array": {"type": "array", "items": "string"},
        "map": {"type": "map", "values": "long"},
        "part": {"type": "record", "name": "Part", "fields": [{"name": "a", "type": "string"}]},
    }.get(kind, kind)
    by_name = "Part" if kind == "part" else "Enum" if kind == "enum" else schema
    fields = [{"name": "f", "type": schema}, {"name": "g", "type": ["null", by_name]}, {"name": "h", "type": [by_name, "null"]}]
    it = pair(built({"type": "record", "name": "probe.row", "version": 1, "fields": fields}))
    if kind == "part":
        value = record_hint(structure_of(it.record, it.cls)["f"])(a="a")
    read = reader_code(it.record, it.cls, refuse).function
    settle = writer_code(it.record, it.cls, PREFIX, refuse).function
    for row in (it.cls(f=value, g=value, h=value), it.cls(f=value, g=None, h=None)):
        found, written = settle(row)
        assert (found is row, written) == (True, it.settle(row)[1])
        assert read(written, len(PREFIX)) == row


def test_a_class_that_does_not_fit_its_schema_is_handled_carefully() -> None:
    """An annotation that says something else than the schema is found by the careful function, and not overlooked."""
    cls = built({"type": "record", "name": "probe.row", "version": 1, "fields": [{"name": "f", "type": "long"}]})
    wrong = type("ProbeRow", (Record,), {"__annotations__": {"f": str}, "schemas": cls.schemas}, frozen=True, kw_only=True)
    it = pair(wrong)
    written = pair(cls).settle(cls(f=1))[1]
    agree_on_bytes(it, written)
    with pytest.raises(Exception, match="Expected `str`, got `int`"):
        it.fast_read(written, len(PREFIX))
    with pytest.raises(InvalidEvent):
        it.fast_settle(wrong(f="a"))


ODD: dict[str, tuple[Any, ...]] = {
    "string": ("\ud800", b"", None), "bytes": ("", bytearray(), None), "boolean": (1, 0, None),
    "int": (2**31, -(2**31) - 1, -(2**31), True, 1.0), "long": (2**63, -(2**63), 2**62, True, 1.0),
    "float": (-0.0, 0.0, math.nan, math.inf, 0.1, 1, 2**25 + 1), "double": (-0.0, 0.0, math.nan, -math.inf, 1, 2**60 + 1),
}  # fmt: skip
RAW = (
    b"\0\0\0\x80", bytes(7) + b"\x80", b"\0\0\xc0\x7f", bytes(6) + b"\xf8\x7f", b"\x02", b"\x01", b"\x80\0",
    b"\x80\x80\x80\x80\x10", b"\xff" * 9 + b"\x01", b"\x03aa",
)  # fmt: skip
"""-0.0 and NaN of both sizes, a wrong boolean, negative, overlong and too large numbers, a length beyond the end."""


@pytest.mark.parametrize("kind", ODD)
def test_each_odd_value_alone_is_handled_alike(kind: str) -> None:
    """Beside another one it would be found only by chance: one uncommon field sends its whole record to the careful functions."""
    it = pair(built({"type": "record", "name": "probe.row", "version": 1, "fields": [{"name": "f", "type": kind}]}))
    for value in ODD[kind]:
        agree(it, it.cls(f=value))
    for raw in RAW:
        agree_on_bytes(it, PREFIX + raw)
