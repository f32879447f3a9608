"""What made a past is asked the same, whether it is here or behind a pipe: each way to disagree with it, for itself."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from streams.engine.records import Entry
from streams.errors import CodeChanged, HistoryError
from streams.history.code.application_handlers import ApplicationHandlers, DecidedEvent
from streams.history.code.local_code import LocalCode
from streams.history.code.recorded_code import RecordedCode
from streams.history.past import MemoryPast
from streams.history.recorded_event import HANDLER, RecordedEvent
from streams.outcome import Outcome, Scheduled
from tests.applications import timed
from tests.applications.shop.events import PaymentCharge
from tests.applications.timed.events import AlarmRing, AlarmRow, AlarmTouch, BellRing
from tests.support.other_code import Handler, stays, strict, with_change
from tests.support.partitions import Partitions
from tests.support.pasts import START, made, past_of
from tests.unit.test_replay import linked

WAYS = ["here", "over a pipe"]
NOTHING: Entry = (None, 0)


def touched() -> Partitions:
    """The alarm `k` is touched, which schedules a ring of its own and one of a bell, and so is `quiet`, which schedules nothing."""
    there = Partitions(timed.app(), 1, now=START)
    for name, after, other in (("k", 2, "z"), ("quiet", 0, "")):
        there.publish(AlarmTouch(name=name, number=1, after=after, other=other), f"touch-{name}", START)
    there.settle()
    return there


@contextmanager
def code_of_past(way: str, there: Partitions, change: Any = None) -> Iterator[tuple[RecordedCode, ApplicationHandlers]]:
    """And the handlers of the code here, as that of the past has them but for a `change` of `alarm.touch`."""
    app = there.app if change is None else with_change(there.app, AlarmTouch, change)
    now = ApplicationHandlers(there.app, there.codec)
    if way == "here":
        yield LocalCode(ApplicationHandlers(app, there.codec)), now
        return
    with linked(there, app, now) as link:
        yield link, now


def touch_of(past: MemoryPast, name: str) -> RecordedEvent:
    [it] = (it for it in past.events() if it.event.id == f"touch-{name}")
    return it


def decided(now: ApplicationHandlers, it: RecordedEvent) -> DecidedEvent:
    """By the code here, on no row."""
    handler = now.handler_of("alarm", it.event)
    assert handler is not None
    return now.decide("alarm", handler, None, it.event)


def with_row(now: ApplicationHandlers, it: DecidedEvent, row: AlarmRow | None) -> DecidedEvent:
    return replace(it, row=row, row_bytes=b"" if row is None else now.codec.encode_frozen(row)[1])


def an_hour_later(it: Any) -> Any:
    return Scheduled(it.data, at=it.at + timedelta(hours=1))


def with_data(it: Any) -> Any:
    changed = {AlarmRing: {"number": 7}, BellRing: {"number": 7}}
    return Scheduled(replace(it.data, **changed[type(it.data)]), at=it.at)


OTHERWISE = {
    "another row": lambda now, it: with_row(now, it, AlarmRow(total=99)),
    "no row": lambda now, it: with_row(now, it, None),
    "one event less": lambda _, it: replace(it, emissions=it.emissions[:1]),
    "one event more": lambda _, it: replace(it, emissions=[*it.emissions, BellRing(name="z", number=1)]),
    "a timer at another time": lambda _, it: replace(it, emissions=[an_hour_later(it.emissions[0]), *it.emissions[1:]]),
    "a timer of other data": lambda _, it: replace(it, emissions=[it.emissions[0], *map(with_data, it.emissions[1:])]),
}


@pytest.mark.parametrize("otherwise", OTHERWISE.values(), ids=OTHERWISE)
@pytest.mark.parametrize("way", WAYS)
def test_what_is_decided_otherwise_is_not_agreed_on(way: str, otherwise: Any) -> None:
    """And what is decided as it was is: its timers may come in another order."""
    there = touched()
    it = touch_of(past_of(there), "k")
    with code_of_past(way, there) as (code, now):
        as_it_was = decided(now, it)
        assert not code.agrees(NOTHING, it, otherwise(now, as_it_was))
        assert code.agrees(NOTHING, it, replace(as_it_was, emissions=as_it_was.emissions[::-1]))


@pytest.mark.parametrize("way", WAYS)
def test_a_timer_that_only_one_of_two_schedules_is_not_agreed_on(way: str) -> None:
    """Though both lead to as many events."""
    there = touched()
    it = touch_of(past_of(there), "k")
    with code_of_past(way, there) as (code, now):
        as_it_was = decided(now, it)
        at_once = [each.data for each in as_it_was.emissions if isinstance(each, Scheduled)]
        assert not code.agrees(NOTHING, it, replace(as_it_was, emissions=at_once))


@pytest.mark.parametrize("way", WAYS)
def test_a_row_that_stays_by_the_code_of_the_past_is_compared(way: str) -> None:
    """Over a pipe it comes without its bytes."""
    there = touched()
    it = touch_of(past_of(there), "quiet")
    with code_of_past(way, there, stays) as (code, now):
        as_it_was = decided(now, it)
        assert not code.agrees(NOTHING, it, as_it_was)
        assert code.agrees(NOTHING, it, with_row(now, as_it_was, None))


@pytest.mark.parametrize("way", WAYS)
def test_what_the_code_of_the_past_refuses_is_not_told(way: str) -> None:
    """Neither by asking whether it agrees nor by folding."""
    there = touched()
    it = touch_of(past_of(there), "quiet")
    with code_of_past(way, there, strict) as (code, now):
        with pytest.raises(CodeChanged, match="its handler now rejects it"):
            code.agrees(NOTHING, it, decided(now, it))
        with pytest.raises(CodeChanged, match="its handler now rejects it"):
            code.fold(NOTHING, it)


@pytest.mark.parametrize("way", WAYS)
def test_a_folded_event_says_its_row_its_version_and_its_timers(way: str) -> None:
    """Each event its own, though those of the next one have come already; one that is left folds nothing, and the next goes on."""
    there = touched()
    past = past_of(there)
    first, second = (touch_of(past, name) for name in ("k", "quiet"))
    with code_of_past(way, there) as (code, now):
        assert code.fold(NOTHING, first) == (decided(now, first).row, first.version)
        timers = code.scheduled(first)
        assert (code.count(), sorted(value for value, _ in timers.values())) == (
            2, sorted(now.codec.encode(it.data) for it in decided(now, first).emissions if isinstance(it, Scheduled))
        )  # fmt: skip
        assert code.fold(NOTHING, second) == (decided(now, second).row, second.version)
        assert (code.count(), code.scheduled(second)) == (0, {})


def deleting_again(handler: Handler) -> Handler:
    """The second touch takes the row away."""
    return lambda row, event: Outcome(None) if row is not None else handler(row, event)


@pytest.mark.parametrize("way", WAYS)
def test_a_row_that_is_gone_by_the_code_of_the_past_is_compared(way: str) -> None:
    """With one that stays here, which has no new bytes either: since it is refused here, or a gateway is asked."""
    there = touched()
    there.publish(AlarmTouch(name="quiet", number=2, after=0, other=""), "touch-again", START)
    there.settle()
    past = past_of(there)
    first, second = (touch_of(past, name) for name in ("quiet", "again"))
    with code_of_past(way, there, deleting_again) as (code, _):
        entry = code.fold(NOTHING, first)
        assert not code.agrees(entry, second, DecidedEvent(entry[0], reason="not today"))
        assert not code.agrees(entry, second, DecidedEvent(entry[0]))
        assert code.agrees(entry, second, DecidedEvent(None))


def test_a_request_leaves_row_and_version() -> None:
    """It waits for its gateway's answer, which sets the row."""
    there = made("shop", 3)[1]
    past = past_of(there)
    request = next(it for it in past.events() if isinstance(it.event.data, PaymentCharge))
    entry: Entry = (None, 17)
    now = ApplicationHandlers(there.app, there.codec)
    with linked(there, there.app, now) as link:
        for code in (LocalCode(now), link):
            assert code.fold(entry, request) == entry


