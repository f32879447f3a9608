"""What waits is known by its reference: a caller asks for bodies in time, and a restore keeps few of them."""

from __future__ import annotations

import asyncio
import threading
import tracemalloc
from datetime import timedelta
from typing import Any

import pytest

from streams import Event, Gateway
from streams.codec import codec_of
from streams.config import load
from streams.data import EventData
from streams.engine.changes import (
    CallReference,
    Changes,
    ImportClock,
    PendingCall,
    PendingTimer,
    SetAsideRecord,
    TimerReference,
)
from streams.engine.engine import Engine
from streams.engine.envelope import ParkedHeader
from streams.engine.image import Image
from streams.engine.records import PARKED, EmittedRecord
from streams.engine.stored import due_record, place_of
from streams.errors import UnsupportedSchema
from streams.worker.call_queues import BODIES, Assignment, BodyWanted, ReadyCalls
from streams.worker.caller import Caller, CallResult, RetryPolicy
from streams.worker.due_bodies import (
    BESIDE,
    EVENTS,
    NEAR,
    READ,
    WRITTEN,
    FoundBodies,
    RecentlyDue,
    fires_next,
    imported_next,
    to_read,
)
from streams.worker.image_reader import ImageReader
from tests.applications import shop
from tests.applications.shop.events import Line, OrderPlace, PaymentCharge, PaymentCharged
from tests.support.kept import Kept

APP = shop.app()
PAYMENTS, ORDERS = Engine(APP, "payment", codec_of(APP)), Engine(APP, "order", codec_of(APP))
OURS, OTHER = Assignment(0, 0), Assignment(1, 1)
SIZE = 100_000


def calls(*keys: str) -> list[PendingCall]:
    records = [
        (at, key.encode(), PAYMENTS.codec.encode(PaymentCharge(order=key, amount=at)), None, 0) for at, key in enumerate(keys)
    ]
    return list(PAYMENTS.handle(Image(), records, 1).calls.values())


class Asking:
    """A caller that may keep no bodies, and what it has asked for and done. `provided` are the bodies that there are."""

    def __init__(self, provided: list[PendingCall], *, failures: int = 0) -> None:
        self.bodies: dict[str, PendingCall | None] = {it.reference: it for it in provided}
        self.came: list[CallResult | BodyWanted] = []
        self.failures, self.made = failures, list[int]()
        gateway = Gateway(PaymentCharge, self._charge, answers=[PaymentCharged])
        gateways: dict[type[EventData], Gateway[Any]] = {PaymentCharge: gateway}
        policy = RetryPolicy(first_wait=0.001, bodies=0)
        loop = asyncio.get_running_loop()
        self.caller = Caller(gateways, PAYMENTS.answer_value, policy, loop, self.came.append, threading.Event())

    async def _charge(self, event: Event[PaymentCharge]) -> PaymentCharged:
        if self.failures:
            self.failures -= 1
            raise ConnectionError("away")
        self.made.append(event.data.amount)
        return PaymentCharged(order=event.key, receipt="r")

    @property
    def wanted(self) -> list[BodyWanted]:
        return [it for it in self.came if isinstance(it, BodyWanted)]

    async def provide_until(self, made: int) -> None:
        given = 0
        while len(self.made) < made:
            for it in self.wanted[given:]:
                self.caller.provide(it.assignment, {it.reference: self.bodies[it.reference]})
            given = len(self.wanted)
            await asyncio.sleep(0.001)


def test_bodies_are_asked_for_before_calls_are_made_and_again_after_a_try() -> None:
    """Of a key one after the other, since only its first call can be made."""

    async def run() -> None:
        asking = Asking(there := calls("a", "a", "b"), failures=1)
        asking.caller.submit(OURS, there)
        await asking.provide_until(3)
        assert sorted(asking.made) == [0, 1, 2]
        assert asking.made.index(0) < asking.made.index(1)
        assert len(asking.wanted) == 4

    asyncio.run(asyncio.wait_for(run(), 60))


def test_the_requests_of_a_transaction_are_called_without_being_read_again() -> None:
    """Each with 250 bytes, and the eleven headers that a worker writes."""
    [request] = calls("a")
    request = request._replace(value=bytes(250), headers=[("ce_id", bytes(36))] * 11)
    ready = ReadyCalls(lambda _: None, BODIES)
    kept = [ready.kept(request) for _ in range(load({}).transaction_events)]
    assert all(it is request for it in kept)


def test_a_call_that_nobody_waits_for_any_more_is_not_made() -> None:
    """Its answer came meanwhile; the next one of its key is made."""

    async def run() -> None:
        asking = Asking(there := calls("a", "a"))
        asking.bodies[there[0].reference] = None
        asking.caller.submit(OURS, there)
        await asking.provide_until(1)
        assert asking.made == [1]

    asyncio.run(asyncio.wait_for(run(), 60))


