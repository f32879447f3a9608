"""A row and an event with every type that a schema may hold, and events of two versions."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any, ClassVar, Literal

from streams.data import EventData, Record

MICROS = {"type": "long", "logicalType": "timestamp-micros"}
MILLIS = {"type": "long", "logicalType": "timestamp-millis"}
PART = {
    "type": "record",
    "name": "Part",
    "fields": [
        {"name": "word", "type": "string"},
        {"name": "weights", "type": {"type": "map", "values": "double"}},
        {"name": "seen", "type": ["null", MICROS], "default": None},
    ],
}
FIELDS: list[dict[str, Any]] = [
    {"name": "thing", "type": "string"},
    {"name": "small", "type": "int"},
    {"name": "large", "type": "long"},
    {"name": "ratio", "type": "double"},
    {"name": "short", "type": "float"},
    {"name": "flag", "type": "boolean"},
    {"name": "raw", "type": "bytes"},
    {"name": "at", "type": MICROS},
    {"name": "around", "type": MILLIS},
    {"name": "colour", "type": {"type": "enum", "name": "Colour", "symbols": ["red", "green"]}},
    {"name": "note", "type": ["null", "string"], "default": None},
    {"name": "part", "type": PART},
    {"name": "parts", "type": {"type": "array", "items": "Part"}},
    {"name": "counts", "type": {"type": "map", "values": ["null", "long"]}},
    {"name": "table", "type": {"type": "array", "items": {"type": "array", "items": "int"}}},
    {"name": "maybe", "type": ["null", {"type": "array", "items": "string"}], "default": None},
]


class Part(Record, frozen=True, kw_only=True):
    word: str
    weights: Mapping[str, float]
    seen: datetime | None = None


class ThingRow(Record, frozen=True, kw_only=True):
    schemas: ClassVar[tuple[str, ...]] = (json.dumps({"type": "record", "name": "thing.row", "fields": FIELDS}),)

    thing: str
    small: int
    large: int
    ratio: float
    short: float
    flag: bool
    raw: bytes
    at: datetime
    around: datetime
    colour: Literal["red", "green"]
    part: Part
    parts: tuple[Part, ...]
    counts: Mapping[str, int | None]
    table: tuple[tuple[int, ...], ...]
    note: str | None = None
    maybe: tuple[str, ...] | None = None


class ThingSet(EventData, frozen=True, kw_only=True):
    event_type: ClassVar[str] = "thing.set"
    key_field: ClassVar[str] = "thing"
    schemas: ClassVar[tuple[str, ...]] = (
        json.dumps({"type": "record", "name": "thing.set", "key": "thing", "fields": FIELDS}),
    )

    thing: str
    small: int
    large: int
    ratio: float
    short: float
    flag: bool
    raw: bytes
    at: datetime
    around: datetime
    colour: Literal["red", "green"]
    part: Part
    parts: tuple[Part, ...]
    counts: Mapping[str, int | None]
    table: tuple[tuple[int, ...], ...]
    note: str | None = None
    maybe: tuple[str, ...] | None = None


def named(fields: list[dict[str, Any]], **more: Any) -> str:
    """The text of a version of `thing.name`."""
    return json.dumps({"type": "record", "name": "thing.name", "key": "thing", "fields": fields, **more})


NAME_1 = named(
    [
        {"name": "thing", "type": "string"},
        {"name": "title", "type": "string", "default": ""},
        {"name": "gone", "type": {"type": "array", "items": PART}, "default": []},
        {"name": "rank", "type": "int", "default": 7},
    ]
)
NAME_2 = named(
    [
        {"name": "thing", "type": "string"},
        {"name": "name", "type": "string", "default": "", "aliases": ["title"]},
        {"name": "rank", "type": "int", "default": 7},
        {"name": "since", "type": MICROS, "default": 0},
    ],
    version=2,
)


class ThingName1(EventData, frozen=True, kw_only=True):
    event_type: ClassVar[str] = "thing.name"
    key_field: ClassVar[str] = "thing"
    schemas: ClassVar[tuple[str, ...]] = (NAME_1,)

    thing: str
    title: str = ""
    gone: tuple[Part, ...] = ()
    rank: int = 7


class ThingName2(EventData, frozen=True, kw_only=True):
    event_type: ClassVar[str] = "thing.name"
    key_field: ClassVar[str] = "thing"
    schemas: ClassVar[tuple[str, ...]] = (NAME_1, NAME_2)

    thing: str
    name: str = ""
    rank: int = 7
    since: datetime = datetime.fromisoformat("1970-01-01T00:00:00+00:00")
