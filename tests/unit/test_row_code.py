"""The generated way from a row's values to an event's bytes gives what the careful one gives: the same events and sentences."""

from __future__ import annotations

import itertools
import json
import math
from datetime import UTC, datetime, timedelta, timezone
from functools import cache
from typing import Any, Literal

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processors.events import UserSignup
from streams.codec import AvroCodec
from streams.data import EventData
from streams.engine.identity import content_id
from streams.engine.times import to_micros
from streams.eventfiles import file_events
from streams.eventfiles.convert import Converter
from streams.eventfiles.file_events import EventMaker, FileEvent
from streams.eventfiles.numbers import COMMON_TIME, TIME
from streams.eventfiles.row import Row
from streams.eventfiles.row_code import row_code
from tests.unit.codec_classes import MICROS, MILLIS, ThingSet
from tests.unit.test_quick_values import MOMENTS, others
from tests.unit.test_quick_values import texts as words
from tests.unit.test_sources import TEXTS, THING

NOON = datetime(2026, 1, 31, 12, 0, 0, 250_000, tzinfo=UTC)
COLOUR = {"type": "enum", "name": "Colour", "symbols": ["red", "green"]}
KINDS: dict[str, tuple[Any, Any, Any, Any, str, Any]] = {
    "string": ("string", str, "Zoë", "Zoë", "Zoë", "Bea"),
    "enum": (COLOUR, Literal["red", "green"], "red", "red", "red", "green"),
    "boolean": ("boolean", bool, True, True, "true", False),
    "int": ("int", int, -7, -7, "-123456", 30_000),
    "long": ("long", int, 7, 7, "250", 2**40),
    "float": ("float", float, 0.5, 0.5, "-0.25", 2.0),
    "double": ("double", float, 0.1, 0.1, "12", 0.25),
    "micros": (MICROS, datetime, 0, datetime(1970, 1, 1, tzinfo=UTC), "2026-01-31T13:00:00.25+01:00", NOON),
    "millis": (MILLIS, datetime, 0, datetime(1970, 1, 1, tzinfo=UTC), "2026-01-31T12:00:00Z", NOON),
    "bytes": ("bytes", bytes, "a", b"a", "AAE=", b"\0\1"),
}
"""By name: a schema, its annotation, a default as the schema and as the class has it, and a value as text and as it is."""
FORMS = ["must", "may", "null", "last", "bare"]
"""Of a field: no default, one, null as the default, null second in the union, and null without a default."""


def forms_of(name: str) -> tuple[list[dict[str, Any]], dict[str, Any], dict[str, Any]]:
    """Fields of a type in every form; their annotations, and their defaults."""
    kind, hint, default, value, *_ = KINDS[name]
    again = "Colour" if name == "enum" else kind
    fields = [
        {"name": f"{name}_must", "type": kind},
        {"name": f"{name}_may", "type": again, "default": default},
        {"name": f"{name}_null", "type": ["null", again], "default": None},
        {"name": f"{name}_last", "type": [again, "null"], "default": default},
        {"name": f"{name}_bare", "type": ["null", again]},
    ]
    hints = {field["name"]: hint | None if "null" in field["type"] else hint for field in fields}
    return fields, hints, {f"{name}_may": value, f"{name}_null": None, f"{name}_last": value}


def event_class(fields: list[dict[str, Any]], hints: dict[str, Any], defaults: dict[str, Any]) -> type[EventData]:
    schema = {"type": "record", "name": "probe.set", "key": "probe", "fields": [{"name": "probe", "type": "string"}, *fields]}
    body = {
        "event_type": "probe.set", "key_field": "probe", "schemas": (json.dumps(schema),),
        "__annotations__": {"probe": str, **hints}, **defaults,
    }  # fmt: skip
    made: type[EventData] = type("ProbeSet", (EventData,), body, frozen=True, kw_only=True)
    return made


def probe(*names: str) -> type[EventData]:
    fields, hints, defaults = list[Any](), dict[str, Any](), dict[str, Any]()
    for name in names:
        more = forms_of(name)
        fields += more[0]
        hints |= more[1]
        defaults |= more[2]
    return event_class(fields, hints, defaults)


TEXT_KINDS = [name for name in KINDS if name != "bytes"]
PROBES = {True: probe(*TEXT_KINDS), False: probe(*KINDS)}


