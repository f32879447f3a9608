"""The bank and the shop, with all that their tests in memory do, by two workers on Kafka: the same rows."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from streams import App, Event
from streams.data import EventData
from streams.kafka.status import status
from streams.testing import World
from tests.applications import bank, shop
from tests.applications.bank.events import AccountClose, AccountDebit, AccountOpen, TransferStart
from tests.applications.shop.events import (
    Line,
    OrderCancel,
    OrderPlace,
    PaymentCharge,
    PaymentCharged,
    PaymentDeclined,
    StockReceive,
)
from tests.support.inbox import Foreign
from tests.support.workers import Running, settings, until

BANK: tuple[tuple[EventData, ...], ...] = (
    (*(AccountOpen(account=name, balance=100) for name in "abcdef"), AccountOpen(account="empty", balance=0)),
    (
        AccountOpen(account="a", balance=7),
        TransferStart(transfer="done", source="a", target="b", amount=60),
        TransferStart(transfer="failed", source="c", target="d", amount=160),
        TransferStart(transfer="returned", source="e", target="nobody", amount=60),
        AccountDebit(account="f", transfer="unheard", amount=1_000),
    ),
    (
        TransferStart(transfer="done", source="a", target="b", amount=60),
        TransferStart(transfer="back", source="b", target="a", amount=160),
        AccountClose(account="empty"),
        AccountClose(account="f"),
    ),
    (AccountOpen(account="empty", balance=1), TransferStart(transfer="last", source="a", target="empty", amount=201)),
)
"""Each group is handled, with all that follows, before the next begins: between keys there is no other order."""


def order(name: str, *lines: str, customer: str = "c7") -> OrderPlace:
    return OrderPlace(order=name, customer=customer, lines=tuple(Line(sku=sku, quantity=2) for sku in lines))


SHOP: tuple[tuple[EventData, ...], ...] = (
    tuple(StockReceive(sku=f"{name}{n}", quantity=5, price=100 * n) for name in "abcdefg" for n in (1, 2)),
    (
        order("paid", "a1", "a2"),
        order("declined", "b1", "b2", customer="poor"),
        order("one missing", "c1", "none such"),
        order("two of one", "d1", "d1"),
        order("taken back", "e1", "e2"),
        order("unpaid", "f1", customer="unreachable"),
        order("nothing"),
    ),
    (
        order("paid", "g1"),
        order("too many", "d1"),
        OrderCancel(order="two of one", why="changed my mind"),
        OrderCancel(order="taken back", why="changed my mind"),
        OrderCancel(order="nobody's", why="a typo"),
    ),
    (OrderCancel(order="taken back", why="again"), StockReceive(sku="d1", quantity=1, price=9)),
)


class Cards(shop.CardApi):
    """What comes of a charge depends on the customer, who is known by the order."""

    async def charge(self, event: Event[PaymentCharge]) -> PaymentCharged | PaymentDeclined:
        if event.key == "declined":
            return PaymentDeclined(order=event.key, why="no money")
        if event.key == "unpaid":
            raise ConnectionError("the card company does not answer")
        return PaymentCharged(order=event.key, receipt=f"for {event.key}")


def in_memory(app: App, groups: Sequence[Sequence[EventData]], at: datetime) -> dict[str, dict[str, Any]]:
    """The rows after all of it, with every timer of the next minute."""
    world = World(app)
    for group in groups:
        for data in group:
            world.when(data, time=at)
        world.settle()
    world.advance(datetime.now(UTC) - world.now + timedelta(minutes=1))
    tables = {space.name: world.table(space) for space in app.namespaces}
    return {name: {key: table.get(key) for key in table} for name, table in tables.items()}


def on_kafka(
    app: App, groups: Sequence[Sequence[EventData]], at: datetime, place: tuple[Path, str, str]
) -> tuple[Foreign, list[Running], dict[str, dict[str, Any]]]:
    """The same by two workers; gives them running, and the rows that they should come to."""
    expected = in_memory(app, groups, at)
    state, prefix, broker = place
    config = settings(state, prefix, gateway_tries="1")
    foreign = Foreign(app, config, broker)
    with Running(app, config, broker) as one, Running(app, config, broker) as two:
        for group in groups:
            for data in group:
                foreign.publish(data, ce_time=at.isoformat())
            until(lambda: quiet(foreign), "it does not come to rest")
        until(lambda: rows(one, two, expected) == expected, "the rows differ", seconds=20)
        assert any(one.rows(name) for name in expected), "one worker did all of it"
        assert any(two.rows(name) for name in expected), "one worker did all of it"
    return foreign, [one, two], expected


def rows(one: Running, two: Running, names: Any) -> dict[str, dict[str, Any]]:
    return {name: one.rows(name) | two.rows(name) for name in names}


def quiet(foreign: Foreign) -> bool:
    """Nothing waits in an inbox or for a gateway, seen twice: what one handles, it may emit to another."""
    names = [space.name for space in foreign.app.namespaces]
    seen = [status(foreign.clients, foreign.config.prefix, names, foreign.codec).namespaces for _ in range(2)]
    return seen[0] == seen[1] and not any(space.lag or space.calls for space in seen[0])


def test_the_bank(tmp_path: Path, prefix: str, broker: str) -> None:
    """Transfers that are done, fail and come back; accounts that close and open again; what is rejected changes nothing."""
    _, _, expected = on_kafka(bank.app(), BANK, datetime.now(UTC), (tmp_path, prefix, broker))
    statuses = {key: row.status for key, row in expected["transfer"].items()}
    assert statuses == {"done": "done", "failed": "failed", "returned": "returned", "back": "done", "last": "failed"}


def test_the_shop(tmp_path: Path, prefix: str, broker: str) -> None:
    """Orders that are paid, declined, refused, cancelled, and expire because the card company never answers."""
    at = datetime.now(UTC) - shop.PAY_WITHIN + timedelta(seconds=9)
    foreign, _, expected = on_kafka(shop.app(Cards()), SHOP, at, (tmp_path, prefix, broker))
    statuses = {key: row.status for key, row in expected["order"].items()}
    assert statuses == {
        "paid": "paid", "declined": "cancelled", "one missing": "cancelled", "two of one": "cancelled",
        "taken back": "cancelled", "unpaid": "cancelled", "too many": "cancelled",
    }  # fmt: skip
    assert {row.free for key, row in expected["stock"].items() if key not in ("a1", "a2", "d1")} == {5}
    assert [m.key() for m in foreign.read("payment-parked")], "the card company was not given up"
