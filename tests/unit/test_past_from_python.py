"""The examples of docs/howto/past-from-python.md: a notebook's questions to an exported past, and a test's to a World."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from streams import History
from streams.history.recorded_event import RecordedEvent
from streams.testing import given
from tests.applications import shop
from tests.applications.shop.events import Line, OrderPlace, PaymentCharged, StockReceive
from tests.support.partitions import Partitions
from tests.support.stored_pasts import exported

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def exported_shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The past of docs/howto/what-if.md, in shop.retold."""
    there = Partitions(shop.app(), 3, now=NOON)
    there.publish(StockReceive(sku="A1", quantity=5, price=300), "receive-1", there.now)
    there.settle()
    for number, quantity in ((1, 2), (2, 4)):
        there.now += timedelta(hours=1)
        line = Line(sku="A1", quantity=quantity)
        there.publish(OrderPlace(order=f"o{number}", customer="c7", lines=(line,)), f"place-{number}", there.now)
        there.settle()
    exported(there, tmp_path)
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("exported_shop")
def test_a_notebook_asks_an_exported_past() -> None:
    """Rows, times, stories and branches, without a broker."""
    with History.open(shop.app(), "shop.retold") as history:
        orders = history.table(shop.order)
        assert sum(row.total for row in orders.values()) == 600
        assert {key for key, row in orders.items() if row.status == "cancelled"} == {"o2"}

        half_past_one = history.as_of(datetime(2026, 3, 1, 13, 30, tzinfo=UTC))
        assert half_past_one.table(shop.stock)["A1"].free == 3

        [refused] = history.story("place-2").step.effects
        assert refused.event.reason == "not enough in stock"

        more = StockReceive(sku="A1", quantity=1, price=300)
        branch = history.what_if(
            insert=[(more, datetime(2026, 3, 1, 13, 30, tzinfo=UTC))],
            answers=lambda request: PaymentCharged(order=request.key, receipt="r-2"),
        )
        assert branch.table(shop.order)["o2"].status == "paid"
        assert [call.kind for call in branch.difference().calls] == ["would call"]

        branch = history.what_if(code=shop.app(), answers=lambda request: PaymentCharged(order=request.key, receipt="r-3"))
        recorded, decided = (sum(row.count for row in it.table(shop.charges).values()) for it in (history, branch))
        assert decided - recorded == sum(1 for it in branch.difference().surplus if it.event_type == "payment.charge")


def test_an_order_is_not_changed_by_later_deliveries() -> None:
    """A delivery in between changes the stock, and nothing else."""
    ordered = OrderPlace(order="o1", customer="c7", lines=(Line(sku="A1", quantity=2),))
    delivery = StockReceive(sku="A1", quantity=5, price=300)
    world = given(shop.app(), delivery, ordered)
    history = world.history()
    paid = history.when(shop.order, "o1", "status == 'paid'")[0].event
    branch = history.what_if(insert=[(delivery, paid.event.time)])
    assert {change.place for change in branch.difference().rows} == {("stock", "A1")}


def test_a_refused_order_leaves_nothing_behind() -> None:
    """As if it had never been placed: of each order that was refused, no other row knows."""
    orders = [OrderPlace(order=f"o{n}", customer="c7", lines=(Line(sku="A1", quantity=n),)) for n in range(1, 5)]
    world = given(shop.app(), StockReceive(sku="A1", quantity=5, price=300), *orders)
    history = world.history()
    refused = {key for key, row in history.table(shop.order).items() if row.status == "cancelled"}
    assert refused == {"o3", "o4"}
    for key in refused:
        placed: RecordedEvent = next(it for it in history.events() if it.event_type == "order.place" and it.key == key)
        branch = history.what_if(remove=[placed.name])
        assert {change.place for change in branch.difference().rows} == {("order", key)}
