"""The bank and the shop, with all that their tests in memory do, by two workers on Kafka: the same rows."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest

from streams import App, Event
from streams.data import EventData
from streams.engine.envelope import parked_header
from streams.kafka.bounded_read import headers_of
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

Groups = Sequence[Sequence[EventData]]
BANK: Groups = (
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


UNPAID = order("unpaid", "f1", customer="unreachable")
STOCK = tuple(StockReceive(sku=f"{name}{n}", quantity=5, price=100 * n) for name in "abcdefg" for n in (1, 2))
SHOP: Groups = (
    (UNPAID,),
    (
        order("paid", "a1", "a2"),
        order("declined", "b1", "b2", customer="poor"),
        order("one missing", "c1", "none such"),
        order("two of one", "d1", "d1"),
        order("taken back", "e1", "e2"),
        order("nothing"),
    ),
    (
        order("paid", "g1"),
        order("too many", "d1"),
        OrderCancel(order="taken back", why="changed my mind"),
        OrderCancel(order="nobody's", why="a typo"),
    ),
    (OrderCancel(order="two of one", why="changed my mind"),),
    (OrderCancel(order="taken back", why="again"), StockReceive(sku="d1", quantity=1, price=9)),
)


def reversed_keys(group: Sequence[EventData]) -> list[EventData]:
    """The same events, those of the last key first: of one key they stay in order."""
    keys = [data.key for data in group]
    return sorted(group, key=lambda data: -keys.index(data.key))


class Cards(shop.CardApi):
    """What comes of a charge depends on the customer, who is known by the order."""

    async def charge(self, event: Event[PaymentCharge]) -> PaymentCharged | PaymentDeclined:
        if event.key == "declined":
            return PaymentDeclined(order=event.key, why="no money")
        if event.key == "unpaid":
            raise ConnectionError("the card company does not answer")
        return PaymentCharged(order=event.key, receipt=f"for {event.key}")


Times = Callable[[EventData], datetime]
"""When an event happened."""


def in_memory(app: App, groups: Groups, times: Times) -> dict[str, dict[str, Any]]:
    """The rows after all of it, with every timer of the next minutes."""
    world = World(app)
    for group in groups:
        for data in group:
            world.when(data, time=times(data))
        world.settle()
    world.advance(datetime.now(UTC) - world.now + shop.PAY_WITHIN / 2)
    tables = {space.name: world.table(space) for space in app.namespaces}
    return {name: {key: table.get(key) for key in table} for name, table in tables.items()}


@pytest.mark.parametrize(("app", "groups"), [(bank.app, BANK), (lambda: shop.app(Cards()), [STOCK, *SHOP])], ids=["bank", "shop"])
def test_keys_of_a_group_do_not_meet(app: Callable[[], App], groups: Groups) -> None:
    """What a group comes to does not depend on which of its keys is first, or two workers could not be told what to expect."""
    now = datetime.now(UTC)
    turned = [reversed_keys(group) for group in groups]
    assert in_memory(app(), turned, lambda _: now) == in_memory(app(), groups, lambda _: now)


class OnKafka:
    """Two workers of `app`; leaving the block stops them."""

    def __init__(self, app: App, state: Path, prefix: str, broker: str) -> None:
        config = settings(state, prefix, gateway_tries="1")
        self.foreign = Foreign(app, config, broker)
        self._stack, self._make = ExitStack(), lambda: Running(app, config, broker)
        self._workers: list[Running] = []

    def __enter__(self) -> Self:
        with self._stack:  # stops the first if the second does not start
            self._workers = [self._stack.enter_context(self._make()) for _ in range(2)]
            self._stack = self._stack.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stack.__exit__(kind, error, at)

    def publish(self, groups: Groups, times: Times) -> None:
        for group in groups:
            for data in group:
                self.foreign.publish(data, ce_time=times(data).isoformat())
            until(self._quiet, "it does not come to rest")

    def _quiet(self) -> bool:
        """Nothing waits in an inbox or for a gateway, seen twice: what one handles, it may emit to another."""
        clients, prefix, codec = self.foreign.clients, self.foreign.config.prefix, self.foreign.codec
        names = [space.name for space in self.foreign.app.namespaces]
        seen = [status(clients, prefix, names, codec).namespaces for _ in range(2)]
        return seen[0] == seen[1] and not any(space.lag or space.calls for space in seen[0])

    def comes_to(self, expected: dict[str, dict[str, Any]]) -> None:
        def rows() -> dict[str, dict[str, Any]]:
            one, two = self._workers
            return {name: one.rows(name) | two.rows(name) for name in expected}

        until(lambda: rows() == expected, "the rows differ")
        for worker in self._workers:
            assert any(worker.rows(name) for name in expected), "one worker did all of it"


def test_the_bank(tmp_path: Path, prefix: str, broker: str) -> None:
    """Transfers that are done, fail and come back; accounts that close and open again; what is rejected changes nothing."""
    now = datetime.now(UTC)
    expected = in_memory(bank.app(), BANK, lambda _: now)
    with OnKafka(bank.app(), tmp_path, prefix, broker) as kafka:
        kafka.publish(BANK, lambda _: now)
        kafka.comes_to(expected)
    statuses = {key: row.status for key, row in expected["transfer"].items()}
    assert statuses == {"done": "done", "failed": "failed", "returned": "returned", "back": "done", "last": "failed"}


def test_the_shop(tmp_path: Path, prefix: str, broker: str) -> None:
    """Orders that are paid, declined, refused, cancelled, and expire because the card company never answers."""
    now = datetime.now(UTC)
    with OnKafka(shop.app(Cards()), tmp_path, prefix, broker) as kafka:
        began = time.monotonic()
        kafka.publish([STOCK], lambda _: now)
        took = timedelta(seconds=time.monotonic() - began)
        expires = datetime.now(UTC) + timedelta(seconds=2) + 3 * took  # by then this machine has come to the card company

        def times(data: EventData) -> datetime:
            return expires - shop.PAY_WITHIN if data == UNPAID else now

        expected = in_memory(shop.app(Cards()), [STOCK, *SHOP], times)
        kafka.publish(SHOP[:1], times)
        given_up = [parked_header(headers_of(m)).key for m in kafka.foreign.read("payment-parked")]
        assert given_up == ["unpaid"], "it expired before the card company was given up"
        kafka.publish(SHOP[1:], times)
        kafka.comes_to(expected)
    statuses = {key: row.status for key, row in expected["order"].items()}
    assert statuses == {
        "paid": "paid", "declined": "cancelled", "one missing": "cancelled", "two of one": "cancelled",
        "taken back": "cancelled", "unpaid": "cancelled", "too many": "cancelled",
    }  # fmt: skip
    assert {row.free for key, row in expected["stock"].items() if key not in ("a1", "a2", "d1")} == {5}