def test_nothing_is_asked_for_a_partition_that_went() -> None:
    """What comes late for it starts no call."""

    async def run() -> None:
        asking = Asking(there := calls("a", "b"))
        asking.caller.submit(OURS, there[:1])
        asking.caller.submit(OTHER, there[1:])
        asking.caller.forget(OURS)
        await asking.provide_until(1)
        await asyncio.sleep(0.01)
        assert asking.made == [1]

    asyncio.run(asyncio.wait_for(run(), 60))


def test_many_bodies_are_asked_for_together_and_not_all() -> None:
    """They are read from a topic; and they are in memory until their calls were made."""

    async def run() -> None:
        asking = Asking(there := calls(*(f"k{number}" for number in range(1_000))))
        asking.caller.submit(OURS, there)
        await asyncio.sleep(0.01)
        assert 100 <= len(asking.wanted) < 600
        await asking.provide_until(1_000)
        assert sorted(asking.made) == [*range(1_000)]

    asyncio.run(asyncio.wait_for(run(), 60))


def restored(most: int, *pending: PendingCall | PendingTimer, engine: Engine = PAYMENTS) -> ImageReader:
    reading = ImageReader(engine, 0, most)
    for at, it in enumerate(pending):
        reading.due(Kept(*due_record(engine.namespace, it), at))  # type: ignore[arg-type]  # reads alike
    return reading


def test_a_restore_knows_of_a_call_what_decides_without_its_body() -> None:
    """The key, its place among its key's events, and where its body is."""
    first, second = calls("a", "b")
    image = restored(0, first, second).image()
    assert list(image.calls.values()) == [
        CallReference(first.reference, "a", 0, 0, 1), CallReference(second.reference, "b", 1, 1, 2),
    ]  # fmt: skip
    whole = restored(10**9, first, second)
    assert list(whole.image().calls.values()) == [first, second]
    assert list(whole.places()) == list(image.calls.values())


def test_a_restore_knows_of_a_timer_what_decides_without_its_event() -> None:
    """When it is due, and whose clock fires it."""
    placed = ORDERS.codec.encode(OrderPlace(order="o", customer="c", lines=(Line(sku="s", quantity=1),)))
    [timer] = ORDERS.handle(Image(), [(0, b"o", placed, None, 0)], 1).due
    [it] = restored(0, timer, engine=ORDERS).image().due.values()
    assert it == TimerReference(timer.at, timer.event_id, "o", True, timer.overdue, timer.size, 0, 1)
    assert list(restored(10**9, timer, engine=ORDERS).image().due.values()) == [timer]


def test_a_call_of_a_schema_that_nobody_knows_here_stops_a_restore() -> None:
    """Also if its body is not kept; one that was answered does not."""
    call = calls("a")[0]
    unknown = call._replace(value=b"\x00\x7f\x7f\x7f\x7f" + call.value[5:])
    reading = restored(0, unknown)
    with pytest.raises(UnsupportedSchema):
        reading.image()
    reading.due(Kept(call.reference.encode(), None, []))  # type: ignore[arg-type]  # a tombstone has no value
    assert len(reading.image().calls) == 0


def test_a_restore_keeps_few_bodies() -> None:
    """Else a mail server that was away for a day decides how much memory a worker needs to start, and each copy."""
    [call] = calls("a")
    reading = ImageReader(PAYMENTS, 0)
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    for at in range(300):
        key, value, headers = due_record("payment", call)
        reading.due(Kept(b"%b-%d" % (key, at), value + bytes(SIZE), headers, at))  # type: ignore[arg-type]  # reads alike
    kept = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert kept < 100 * SIZE


def test_bodies_leave_once_it_is_known_where_they_are() -> None:
    """Timers that are near stay, since they are needed soon; memory is counted."""
    image, recent = Image(), RecentlyDue(7)
    batch = PAYMENTS.handle(image, [(0, b"a", calls("a")[0].value, None, 0)], 1)
    image.apply(batch)
    placed = ORDERS.codec.encode(OrderPlace(order="o", customer="c", lines=(Line(sku="s", quantity=1),)))
    orders = ORDERS.handle(Image(), [(0, b"o", placed, None, 0)], 1)
    [timer] = orders.due
    image.due.add(timer)
    recent.committed(batch)
    recent.committed(orders)
    recent.note(image, 20)
    hour = int(timedelta(hours=1) / timedelta(microseconds=1))
    recent.leave(image, timer.at)
    assert [type(it) for it in (*image.calls.values(), *image.due.values())] == [CallReference, PendingTimer]
    recent.leave(image, timer.at - hour)
    [call], [later] = image.calls.values(), image.due.values()
    assert isinstance(call, CallReference)
    assert isinstance(later, TimerReference)
    assert [(it.first, it.end) for it in (call, later)] == [(7, 20), (7, 20)]
    assert (image.calls.memory, image.due.memory) == (0, 0)
    assert not recent.must_note