@pytest.mark.parametrize("way", WAYS)
def test_what_an_event_has_emitted_that_was_not_handled_yet_is_asked_for(way: str) -> None:
    """Also while rows are on their way."""
    there = touched()
    past = past_of(there)
    it = touch_of(past, "k")
    with code_of_past(way, there) as (code, _):
        in_flight = code.in_flight(past, it, None)
        code.fold(NOTHING, it)
        assert in_flight == code.scheduled(it)
        assert len(in_flight) == 2


def test_an_event_that_is_agreed_on_or_left_is_kept_no_longer() -> None:
    """Of a past of many millions nothing stays behind: neither what came over the pipe with the row, nor the timers."""
    there = touched()
    it = touch_of(past_of(there), "k")
    for is_left in (True, False):
        with code_of_past("over a pipe", there) as (code, now):
            if is_left:
                code.leave(it)
            else:
                assert code.agrees(NOTHING, it, decided(now, it))
            assert code.scheduled(it) == {}
            with pytest.raises(HistoryError, match="was recorded after this past was read"):
                code.leave(it)


def test_an_event_that_was_rejected_leaves_row_and_version() -> None:
    """Over a pipe nothing comes for it but what it emits."""
    there = Partitions(with_change(timed.app(), AlarmTouch, strict), 1, now=START)
    there.publish(AlarmTouch(name="k", number=1, after=0, other=""), "touch-k", START)
    there.settle()
    it = touch_of(past_of(there), "k")
    assert (it.accepted, it.by) == (False, HANDLER)
    entry: Entry = (AlarmRow(total=3), 17)
    for way in WAYS:
        with code_of_past(way, there) as (code, _):
            assert code.fold(entry, it) == entry
