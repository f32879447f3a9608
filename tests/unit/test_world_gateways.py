"""Gateways in memory: asked once, answered by the rules, or kept for an operator."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from streams import App, Event, Gateway
from streams.engine import control
from streams.engine.commands import EVENTS_PER_COMMAND
from streams.engine.control import OperatorCommand
from streams.engine.identity import answer_id
from streams.errors import DuplicateHandler
from streams.testing import World, given
from tests.applications import probe, shop
from tests.applications.probe.events import ProbeDo, ProbeRow
from tests.applications.shop.events import (
    Line,
    OrderPlace,
    PaymentCharge,
    PaymentCharged,
    PaymentRefund,
    PaymentRefunded,
    StockReceive,
)

PAYING = (
    StockReceive(sku="A1", quantity=5, price=300),
    OrderPlace(order="o1", customer="c", lines=(Line(sku="A1", quantity=1),)),
)


def test_two_gateways_for_one_event_are_refused() -> None:
    """An event is handled in one way."""
    cards = shop.CardApi()
    gateway = Gateway(PaymentRefund, cards.refund, answers=[PaymentRefunded])
    with pytest.raises(DuplicateHandler, match=r"payment\.refund has two gateways"):
        App(name="two", namespaces=[shop.payment], gateways=[gateway, gateway])


def test_an_answer_has_an_id_from_its_request_alone() -> None:
    """And the request as its cause: so a second answer would be known as one."""
    world = given(shop.app(), *PAYING)
    charge, charged = [entry.event for entry in world.log("payment")]
    assert isinstance(charge.data, PaymentCharge)
    assert isinstance(charged.data, PaymentCharged)
    assert charged.id == answer_id(charge.reference)
    assert (charged.cause, charged.correlation) == (charge.id, charge.correlation)


def test_a_gateway_is_called_where_an_event_loop_runs() -> None:
    """As in an asynchronous test: its request was parked there."""

    async def paid() -> list[Any]:
        world = World(shop.app())
        return world.when(PaymentCharge(order="o1", amount=1), id="c1").emitted

    assert asyncio.run(paid()) == [PaymentCharged(order="o1", receipt="c1")]


def test_a_gateways_event_published_twice_is_called_once() -> None:
    """Handled once, so called once, and answered once."""
    world = World(shop.app())
    charge = PaymentCharge(order="o1", amount=1)
    first = world.when(charge, id="c1")
    assert first.emitted == [PaymentCharged(order="o1", receipt="c1")]
    assert world.when(charge, id="c1").outcome == "duplicate"
    assert world.calls == [charge]


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (OSError("the line is dead"), "the line is dead"),
        (PaymentRefunded(order="o1", receipt="r"), "; it declares: payment.charged, payment.declined"),
        (PaymentCharged(order="o2", receipt="r"), "was asked about 'o1' and answered about 'o2'"),
        (None, "answered NoneType"),
    ],
)
def test_a_call_without_a_right_answer_is_kept_for_an_operator(answer: Any, expected: str) -> None:
    """The request stays in the log, no answer is published, and the reason is reported."""

    class Odd(shop.CardApi):
        async def charge(self, event: Event[PaymentCharge]) -> PaymentCharged:
            if isinstance(answer, Exception):
                raise answer
            made: PaymentCharged = answer
            return made

    world = given(shop.app(Odd()), *PAYING)
    [failed] = world.calls_failed
    assert expected in failed.reason
    assert failed.data == PaymentCharge(order="o1", amount=300)
    assert [entry.event.data for entry in world.log("payment")] == [failed.data]


class Closed(shop.CardApi):
    """Nobody answers."""

    async def charge(self, event: Event[PaymentCharge]) -> PaymentCharged:
        raise ConnectionError("closed")


def test_a_retry_in_memory_calls_nothing_behind_what_is_given_up_again() -> None:
    """As a worker does: what stands behind is parked with it, once."""
    world = World(shop.app(Closed()))
    world.when(PaymentCharge(order="k", amount=1))
    world.when(PaymentCharge(order="k", amount=2))
    image = world.image("payment")
    assert [aside.offset for aside in image.parked["k"]] == [0, 1]
    world.publish("payment", b"k", control.encode(OperatorCommand("retry", "k", 0, "ada")))
    world.settle()
    assert [aside.offset for aside in image.parked["k"]] == [0, 1]
    assert len(world.calls) == 2


def test_a_long_queue_is_let_through_in_memory_too() -> None:
    """The command that the engine leaves behind for itself is no event of the application."""
    world = World(probe.app())
    broken = [True]
    probe.WRONG["switch"] = lambda row, key: 1 / 0 if broken else probe.counted(row)
    count = EVENTS_PER_COMMAND + 2
    for _ in range(count):
        world.when(ProbeDo(name="k", how="switch"))
    broken.clear()
    world.publish("probe", b"k", control.encode(OperatorCommand("retry", "k", 0, "ada")))
    world.settle()
    assert world.image("probe").parked == {}
    assert world.table(probe.probe).get("k") == ProbeRow(count=count, texts={})


def test_answers_are_given_in_place_of_gateways() -> None:
    """Nobody is called; a request without an answer fails, as one does that nobody answers."""

    class Expensive(shop.CardApi):
        async def charge(self, event: Event[PaymentCharge]) -> PaymentCharged:
            raise AssertionError("it was called")

    world = World(
        shop.app(Expensive()), answers=lambda it: PaymentCharged(order=it.key, receipt="r") if it.key == "o1" else None
    )
    world.when(StockReceive(sku="A1", quantity=5, price=3))
    for key in ("o1", "o2"):
        world.when(OrderPlace(order=key, customer="c", lines=(Line(sku="A1", quantity=1),)))
    world.settle()
    assert (world.table(shop.order)["o1"].receipt, world.table(shop.order)["o2"].status) == ("r", "paying")
    [failed] = world.calls_failed
    assert failed.reason == "LookupError: no answer to payment.charge of 'o2' is given"
