"""Every time that a handler, a publisher, a file or HTTP gives: one that is written and never read is refused, with a sentence."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from pathlib import Path
from typing import Any

import pytest

from streams import App, Event, Namespace, Outcome, Rejected, Scheduled
from streams.cli.arguments.parsers import time_with_zone
from streams.cli.output.screen import second_text
from streams.codec import AvroCodec, codec_of
from streams.engine.attributes import attributes
from streams.engine.envelope import ParkedHeader
from streams.engine.times import to_micros
from streams.errors import InvalidEvent
from streams.eventfiles.columns import time_in
from streams.eventfiles.file_events import BadRow, EventMaker, FileEvent
from streams.eventfiles.rows import Row
from streams.kafka.parked import InboxOffset, ParkedEntry
from streams.prepared_event import prepare
from streams.server.pages.page_templates import moment
from streams.testing import START, World
from tests.applications import bank
from tests.support.memory_server import MemoryServer
from tests.unit.test_finer_times import ThingRow, ThingTouch, ThingTouched

WHOLE = START.replace(microsecond=0)
EAST, WEST = timezone(timedelta(hours=5)), timezone(timedelta(hours=-5))


class NoOffset(tzinfo):
    """Says nothing, which is as good as no zone."""

    def utcoffset(self, dt: datetime | None) -> None:
        return None


class Failing(tzinfo):
    """As a zone of another library may, outside of its table."""

    def utcoffset(self, dt: datetime | None) -> timedelta:
        raise KeyError("no such year")


class Stamped(datetime):
    """As another library's, which writes more digits than anybody reads."""

    def isoformat(self, *_: Any, **__: Any) -> str:
        return "2026-01-01T00:00:00.123456789+00:00"


YEARS, NO_ZONE = "expected one of the years 1 to 9999 in UTC", "which has no time zone"
ODD: list[tuple[Any, str]] = [
    (datetime.max.replace(tzinfo=WEST), YEARS),
    (datetime.min.replace(tzinfo=EAST), YEARS),
    (START.replace(tzinfo=None), NO_ZONE),
    (START.replace(tzinfo=NoOffset()), NO_ZONE),
    (START.replace(tzinfo=Failing()), "whose time zone fails with KeyError"),
    (date(2026, 1, 1), "expected a datetime with a time zone"),
    ("2026-01-01T00:00:00Z", "expected a datetime with a time zone"),
    (7, "expected a datetime with a time zone"),
]
NEAR = [datetime.max.replace(tzinfo=UTC), datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=EAST), START]


def scheduling(at: Any, *, rejected: bool = False) -> World:
    space = Namespace("thing", row=ThingRow)

    @space.handles(ThingTouch, emits=[ThingTouched])
    def touch(row: ThingRow | None, event: Event[ThingTouch]) -> Outcome[ThingRow]:
        emit = [Scheduled(ThingTouched(thing=event.key, at=WHOLE), at=at)]
        if rejected:
            raise Rejected("no", emit=emit)
        return Outcome(row, emit=emit)

    @space.handles(ThingTouched)
    def touched(row: ThingRow | None, event: Event[ThingTouched]) -> Outcome[ThingRow]:
        return Outcome(row)

    return World(App(name="things", namespaces=[space]))


@pytest.mark.parametrize("rejected", [False, True])
@pytest.mark.parametrize(("at", "words"), [*ODD, (None, "expected a datetime with a time zone")])
def test_an_event_that_is_scheduled_at_no_time_is_parked(at: Any, words: str, rejected: bool) -> None:
    """As one without a zone: what it emits would be quarantined when it fires, or end the clock of a World."""
    world = scheduling(at, rejected=rejected)
    result = world.when(ThingTouch(thing="a"))
    assert (result.outcome, result.emitted) == ("parked", [])
    assert "thing.touched is scheduled at " in (result.reason or "")
    assert words in (result.reason or "")
    world.settle().advance(timedelta(days=365))
    assert (len(world.parked), world.quarantined) == (1, [])


@pytest.mark.parametrize("at", [*NEAR, Stamped(2026, 1, 2, tzinfo=UTC)])
def test_a_time_that_can_be_said_is_taken(at: datetime) -> None:
    """To the last microsecond; one that is past is emitted at once."""
    world = scheduling(at)
    assert world.when(ThingTouch(thing="a")).accepted
    world.settle().advance(datetime.max.replace(tzinfo=UTC) - world.now)
    assert (world.parked, world.quarantined) == ([], [])
    [fired] = [it.event for it in world.log("thing") if isinstance(it.event.data, ThingTouched)]
    assert fired.time == at


def of_world(time: Any) -> None:
    World(bank.app()).when(bank.AccountOpen(account="a", balance=1), time=time)