def right(texts: bool) -> dict[str, Any]:
    """A row that is plainly right, with every field."""
    named = {f"{name}_{form}": KINDS[name][4 if texts else 5] for name in KINDS for form in FORMS}
    return {"probe": "p1", **{name: value for name, value in named.items() if not (texts and name.startswith("bytes"))}}


@cache
def maker(data: type[EventData], limit: int, *, texts: bool, columns: bool, carefully: bool) -> EventMaker:
    """`columns`: two of them are the event's id and time. `carefully`: it goes no quick way."""
    named = {"id_column": "number", "time_column": "at"} if columns else {}
    made = EventMaker(Converter(data, texts=texts, besides=["at", "number"]), codec_of(data), data.event_type, limit, **named)
    with pytest.MonkeyPatch.context() as patch:
        if carefully:
            patch.setattr(file_events, "row_code", lambda *_, **__: None)
        list(made.events([Row(1, right(texts))]))  # it decides at the first row
    return made


@cache
def codec_of(data: type[EventData]) -> AvroCodec:
    return AvroCodec([data], [])


SIZE = len(codec_of(PROBES[True]).encode(Converter(PROBES[True], texts=True)(right(True))))
names = st.sampled_from([*(f"{name}_{form}" for name in KINDS for form in FORMS), "probe", "probes", "at", "number"])
keys = st.sampled_from(["", "\0a", "\x01", "\x02", "\ud800", "x" * 512, "x" * 513, "é" * 257])
values = words | others | keys | MOMENTS.map(lambda text: f" {text}")
GONE = object()
LIMITS = [SIZE, 1_000_000]


@given(st.booleans(), st.lists(st.tuples(names, values | st.just(GONE)), max_size=3), st.booleans(), st.sampled_from(LIMITS))
@settings(max_examples=200, deadline=None)
def test_the_quick_way_gives_what_the_careful_one_gives(
    texts: bool, changes: list[tuple[str, Any]], columns: bool, limit: int
) -> None:
    """Whatever the values, their fields, the columns of id and time, and the size: bytes, ids, headers and sentences."""
    first = right(texts) | ({"at": "2026-01-31T12:00:00Z", "number": "7"} if columns else {})
    changed = {name: value for name, value in (first | dict(changes)).items() if value is not GONE}
    rows = [Row(1, first), Row(2, changed), Row(3, changed), Row(4, first)]
    quickly, carefully = (
        list(maker(PROBES[texts], limit, texts=texts, columns=columns, carefully=way).events(rows)) for way in (False, True)
    )
    assert repr(quickly) == repr(carefully)


ODD: tuple[Any, ...] = (
    "", " ", "a", "\ud800", "1", "+1", "-0", "01", "1_0", " 1", "\u0661", "250", "8192", "-2147483649", "9" * 18, "9" * 19, "1.5",
    "-0.0", "0.1", "1e3", ".5", "nan", "true", "True", "false", "red", "blue", "AAE=", "[]", "null", "2026-01-31T12:00:00.001001Z",
    "2026-01-31T12:00:00-00:00", "0001-01-01T00:00:00+01:00", "9999-12-31T23:59:59-01:00", "1900-01-01T00:00:00Z",
    "2026-02-30T00:00:00Z",
    None, True, 0, 1, 2**31, -(2**31), 2**63, -(2**63), 0.0, -0.0, 0.1, 1.5, math.inf, -math.inf, math.nan, b"a", [], {},
    type("Text", (str,), {})("red"),
    NOON.replace(microsecond=1), NOON.replace(fold=1), NOON.replace(tzinfo=None), NOON.astimezone(timezone(timedelta(hours=1))),
)  # fmt: skip


@pytest.mark.parametrize("name", KINDS)
def test_each_odd_value_alone_is_handled_alike(name: str) -> None:
    """In a field of each type and form: beside another one it would be found only by chance."""
    for texts, form, value in itertools.product((True, False), FORMS, ODD):
        if not (texts and name == "bytes"):
            row = Row(1, {**right(texts), f"{name}_{form}": value})
            makers = (maker(PROBES[texts], 1_000_000, texts=texts, columns=False, carefully=way) for way in (False, True))
            quickly, carefully = (list(made.events([row])) for made in makers)
            assert repr(quickly) == repr(carefully), value


AS_SIGN_UP = Converter(UserSignup, texts=True, besides=["at"])
SIGN_UPS = EventMaker(AS_SIGN_UP, codec_of(UserSignup), None, 1_000_000, time_column="at")


