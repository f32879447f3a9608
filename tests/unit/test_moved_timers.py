"""A change that moves a timer: it leaves the place where it fired, and fires where it is due, as it would have done live."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from streams import App, Event, Namespace, Outcome, Scheduled
from streams.testing import START, World
from tests.applications import shop, timed
from tests.applications.shop.events import Line, OrderPlace, OrderRow, PaymentCharge
from tests.applications.timed.events import AlarmTouch
from tests.support.other_code import Handler, with_change

Touch = tuple[AlarmTouch, datetime]
NAMES = st.sampled_from(["a", "b"])


def touches(after: st.SearchStrategy[int]) -> st.SearchStrategy[AlarmTouch]:
    return st.builds(AlarmTouch, name=NAMES, number=st.integers(1, 9), after=after, other=st.sampled_from(["", "z"]))


events = st.lists(st.tuples(touches(st.integers(0, 8)), st.integers(1, 5)), min_size=2, max_size=7)


def at_times(found: Sequence[tuple[AlarmTouch, int]]) -> list[Touch]:
    """Each so many hours behind the one before, at a minute of its own; at last each key is touched when all its timers are due."""
    time, touched = START, list[Touch]()
    for data, hours in found:
        time += timedelta(hours=hours, minutes=7)
        touched.append((data, time))
    last = time + timedelta(days=3)
    return [*touched, *((AlarmTouch(name=name, number=1, after=0), last) for name in "ab")]


def played(touched: Sequence[Touch], app: App | None = None) -> World:
    return World(timed.app() if app is None else app).play(touched)


def rows(of: Any) -> list[dict[str, Any]]:
    return [dict(of.table(namespace)) for namespace in (timed.alarm, timed.bell)]


def named(world: World, number: int) -> str:
    roots = [it for it in world.history().events() if isinstance(it.event.data, AlarmTouch)]
    return str(sorted(roots, key=lambda it: it.event.time)[number].name)


@settings(max_examples=60)
@given(events, st.integers(0, 6), touches(st.integers(0, 8)))
@example([(AlarmTouch(name="a", number=1, after=2), 1), (AlarmTouch(name="a", number=2, after=0), 4)], 0,
    AlarmTouch(name="a", number=1, after=5))  # fmt: skip
@example([(AlarmTouch(name="a", number=1, after=5), 1), (AlarmTouch(name="a", number=2, after=0), 4)], 0,
    AlarmTouch(name="a", number=1, after=2))  # fmt: skip
def test_an_event_that_is_replaced_has_its_timers_fire_as_if_it_had_been_so(
    found: list[tuple[AlarmTouch, int]], number: int, other: AlarmTouch
) -> None:
    """Rows depend on what rings before what, and timers on the timers before them."""
    was = at_times(found)
    number %= len(found)
    other = replace(other, name=was[number][0].name)
    world, wanted = played(was), [*was]
    wanted[number] = other, was[number][1]
    branch = world.history().what_if(replace={named(world, number): other})
    assert rows(branch) == rows(played(wanted))


def twice_as_late(handler: Handler) -> Handler:
    def touch(row: Any, event: Any) -> Any:
        data = event.data
        return handler(row, replace(event, data=replace(data, after=2 * data.after)))

    return touch


def at_once(handler: Handler) -> Handler:
    def touch(row: Any, event: Any) -> Any:
        found = handler(row, event)
        return Outcome(found.row, emit=[it.data if isinstance(it, Scheduled) else it for it in found.emit])

    return touch


@pytest.mark.parametrize("change", [twice_as_late, at_once])
@settings(max_examples=30)
@given(events)
def test_code_that_has_timers_fire_at_another_time_decides_as_if_it_had_been_so(
    change: Callable[[Handler], Handler], found: list[tuple[AlarmTouch, int]]
) -> None:
    """A replay by other code is a branch, too; and so is what is not scheduled any more."""
    other = with_change(timed.app(), AlarmTouch, change)
    branch = played(at_times(found)).history().what_if(code=other)
    assert rows(branch) == rows(played(at_times(found), other))


charging = Namespace("order", row=OrderRow)


@charging.handles(OrderPlace, emits=[PaymentCharge])
def place(row: OrderRow | None, event: Event[OrderPlace]) -> Outcome[OrderRow]:
    """Charged after an hour for each line."""
    new = OrderRow(customer=event.data.customer, status="paying", placed=event.time, waiting=0, total=1, held={})
    later = Scheduled(PaymentCharge(order=event.key, amount=1), at=event.time + timedelta(hours=len(event.data.lines)))
    return Outcome(new, emit=[later] if event.data.lines else [])


for paid in shop.order.handlers.keys() - {OrderPlace}:
    charging.handles(paid, emits=shop.order.emits[paid])(shop.order.handlers[paid])


def placed(lines: int, name: str = "o") -> OrderPlace:
    return OrderPlace(order=name, customer="c", lines=tuple(Line(sku="x", quantity=1) for _ in range(lines)))


@pytest.mark.parametrize("lines", [1, 3, 5])
def test_a_request_that_is_made_at_another_time_keeps_its_answer(lines: int) -> None:
    """It is the same request, so nobody would be called otherwise."""
    app = App(name="shop", namespaces=[charging, shop.stock, shop.payment], gateways=shop.app().gateways)
    others = [(placed(0, "p"), START + timedelta(hours=2.5)), (placed(0), START + timedelta(hours=9))]
    world = World(app).play([(placed(2), START), *others])
    first = next(it for it in world.history().events() if it.event_type == "order.place")
    branch = world.history().what_if(replace={first.name: placed(lines)})
    found = branch.difference()
    assert (found.calls, found.missing, found.surplus) == ([], [], [])
    assert {(it.recorded.event_type, *it.what) for it in found.changed} == {("order.place", "data"), ("payment.charge", "time")}
    assert dict(branch.table(shop.payment)) == dict(World(app).play([(placed(lines), START), *others]).table(shop.payment)) != {}