PUBLISHERS: list[Callable[[Any], Any]] = [
    of_world,
    lambda time: attributes("id", "source", time),
    lambda time: time_in({"at": time}, "at"),
]


@pytest.mark.parametrize("publish", PUBLISHERS)
@pytest.mark.parametrize(("time", "words"), ODD)
def test_a_publisher_is_told(publish: Callable[[Any], Any], time: Any, words: str) -> None:
    """In a World as by a Client: before, the event was quarantined there."""
    if publish is PUBLISHERS[2] and isinstance(time, str):
        return
    with pytest.raises(InvalidEvent):
        publish(time)


@pytest.mark.parametrize(("time", "words"), ODD)
def test_a_field_is_refused_by_its_name(time: Any, words: str) -> None:
    """Whatever its zone does."""
    with pytest.raises(InvalidEvent, match=r"thing\.row\.at is "):
        AvroCodec([], [ThingRow]).encode_row(ThingRow(at=time))


@pytest.mark.parametrize("time", ["9999-12-31T23:59:59.999999-05:00", "0001-01-01T00:00:00+05:00", "0001-01-01T00:00:00"])
def test_a_time_over_http_or_on_the_command_line_is_refused(tmp_path: Path, time: str) -> None:
    """422; a command says so before anything is published."""
    event = {
        "specversion": "1.0", "id": "e", "source": "s", "type": "account.open", "time": time,
        "data": {"account": "a", "balance": 1},
    }  # fmt: skip
    with MemoryServer(bank.app(), tmp_path) as server:
        headers = {"Content-Type": "application/cloudevents+json"}
        assert server.http.post("/events/account.open", json=event, headers=headers).status_code == 422
        assert server.kafka.published == []
    with pytest.raises(Exception, match=r"the time of an event is|a time with a zone"):
        attributes("id", "source", time_with_zone(time))


def test_a_time_far_ahead_is_refused_at_every_door(tmp_path: Path) -> None:
    """One such event would fire all that its key schedules until then. A publisher's clock may be some hours ahead."""
    near, far = (datetime.now(UTC) + timedelta(hours=hours) for hours in (23, 25))
    words, opened = "more than a day ahead of the clock here", bank.AccountOpen(account="a", balance=1)

    def event(time: datetime) -> dict[str, Any]:
        said = {"specversion": "1.0", "id": "e", "source": "s", "type": "account.open", "time": time.isoformat()}
        return {**said, "data": {"account": "a", "balance": 1}}

    with MemoryServer(bank.app(), tmp_path) as server:
        kind = "application/cloudevents+json"
        for path, one, headers in (
            ("/events/account.open", lambda time: event(time), {"Content-Type": kind}),
            ("/events", lambda time: [event(time)], {"Content-Type": kind.replace("+", "-batch+")}),
        ):
            got = server.http.post(path, json=one(far), headers=headers)
            assert (got.status_code, words in got.text, got.json()["errors"][0]["field"]) == (422, True, "time")
            assert server.http.post(path, json=one(near), headers=headers).status_code == 202
    with pytest.raises(InvalidEvent, match=words):
        prepare(opened, b"", "id", "source", far)
    assert prepare(opened, b"", "id", "source", near).time == near
    maker = EventMaker(lambda row: (opened, row["at"]), codec_of(bank.app()), None, 1_000_000)
    bad, good = maker.events([Row(1, {"at": far}), Row(2, {"at": near})])
    assert isinstance(bad, BadRow)
    assert words in bad.problem
    assert isinstance(good, FileEvent)


def test_a_world_does_not_go_beyond_what_a_datetime_holds() -> None:
    """A sentence, and time stands where it stood."""
    world = World(bank.app())
    with pytest.raises(ValueError, match="no datetime can say when it is"):
        world.advance(timedelta.max)
    assert world.now == START


def test_the_first_years_are_shown_with_four_digits() -> None:
    """Their zeros were left out: the time 1-01-01 reads nowhere."""
    shown = [second_text(datetime.min.replace(tzinfo=UTC)), moment("0001-01-01T00:00:00Z")]
    assert [text[:19] for text in shown] == ["0001-01-01 00:00:00"] * 2


@pytest.mark.parametrize(
    ("headers", "time"),
    [
        ([("ce_time", b"9999-12-31T23:59:59Z")], datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)),
        ([], START),
        ([("ce_time", b"soon")], None),
    ],
)
def test_the_time_of_what_is_set_aside_is_told(headers: list[tuple[str, bytes]], time: datetime | None) -> None:
    """A handler may have failed by it alone. Where it does not read, the reason has it."""
    header = ParkedHeader("parked", "why", "", "k", "user", 0, 1, to_micros(START), time=to_micros(START))
    assert ParkedEntry(InboxOffset("user", 0, 1), header, b"", headers).time == time