def test_the_end_of_the_topic_is_asked_for_before_a_search_gets_long() -> None:
    """Also if nothing that was written waits any more: what comes next lies behind it."""
    image, recent = Image(), RecentlyDue(0)
    batch = PAYMENTS.handle(image, [(0, b"a", calls("a")[0].value, None, 0)], 1)
    for _ in range(WRITTEN + 1):
        assert not recent.must_note
        recent.committed(batch)
    assert recent.must_note
    recent.note(image, 2 * WRITTEN)
    assert not recent.must_note


def timer(number: int, at: int = 10, key: str = "k", size: int = 1) -> PendingTimer:
    return PendingTimer(at, EmittedRecord("n", key.encode(), bytes(size), []), f"t{number}", key, True)


def test_timers_are_read_before_they_are_due() -> None:
    """The earliest first, also one whose event is in memory; a key that is parked, and one that is refused, fire none."""
    image = Image()
    for number, at in enumerate((30, 10, 20, 40, 50 + NEAR)):
        image.due.add(place_of(timer(number, at, f"k{number}"), 0, 1))
    image.due.discard("t2")
    image.due.exchange(timer(1, 10, "k1"))
    aside = SetAsideRecord(0, b"k3", b"", [], ParkedHeader(PARKED, "", "", "k3", "n", 0, 0, 0))
    image.parked["k3"] = [aside]
    assert [it.event_id for it in fires_next(image, 49)] == ["t1", "t0"]
    assert [it.event_id for it in fires_next(image, 50, {"t0"})] == ["t1", "t4"]
    assert image.due.memory == timer(1, 10, "k1").memory


def test_of_many_timers_that_are_due_the_first_alone_are_in_memory() -> None:
    """A worker that comes late to its inbox fires none of them before it is read to its end, and each second more are due."""
    image, recent = Image(), RecentlyDue(0)
    large = READ // 4
    whole = [timer(number, number, size=large) for number in range(9)]
    for it in whole:
        image.due.add(place_of(it, it.at, it.at + 1))
    for _ in range(3):
        near = [it for it in fires_next(image, 9) if isinstance(it, TimerReference)]
        recent.bring(image, FoundBodies({it.event_id: whole[it.at] for it in near}), near, needed=False)
    assert [it.at for it in image.due.values() if isinstance(it, PendingTimer)] == [*range(5)]
    image.due.exchange(whole[7])
    recent.bring(image, FoundBodies({"t8": whole[8]}), [place_of(whole[8], 8, 9)], needed=False)
    recent.leave(image, 9)
    assert isinstance(image.due["t8"], TimerReference)


def test_of_many_timers_that_were_overdue_the_first_alone_stay_in_memory() -> None:
    """An import schedules them by the hundred thousand; the earliest fire first, by its clock or before an event of their key."""
    image, recent = Image(), RecentlyDue(0)
    image.imports = {"import": ImportClock(1)}
    many = [timer(number, number, f"k{number}")._replace(overdue=True) for number in range(9, -1, -1)]
    for it in many:
        image.due.add(it)
    recent.committed(Changes(0, 0, 0, 0, due=many))
    recent.note(image, 10)
    recent.leave(image, 10**6, most=BESIDE)
    assert [it.at for it in image.due.values() if isinstance(it, PendingTimer)] == [2, 1, 0]
    assert [it.at for it in fires_next(image, 10**6)] == [0]
    assert [it.at for it in imported_next(image, 10**6)] == [*range(10)]


def test_no_more_timers_come_than_are_read_at_once() -> None:
    """However small they are; and they are read again once half of them have fired."""
    image = Image()
    for number in range(EVENTS + 2):
        image.due.add(place_of(timer(number), 0, 1))
    near = fires_next(image, 10)
    assert len(to_read(near)) == len(near) == EVENTS
    for number in range(EVENTS // 2):
        image.due.exchange(timer(number))
    assert to_read(fires_next(image, 10)) == []
    image.due.discard("t0")
    assert len(to_read(fires_next(image, 10))) == EVENTS // 2 + 1
    for number in range(1, 3):
        image.due.discard(f"t{number}")
    assert len(to_read(fires_next(image, 10))) == EVENTS // 2 + 2


def test_what_may_not_leave_is_seldom_looked_at() -> None:
    """Timers that are near, many of them, for each transaction: until half as many have come."""
    image, recent = Image(), RecentlyDue(0)

    def add(first: int, count: int) -> None:
        for number in range(first, first + count):
            image.due.add(PendingTimer(5, EmittedRecord("n", b"k", b"", []), f"t{number}", "k", True))

    add(0, 10)
    one = image.due.memory // 10
    assert recent.must_leave(image, 5 * one)
    recent.note(image, 1)
    recent.leave(image, 5)
    add(10, 4)
    assert not recent.must_leave(image, 5 * one)
    add(14, 2)
    assert recent.must_leave(image, 5 * one)
    for number in range(11):
        image.due.discard(f"t{number}")
    assert not recent.must_leave(image, 5 * one)
    add(16, 3)
    assert recent.must_leave(image, 5 * one)
