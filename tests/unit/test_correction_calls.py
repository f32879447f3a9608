"""Calls of gateways that a correction has made wrong: each is taken back once, left to a person, or passed over."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from streams import Event, Gateway
from streams.errors import DefinitionError, InvalidChange, StalePlan
from streams.history.branch.change import InsertedEvent
from streams.history.correction.call_advice import call_advice
from streams.history.correction.correction_calls import CLOSED, OPEN, CorrectionCall, open_call
from streams.testing import World
from tests.applications import shop
from tests.applications.shop.events import (
    Line,
    OrderCancel,
    OrderPlace,
    PaymentCharge,
    PaymentCharged,
    PaymentDeclined,
    PaymentRefund,
    PaymentRefunded,
    StockReceive,
)

Undoing = Callable[[Event[PaymentCharge], Any], Any]


class Declining(shop.CardApi):
    async def charge(self, event: Event[PaymentCharge]) -> PaymentDeclined:
        return PaymentDeclined(order=event.key, why="no money")


def a_shop(cards: shop.CardApi | None = None, undone_by: Undoing | None = shop.refund) -> World:
    """Two orders, both charged."""
    app = shop.app(cards)
    charge, refund = app.gateways
    charge = Gateway(charge.data, charge.call, answers=charge.answers, undo=PaymentRefund, undone_by=undone_by)
    world = World(replace(app, gateways=[charge, refund]))
    world.when(StockReceive(sku="x", quantity=9, price=3), id="receive")
    for number in range(2):
        world.when(OrderPlace(order=f"o{number}", customer="c", lines=(Line(sku="x", quantity=1),)), id=f"place-{number}")
    world.settle()
    return world


def take_out(world: World, name: str = "place-0", calls: str = "ask") -> int:
    return world.apply(world.history().correct(remove=[name], by="ann", why="a test"), calls)


def refunds(world: World) -> list[PaymentRefund]:
    return [it.event.data for it in world.log("payment") if isinstance(it.event.data, PaymentRefund)]


def test_a_call_that_should_not_have_been_is_taken_back_once() -> None:
    """By what its gateway makes of request and answer; applied again, with whatever is asked for, nothing is published."""
    world = a_shop()
    plan = world.history().correct(remove=["place-0"], by="ann", why="a test")
    world.apply(plan, calls="undo")
    [refund] = refunds(world)
    assert refund.order == "o0"
    assert any(isinstance(it.event.data, PaymentRefunded) for it in world.log("payment"))
    assert world.open_calls() == []
    for calls in ("undo", "ask", "skip"):
        world.apply(plan, calls=calls)
    assert refunds(world) == [refund]


def test_a_call_is_left_to_a_person_unless_something_else_is_asked_for() -> None:
    """It is listed, and may be taken back afterwards; another correction leaves it alone."""
    world = a_shop()
    plan = world.history().correct(remove=["place-0"], by="ann", why="a test")
    world.apply(plan)
    [call] = world.open_calls()
    assert (call.kind, call.type, call.key, call.undo) == ("would not call", "payment.charge", "o0", "payment.refund")
    assert refunds(world) == []
    take_out(world, "place-1", calls="undo")
    assert [it.order for it in refunds(world)] == ["o1"]
    assert world.open_calls() == [call]
    world.apply(plan, calls="undo")
    assert [it.order for it in refunds(world)] == ["o1", "o0"]
    assert world.open_calls() == []


def test_a_call_that_is_passed_over_is_not_open() -> None:
    """And not taken back by a later correction either."""
    world = a_shop()
    take_out(world, calls="skip")
    take_out(world, "place-1", calls="undo")
    assert [it.order for it in refunds(world)] == ["o1"]
    assert world.open_calls() == []


def test_a_call_that_is_right_again_is_not_open() -> None:
    """What was taken out is put in again before anybody saw to it."""
    world = a_shop()
    placed = world.history().event("place-0").event
    take_out(world)
    world.apply(world.history().correct(insert=[(placed.data, placed.time, "place-0")], by="ann", why="it was none"), "undo")
    assert (world.open_calls(), refunds(world)) == ([], [])


def test_a_call_that_was_taken_back_and_is_right_again_is_to_be_made_again() -> None:
    """Nobody is called: a person sees that it was taken back, by which event."""
    world = a_shop()
    placed = world.history().event("place-0").event
    take_out(world, calls="undo")
    plan = world.history().correct(insert=[(placed.data, placed.time, "place-0")], by="ann", why="it was none")
    for _ in range(2):
        world.apply(plan, "undo")
        [call] = world.open_calls()
        assert (call.kind, call.key) == ("would call", "o0")
        assert "is to be made once more" in call.why
    assert len(refunds(world)) == 1


def put_back(world: World, placed: Event[Any]) -> None:
    plan = world.history().correct(insert=[(placed.data, placed.time, "place-0")], by="ann", why="it was none")
    for _ in range(2):  # the second time nothing is otherwise
        world.apply(plan)


def seen_to(world: World, why: str) -> None:
    """A person has, of the one open call."""
    [call] = world.open_calls()
    world._corrections.calls[call.reference] = msgspec.structs.replace(call, state=CLOSED, by="bob", why=why)


@pytest.mark.parametrize("of_before", [False, True])
def test_a_call_that_was_taken_back_is_not_to_be_taken_back_once_more(of_before: bool) -> None:
    """Taken out, put back and taken out again, before anybody saw to it. It was left to a person, who would pay twice."""
    world = a_shop()
    placed = world.history().event("place-0").event
    take_out(world, calls="undo")
    put_back(world, placed)
    [call] = world.open_calls()
    if of_before:  # as an earlier version kept it
        world._corrections.calls[call.reference] = msgspec.structs.replace(call, deed=None, wanted="")
    take_out(world)
    assert world.open_calls() == []
    put_back(world, placed)
    [again] = world.open_calls()
    assert "was taken back by" in again.why
    assert "is to be made once more" in again.why
    assert len(refunds(world)) == 1


@pytest.mark.parametrize("calls", ["ask", "undo"])
def test_what_a_person_has_made_once_more_is_taken_back_by_a_person(calls: str) -> None:
    """The event that took back the first one counts for nothing. Right again, nothing is left to do."""
    world = a_shop()
    placed = world.history().event("place-0").event
    take_out(world, calls="undo")
    put_back(world, placed)
    seen_to(world, "charged again by hand")
    take_out(world, calls=calls)
    [call] = world.open_calls()
    assert (call.kind, call.why) == (
        "would not call",
        "bob has seen to it (charged again by hand), and it should not have been made: see whether anything is to be taken back",
    )
    put_back(world, placed)
    assert (world.open_calls(), len(refunds(world))) == ([], 1)


def test_what_a_person_has_taken_back_and_is_right_again_is_to_be_made_again() -> None:
    """It was forgotten, as if nobody had done anything."""
    world = a_shop()
    placed = world.history().event("place-0").event
    take_out(world)
    seen_to(world, "refunded by hand")
    put_back(world, placed)
    [call] = world.open_calls()
    assert (call.kind, call.why) == (
        "would call",
        "bob has seen to it (refunded by hand), and is right again as it was asked: it is to be made once more, unless that was "
        "done",
    )
    take_out(world, calls="undo")
    assert (world.open_calls(), refunds(world)) == ([], [])


def test_what_a_person_has_asked_and_is_not_right_any_more_is_told() -> None:
    """The correction that was to ask it is corrected in its turn."""
    world = a_shop()
    order = OrderPlace(order="o9", customer="c", lines=(Line(sku="x", quantity=1),))
    world.apply(world.history().correct(insert=[(order, world.now, "place-9")], by="ann", why="forgotten"))
    seen_to(world, "charged by hand")
    plan = world.history().correct(remove=["place-9"], by="ann", why="it was none")
    for _ in range(2):
        world.apply(plan)
        [call] = world.open_calls()
        assert (call.kind, call.key, call.why) == (
            "would not call", "o9",
            "bob has seen to it (charged by hand), and it is not to be made any more: see whether anything is to be taken back",
        )  # fmt: skip


@pytest.mark.parametrize("is_seen_to", [False, True])
def test_an_open_call_says_what_is_right_by_now(is_seen_to: bool) -> None:
    """Also if another correction has made that otherwise: a person would ask with what is wrong."""
    world = a_shop()
    take_out(world, "place-1", calls="skip")
    for price in (5, 7):
        data = StockReceive(sku="x", quantity=9, price=price)
        world.apply(world.history().correct(replace={"receive": data}, by="ann", why=f"the price was {price}"))
        [call] = world.open_calls()
        assert f'is right with {{"order":"o0","amount":{price}}}' in call.why
        assert ("bob has seen to it (charged 5)" in call.why) == (is_seen_to and price == 7)
        if is_seen_to:
            seen_to(world, f"charged {price}")


def test_what_was_not_asked_is_left_to_a_person() -> None:
    """Also where calls are to be undone."""
    world = a_shop()
    order = OrderPlace(order="o9", customer="c", lines=(Line(sku="x", quantity=1),))
    world.apply(world.history().correct(insert=[(order, world.now, "place-9")], by="ann", why="forgotten"), "undo")
    [call] = world.open_calls()
    assert (call.kind, call.type, call.key, call.undo) == ("would call", "payment.charge", "o9", None)
    assert call.why == "nobody has asked it: retold publish payment.charge order=o9 amount=3 if it is to be asked"


def test_a_call_that_a_person_has_published_is_not_told_to_be_made_once_more() -> None:
    """A later correction moves the request, and what was published for it is named."""
    world = a_shop()
    order = OrderPlace(order="o9", customer="c", lines=(Line(sku="x", quantity=1),))
    world.apply(world.history().correct(insert=[(order, world.now, "place-9")], by="ann", why="forgotten"))
    world.when(PaymentCharge(order="o9", amount=3))
    world.settle()
    seen_to(world, "charged by hand")
    moved = InsertedEvent(order, world.now, "place-9b")
    world.apply(world.history().correct(remove=["place-9"], insert=[moved], by="ann", why="later"))
    calls = {it.kind: it.why for it in world.open_calls()}
    [asked] = [it.name for it in world.history().events() if it.kind == "root" and it.event_type == "payment.charge"]
    assert calls["would call"].startswith(f"the same was published as {asked}: if that was for it, close it; else retold publish ")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({"a": "it's", "b": None, "c": [1, 2], "d": True}, """retold publish x.y 'a=it'"'"'s' 'c=[1,2]' d=true"""),
        ({"a": "z" * 400}, 'publish x.y with {"a":"zzz'),
        (None, "publish x.y with its data"),
    ],
)
def test_advice_is_a_command_for_a_shell(data: Any, said: str) -> None:
    """Each value as `retold publish` reads it; nothing is cut in the middle of a command."""
    assert call_advice("would call", "x.y", None, None, data).startswith(f"nobody has asked it: {said}")


def test_what_was_asked_with_other_data_is_left_to_a_person() -> None:
    """Also where calls are to be undone: what is to be asked anew is only right behind what was taken back."""
    world = a_shop()
    dearer = {"receive": StockReceive(sku="x", quantity=9, price=4)}
    world.apply(world.history().correct(replace=dearer, by="ann", why="a typo"), "undo")
    assert [(it.kind, it.key, it.undo) for it in world.open_calls()] == [
        ("would call otherwise", key, "payment.refund") for key in ("o0", "o1")
    ]
    assert refunds(world) == []


def test_what_is_put_in_again_with_its_answer_has_no_wrong_call() -> None:
    """The gateway was asked, and what it said is a fact, wherever the request stands now."""
    world = a_shop()
    placed = world.history().event("place-0").event
    for change in ({"remove": ["place-0"]}, {"insert": [(placed.data, placed.time, "place-0")]}):
        world.apply(world.history().correct(**change, by="ann", why="a test"))
    assert world.open_calls() == []


def test_a_no_is_not_taken_back() -> None:
    """Its gateway says that there is nothing to take back."""
    world = a_shop(Declining())
    take_out(world, calls="undo")
    assert (world.open_calls(), refunds(world)) == ([], [])


@pytest.mark.parametrize(
    ("undone_by", "why"),
    [
        (None, "has no `undone_by`"),
        (lambda request, answer: 1 / 0, "raised ZeroDivisionError"),
        (lambda request, answer: PaymentCharged(order=request.key, receipt="r"), "gave PaymentCharged; PaymentRefund was expected"),
    ],
)
def test_a_call_that_cannot_be_taken_back_is_left_to_a_person(undone_by: Undoing | None, why: str) -> None:
    """With the reason; all the rest is corrected."""
    world = a_shop(undone_by=undone_by)
    plan = world.history().correct(remove=["place-0"], by="ann", why="a test")
    world.apply(plan, calls="undo")
    [call] = world.open_calls()
    assert why in call.why
    world.now += timedelta(hours=1)
    world.apply(plan, calls="undo")
    assert world.open_calls() == [call], "nothing is new, so nothing is kept anew"
    assert "o0" not in world.table(shop.order)
    assert refunds(world) == []


def test_a_call_whose_event_was_rejected_is_open_again() -> None:
    """Once the plan is applied again: the event has taken nothing back, and is published once. Right again, it is forgotten."""
    app = shop.app()
    charge, refund = app.gateways
    charge = Gateway(
        charge.data, charge.call, answers=charge.answers, undo=OrderCancel,
        undone_by=lambda request, _: OrderCancel(order=request.key, why="corrected"),
    )  # fmt: skip
    world = World(replace(app, gateways=[charge, refund]))
    world.when(StockReceive(sku="x", quantity=9, price=3), id="receive")
    world.when(OrderPlace(order="o0", customer="c", lines=(Line(sku="x", quantity=1),)), id="place-0")
    world.settle()
    placed = world.history().event("place-0").event
    plan = world.history().correct(remove=["place-0"], by="ann", why="a test")
    world.apply(plan, calls="undo")
    for calls in ("ask", "undo", "ask"):
        world.apply(plan, calls=calls)
        [call] = world.open_calls()
        assert call.why.startswith("order.cancel ")
        assert call.why.endswith(" was to take it back, and was rejected: there is no such order")
    assert [it.header.outcome for it in world.log("order") if isinstance(it.event.data, OrderCancel)] == ["rejected"]
    world.apply(world.history().correct(insert=[(placed.data, placed.time, "place-0")], by="ann", why="it was none"))
    assert [it.type for it in world.open_calls()] == ["payment.refund"]  # of the cancellation, which is accepted then


def a_call(request: str, state: str = OPEN) -> CorrectionCall:
    return CorrectionCall("shop", "c1", f"r-{request}", "would not call", "payment.charge", "o1", request, state)


def test_an_open_call_is_named_by_any_beginning_that_one_request_has() -> None:
    """Its whole id names it also if another one begins with that; nothing names none."""
    calls = {it.reference: it for it in (a_call("7c1e-1"), a_call("7c1e-12"), a_call("7d00"), a_call("8e00", "closed"))}
    assert open_call(calls, "7d").id == "7d00"
    assert open_call(calls, "7c1e-1").id == "7c1e-1"
    for request, count in (("7", 3), ("8", 0), ("", 0)):
        with pytest.raises(StalePlan, match=f"{count} open calls have a request whose id begins with"):
            open_call(calls, request)


def test_another_word_is_refused_before_anything_happens() -> None:
    """With the words that there are."""
    world = a_shop()
    with pytest.raises(InvalidChange, match="ask, undo or skip was expected"):
        take_out(world, calls="call")
    assert "o0" in world.table(shop.order)


def test_a_gateway_that_makes_no_named_event_is_refused() -> None:
    """What undoes must have a class, which `retold check` looks for."""
    with pytest.raises(DefinitionError, match="and no `undo`"):
        Gateway(PaymentCharge, shop.CardApi().charge, answers=[PaymentCharged], undone_by=shop.refund)
