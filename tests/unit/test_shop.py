"""The shop in memory: reservation, payment, expiry, projections and a view."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import cast

from streams import Event, Scheduled
from streams.testing import START, given
from tests.applications import shop
from tests.applications.shop.events import (
    ChargesRow,
    Line,
    OrderCancel,
    OrderExpire,
    OrderPlace,
    OrderRow,
    OrdersPerDayRow,
    PaymentCharge,
    PaymentDeclined,
    PaymentRefund,
    StockReceive,
    StockReserve,
    StockRow,
)

A1, B2 = Line(sku="A1", quantity=2), Line(sku="B2", quantity=1)
STOCKED = (StockReceive(sku="A1", quantity=5, price=300), StockReceive(sku="B2", quantity=1, price=1000))
PLACE = OrderPlace(order="o1", customer="c7", lines=(A1, B2))


class Declines(shop.CardApi):
    """A card company that finds no money."""

    async def charge(self, event: Event[PaymentCharge]) -> PaymentDeclined:
        return PaymentDeclined(order=event.key, why="no money")


def test_placing_an_order_asks_the_stock_and_sets_a_timer() -> None:
    """What is emitted at once comes before what is scheduled."""
    result = given(shop.app(), *STOCKED).when(PLACE)
    assert result.emitted == [
        StockReserve(sku="A1", order="o1", quantity=2),
        StockReserve(sku="B2", order="o1", quantity=1),
        Scheduled(OrderExpire(order="o1"), at=START + timedelta(minutes=15)),
    ]


def test_an_order_is_reserved_charged_and_paid() -> None:
    """The whole way through three namespaces, a gateway, two projections and a view."""
    world = given(shop.app(), *STOCKED, PLACE)
    row = world.table(shop.order).get("o1")
    assert row is not None
    assert (row.status, row.total) == ("paid", 1600)
    assert world.table(shop.stock).get("A1") == StockRow(free=3, price=300)
    assert world.calls == [PaymentCharge(order="o1", amount=1600)]
    assert world.calls_failed == []
    assert world.table(shop.orders_per_day).get("2026-01-01") == OrdersPerDayRow(count=1)
    assert list(cast("Mapping[str, OrderRow]", world.view("orders-of/c7"))) == ["o1"]
    assert world.view("orders-of/c8") == {}


def test_a_gateways_event_is_folded_by_projections_too() -> None:
    """It is accepted in the log like any other, so whoever watches sees it."""
    world = given(shop.app(), *STOCKED, PLACE)
    assert world.table(shop.charges).get("o1") == ChargesRow(count=1)


def test_projections_do_not_see_what_was_rejected() -> None:
    """An order placed twice counts once."""
    world = given(shop.app(), *STOCKED, PLACE)
    assert world.when(PLACE).outcome == "rejected"
    assert world.table(shop.orders_per_day).get("2026-01-01") == OrdersPerDayRow(count=1)


def test_a_declined_card_gives_the_stock_back() -> None:
    """The order is cancelled and holds nothing."""
    world = given(shop.app(Declines()), *STOCKED, PLACE)
    row = world.table(shop.order).get("o1")
    assert row is not None
    assert (row.status, dict(row.held)) == ("cancelled", {})
    assert world.table(shop.stock).get("A1") == StockRow(free=5, price=300)


def test_one_missing_line_releases_the_others() -> None:
    """A refused line cancels the order before anyone is charged."""
    world = given(shop.app(), STOCKED[0], PLACE)
    assert world.table(shop.stock).get("A1") == StockRow(free=5, price=300)
    assert world.calls == []


def test_two_lines_of_one_kind_are_held_and_released_whole() -> None:
    """Held goods are counted by kind, so two lines of it neither overwrite nor lose each other."""
    place = OrderPlace(order="o1", customer="c7", lines=(A1, A1))
    world = given(shop.app(), *STOCKED, place)
    assert world.table(shop.stock).get("A1") == StockRow(free=1, price=300)
    world.when(OrderCancel(order="o1", why="changed my mind"))
    assert world.settle().table(shop.stock).get("A1") == StockRow(free=5, price=300)


def test_cancelling_a_paid_order_refunds_it() -> None:
    """The money goes back by the second gateway."""
    world = given(shop.app(), *STOCKED, PLACE, OrderCancel(order="o1", why="changed my mind"))
    assert isinstance(world.calls[-1], PaymentRefund)


def test_an_unpaid_order_expires_after_15_minutes() -> None:
    """The timer finds an order that nobody has paid, and what was reserved too late goes back."""
    world = given(shop.app(), STOCKED[0])
    world.when(OrderPlace(order="o2", customer="c7", lines=(A1,)))
    world.advance(timedelta(minutes=15))
    row = world.table(shop.order).get("o2")
    assert row is not None
    assert row.status == "cancelled"
    assert world.table(shop.stock).get("A1") == StockRow(free=5, price=300)


def test_the_timer_of_a_paid_order_changes_nothing() -> None:
    """Nothing scheduled is called back; it looks at the row and does nothing."""
    world = given(shop.app(), *STOCKED, PLACE)
    world.advance(timedelta(days=1))
    row = world.table(shop.order).get("o1")
    assert row is not None
    assert row.status == "paid"
