"""Fields with milliseconds, set from the time of an event, which has microseconds as every clock has (ADR 20)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, ClassVar

import pytest

from streams import App, Event, Gateway, Namespace, Outcome, Projection, Scheduled
from streams.codec import AvroCodec
from streams.data import EventData, Record
from streams.errors import InvalidEvent
from streams.testing import START, World, given

MILLIS = {"type": "long", "logicalType": "timestamp-millis"}
STAMP = {"type": "record", "name": "Stamp", "fields": [{"name": "at", "type": MILLIS}]}
WHOLE = START.replace(microsecond=START.microsecond // 1000 * 1000)


def schema(name: str, *fields: dict[str, Any], key: str = "") -> tuple[str, ...]:
    return (json.dumps({"type": "record", "name": name, "fields": fields} | ({"key": key} if key else {})),)


THING = {"name": "thing", "type": "string"}
AT = {"name": "at", "type": MILLIS}


class Stamp(Record, frozen=True, kw_only=True):
    at: datetime


class ThingRow(Record, frozen=True, kw_only=True):
    schemas: ClassVar[tuple[str, ...]] = schema(
        "thing.row",
        AT,
        {"name": "stamps", "type": {"type": "array", "items": STAMP}, "default": []},
        {"name": "named", "type": {"type": "map", "values": ["null", "Stamp"]}, "default": {}},
        {"name": "asked", "type": ["null", MILLIS], "default": None},
    )
    at: datetime
    stamps: tuple[Stamp, ...] = ()
    named: Mapping[str, Stamp | None] = {}
    asked: datetime | None = None


class LastRow(Record, frozen=True, kw_only=True):
    schemas: ClassVar[tuple[str, ...]] = schema("last.row", AT)
    at: datetime


class _ThingEvent(EventData, frozen=True, kw_only=True):
    event_type: ClassVar[str] = ""
    key_field: ClassVar[str] = "thing"
    thing: str


class ThingTouch(_ThingEvent, frozen=True, kw_only=True):
    event_type: ClassVar[str] = "thing.touch"
    schemas: ClassVar[tuple[str, ...]] = schema("thing.touch", THING, key="thing")


class ThingTouched(_ThingEvent, frozen=True, kw_only=True):
    event_type: ClassVar[str] = "thing.touched"
    schemas: ClassVar[tuple[str, ...]] = schema("thing.touched", THING, AT, key="thing")
    at: datetime


class ThingAsk(_ThingEvent, frozen=True, kw_only=True):
    event_type: ClassVar[str] = "thing.ask"
    schemas: ClassVar[tuple[str, ...]] = schema("thing.ask", THING, key="thing")


class ThingAnswered(_ThingEvent, frozen=True, kw_only=True):
    event_type: ClassVar[str] = "thing.answered"
    schemas: ClassVar[tuple[str, ...]] = schema("thing.answered", THING, AT, key="thing")
    at: datetime


thing = Namespace("thing", row=ThingRow)
last = Projection("last", row=LastRow)


@thing.handles(ThingTouch, emits=[ThingTouched, ThingAsk])
def touch(row: ThingRow | None, event: Event[ThingTouch]) -> Outcome[ThingRow]:
    stamp = Stamp(at=event.time)
    return Outcome(
        ThingRow(at=event.time, stamps=(stamp,), named={"a": stamp, "b": None}),
        emit=[
            ThingTouched(thing=event.key, at=event.time),
            ThingAsk(thing=event.key),
            Scheduled(ThingTouched(thing=event.key, at=event.time), at=event.time + timedelta(seconds=1)),
        ],
    )


@thing.handles(ThingTouched)
def touched(row: ThingRow | None, event: Event[ThingTouched]) -> Outcome[ThingRow]:
    return Outcome(row)


@thing.handles(ThingAnswered)
def answered(row: ThingRow | None, event: Event[ThingAnswered]) -> Outcome[ThingRow]:
    assert row is not None
    return Outcome(ThingRow(at=row.at, stamps=row.stamps, named=row.named, asked=event.data.at))


@last.folds(ThingTouched, key=lambda event: event.key)
def last_touched(row: LastRow | None, event: Event[ThingTouched]) -> LastRow:
    return LastRow(at=event.time)


async def call(request: Event[ThingAsk]) -> ThingAnswered:
    return ThingAnswered(thing=request.key, at=request.time)


def app() -> App:
    return App(
        name="things",
        namespaces=[thing],
        gateways=[Gateway(ThingAsk, call, answers=[ThingAnswered])],
        projections=[last],
    )


def test_a_live_event_is_handled_where_a_handler_sets_milliseconds() -> None:
    """In rows and all that is nested in them, emissions, timers, gateways' answers and projections: cut off, not parked."""
    world = World(app())
    result = world.when(ThingTouch(thing="a"))
    assert (result.outcome, result.reason) == ("accepted", None)
    world.settle().advance(timedelta(seconds=2))
    assert (world.parked, world.calls_failed, world.quarantined) == ([], [], [])
    stamp = Stamp(at=WHOLE)
    row = world.table(thing)["a"]
    assert row == ThingRow(at=WHOLE, stamps=(stamp,), named={"a": stamp, "b": None}, asked=WHOLE)
    assert world.table(last)["a"].at == (START + timedelta(seconds=1)).replace(microsecond=WHOLE.microsecond)
    touched = [(it.event.data.at, it.event.time) for it in world.log("thing") if isinstance(it.event.data, ThingTouched)]
    assert touched == [(WHOLE, START), (WHOLE, START + timedelta(seconds=1))]


def test_a_live_row_is_the_restored_row_whatever_its_time() -> None:
    """It is cut when it is frozen, so that the handler of the next event sees what a restart would show."""
    codec = AvroCodec([], [ThingRow])
    for at in (START, datetime(1969, 12, 31, 23, 59, 59, 999_999, START.tzinfo), datetime.max.replace(tzinfo=START.tzinfo)):
        frozen, value = codec.encode_frozen(ThingRow(at=at, stamps=(Stamp(at=at),)))
        assert codec.decode_row(ThingRow, value) == frozen
        assert timedelta(0) <= at - frozen.at < timedelta(milliseconds=1)
        assert codec.freeze(frozen) is frozen


def test_who_publishes_a_finer_time_is_told() -> None:
    """It would be stored otherwise than it was given, and a publisher can mend it."""
    world = World(app())
    with pytest.raises(InvalidEvent, match=r"thing\.touched\.at is .* expected a time in whole milliseconds"):
        world.when(ThingTouched(thing="a", at=START))
    assert world.when(ThingTouched(thing="a", at=WHOLE)).accepted


def test_a_world_begins_at_a_time_as_a_clock_gives_it() -> None:
    """Else tests are content with what every live event would break."""
    assert given(app()).now.microsecond % 1000