@given(st.lists(st.tuples(st.sampled_from(["u1", "u2"]), MOMENTS, MOMENTS), max_size=8))
def test_ids_are_those_of_the_careful_way(file: list[tuple[str, str, str]]) -> None:
    """Of type, canonical bytes, time and occurrence: whoever publishes a file again, after an upgrade, publishes duplicates."""
    given_ = [{"user": user, "email": "e", "created": created, "at": at} for user, created, at in file]
    rows = [Row(line, values) for line, values in enumerate(given_, 1)]
    seen = dict[Any, int]()
    for event, row in zip(SIGN_UPS.events(rows), rows, strict=True):
        if isinstance(event, FileEvent):
            value = SIGN_UPS.codec.encode(AS_SIGN_UP(row.values))
            assert event.time is not None
            said = (value, to_micros(event.time))
            seen[said] = seen.get(said, 0) + 1
            assert event.id == content_id("user.signup", *said, seen[said])


@given(MOMENTS)
def test_a_common_time_is_read_as_any_other(text: str) -> None:
    """What is taken without taking it apart is RFC 3339, and Python reads it as that."""
    if COMMON_TIME.fullmatch(text):
        found = TIME.fullmatch(text)
        assert found is not None
        date, clock, fraction, zone = found.groups()
        apart = f"{date}T{clock}{f'.{fraction}' if fraction else ''}{zone}"
        assert told(text) == told(apart)


def told(text: str) -> datetime | str:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return "refused"


@pytest.mark.parametrize("texts", [True, False])
@pytest.mark.parametrize("gone", ["", "may", "null", "last"])
def test_what_is_right_goes_the_quick_way(texts: bool, gone: str) -> None:
    """Also without fields that have a default, and with empty cells: else a file takes twice as long, and nothing would say so."""
    data, convert = PROBES[texts], Converter(PROBES[texts], texts=texts)
    code = row_code(data, convert.known, texts=texts)
    assert code is not None
    row = {name: value for name, value in right(texts).items() if not gone or not name.endswith(gone)}
    assert code.make(row) == ("p1", codec_of(data).encode(convert(row)))
    for name in row if texts else ():
        if name == "string_must" or not name.endswith(("must", "probe")):
            assert code.make({**row, name: ""}) == ("p1", codec_of(data).encode(convert({**row, name: ""})))


def test_a_sign_up_goes_the_quick_way() -> None:
    """With times as Python and as others write them."""
    code = row_code(UserSignup, TEXTS, texts=True)
    assert code is not None
    for moment in ("2011-01-11T19:50:40.620Z", "2011-01-11T19:50:40.620000+00:00", "2011-01-11T19:50:40-05:00"):
        assert code.make({**TEXTS, "created": moment}) is not None
    assert code.make({**TEXTS, "created": "noon"}) is None


def test_lists_maps_and_records_go_the_careful_way() -> None:
    """They are there, and right."""
    code = row_code(ThingSet, THING, texts=True)
    assert code is not None
    assert code.make(THING) is None
    [event] = EventMaker(Converter(ThingSet, texts=True), codec_of(ThingSet), None, 1_000_000).events([Row(1, THING)])
    assert isinstance(event, FileEvent)


@pytest.mark.parametrize(("default", "quickly"), [(("a",), True), (["a"], False)])
def test_a_default_that_is_not_in_its_one_form_is_converted_carefully(default: Any, quickly: bool) -> None:
    """A list becomes a tuple; the event is the same."""
    fields = [{"name": "words", "type": {"type": "array", "items": "string"}, "default": ["a"]}]
    data = event_class(fields, {"words": tuple[str, ...]}, {"words": msgspec.field(default_factory=lambda: default)})
    code = row_code(data, ["probe"], texts=True)
    assert code is not None
    assert (code.make({"probe": "p1"}) is not None) is quickly
    [event] = EventMaker(Converter(data, texts=True), codec_of(data), None, 1_000_000).events([Row(1, {"probe": "p1"})])
    assert isinstance(event, FileEvent)
    assert codec_of(data).decode(event.prepared.value) == data(probe="p1", words=("a",))


def test_a_class_that_does_not_fit_its_schema_has_no_quick_way() -> None:
    """What it holds is checked carefully."""
    fields, hints, defaults = forms_of("long")
    assert row_code(event_class(fields, {**hints, "long_must": str}, defaults), [], texts=True) is None
