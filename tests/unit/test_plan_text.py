"""A correction's plan as lines: what is put in is named by what it is, and what is otherwise is shown."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec
import pytest

from streams.cli.arguments.wrong_usage import WrongUsage
from streams.cli.commands.correct import plan as plan_command
from streams.cli.output.attention import calls_to_see_to
from streams.cli.output.correction_text import changes_text, what_to_do_about
from streams.cli.output.plan_text import plan_lines
from streams.history.branch.change import InsertedEvent
from streams.history.correction.correction_calls import CorrectionCall
from streams.history.correction.correction_plan import (
    CorrectionPlan,
    PlannedRow,
    StoredChange,
    StoredInsertion,
    decode_plan,
    encode_plan,
)
from streams.history.recorded_event import OrderKey
from streams.testing import given
from streams.testing.world import World
from tests.applications import bank, shop
from tests.applications.bank.events import AccountOpen, TransferStart
from tests.applications.shop.events import Line, OrderPlace, StockReceive


def lines_of(plan: CorrectionPlan) -> list[str]:
    """As they are after the plan was written and read."""
    return ["".join(part for part, _ in line) for line in plan_lines(decode_plan(encode_plan(plan)))]


def a_plan(world: World, **change: Any) -> CorrectionPlan:
    return world.history().correct(**change, by="ann", why="typo")


def a_transfer(amount: int) -> TransferStart:
    return TransferStart(transfer="t0", source="a", target="b", amount=amount)


def a_bank() -> World:
    world = World(bank.app())
    for name in ("a", "b"):
        world.when(AccountOpen(account=name, balance=100), id=f"open-{name}")
    return world


def test_what_is_put_in_is_named_by_its_id_and_what_follows_by_its_cause() -> None:
    """And not by the position of the event that it stands by, which is another one."""
    world = a_bank()
    plan = a_plan(world, insert=[InsertedEvent(a_transfer(30), world.now, "fix-1")])
    text = "\n".join(lines_of(plan))
    assert f"transfer.start t0  id fix-1  {world.now:%Y-%m-%d %H:%M:%S}Z  accepted" in text
    assert "account.debit a  because of transfer.start t0  " in text
    assert not [it.name for it in plan.surplus if it.name]
    assert "account-0:" not in text


def test_a_row_with_a_long_map_shows_what_is_otherwise_in_it() -> None:
    """Each entry by itself; both maps, cut off where they are still the same, would show nothing."""
    held = {f"night-{number}": "taken" for number in range(50)}
    row = PlannedRow("room", "r1", 7, {"nights": held}, {"nights": held | {"night-49": "free", "night-50": "mine"}}, 0, 0)
    plan = msgspec.structs.replace(a_plan(a_bank(), remove=["open-a"]), rows=(row,))
    told = ["".join(part for part, _ in line) for line in plan_lines(plan)]
    assert [it for it in told if it.endswith("room r1  version 7: nights.night-49 taken → free · nights.night-50 (none) → mine")]


def test_what_was_never_asked_is_not_taken_back() -> None:
    """A call that only an earlier correction has put in: nothing undoes it, and the plan does not say so."""
    world = World(shop.app())
    world.when(StockReceive(sku="A1", quantity=9, price=3), id="receive")
    order = OrderPlace(order="o1", customer="c", lines=(Line(sku="A1", quantity=1),))
    world.when(order, id="place")
    world.settle()
    asked = a_plan(world, remove=["place"])
    assert [(it.kind, it.undo) for it in asked.calls] == [("would not call", "payment.refund")]
    world.apply(a_plan(world, insert=[InsertedEvent(order_of("o2"), world.now, "put-in")]))
    never = a_plan(world, remove=["put-in"])
    assert [(it.kind, it.key, it.undo) for it in never.calls] == [("would not call", "o2", None)]


def order_of(name: str) -> OrderPlace:
    return OrderPlace(order=name, customer="c", lines=(Line(sku="A1", quantity=1),))


def test_a_list_names_events_by_their_positions() -> None:
    """As `retold story` and `--remove` take them; what has no position is named by its id."""
    put_in = StoredInsertion(b"", 0, "id@home", "", "ref", OrderKey(0, "order", 0, 0))
    change = StoredChange(insert=(put_in,), remove=("ref@order-0:3",))
    assert changes_text(change) == "takes out order-0:3; puts in id@home"
    later = StoredChange(remove=("ref",), replace={"ref": b""})
    assert changes_text(later, {"ref": "id@home"}) == "takes out id@home; replaces id@home"
    again = msgspec.structs.replace(a_plan(a_bank(), remove=["open-a"]), change=StoredChange(again=("ref@order-0:4",)))
    [told] = [line[1][0] for line in plan_lines(again) if line[0][0].startswith("again")]
    assert told.endswith("decided again as the code here decides: order-0:4")


def test_events_that_wait_for_answers_are_told_with_what_becomes_of_rows() -> None:
    """They are in no other count, though a row is deleted: a request with other data is another call, which nobody has answered."""
    world = given(shop.app(), StockReceive(sku="A1", quantity=5, price=300))
    line = Line(sku="A1", quantity=2)
    world.when(OrderPlace(order="o1", customer="c7", lines=(line,)), id="place-1")
    world.settle()
    less = OrderPlace(order="o1", customer="c7", lines=(msgspec.structs.replace(line, quantity=1),))
    told = lines_of(a_plan(world, replace={"place-1": less}))
    assert [it.rstrip() for it in told if it.startswith("open")] == [
        "open        2 events more, for want of answers that nobody has given: what the answers had made of rows and projections "
        "is taken back"
    ]
    assert [it for it in told if "payment o1  version 2" in it and it.endswith("→ (none)")]


def test_open_calls_say_how_they_are_seen_to() -> None:
    """Each correction of which calls can be taken back is named with the command that does it, once."""
    call = CorrectionCall("shop", "c1", "r1", "would not call", "payment.charge", "o1", "e1", "open", undo="payment.refund")
    more = msgspec.structs.replace
    calls = [call, more(call, reference="r2"), more(call, correction="c2", undo=None), more(call, correction="c3", state="closed")]
    undo, close = what_to_do_about(calls)
    assert undo.startswith("2 calls can be taken back")
    assert undo.endswith("retold correct apply c1 --calls undo")
    assert "retold correct close REQUEST" in close
    assert [*what_to_do_about(calls[3:])] == []
    assert [*calls_to_see_to(calls)] == ["Corrections have left 3 calls of gateways to a person: `retold correct open` lists them."]
    assert [*calls_to_see_to(calls[3:])] == []


def test_what_is_taken_out_is_named_by_its_position() -> None:
    """It stands in the log."""
    world = a_bank()
    [opened] = [it for it in world.history().events() if it.event.id == "open-a"]
    assert f"account.open a  {opened.name}  accepted" in "\n".join(lines_of(a_plan(world, remove=["open-a"])))


def test_other_data_is_shown_before_and_after() -> None:
    """As what-if shows it."""
    world = a_bank()
    world.when(a_transfer(30), id="start-0")
    world.settle()
    [line] = [it for it in lines_of(a_plan(world, replace={"start-0": a_transfer(40)})) if "transfer.start" in it]
    assert line.endswith("accepted: amount 30 → 40")


def test_a_projection_is_not_touched_by_what_is_rejected() -> None:
    """It folds what was accepted alone."""
    world = World(shop.app())
    place = OrderPlace(order="o1", customer="c", lines=(Line(sku="x", quantity=1),))
    world.when(StockReceive(sku="x", quantity=9, price=3), id="receive")
    world.when(place, id="place-1")
    world.settle()
    plan = a_plan(world, insert=[InsertedEvent(place, world.now + timedelta(seconds=1), "again")])
    assert [it.outcome.partition(":")[0] for it in plan.surplus] == ["rejected"]
    assert any(OrderPlace in it.folds_by for it in world.app.projections)
    assert plan.projections == ()


@pytest.mark.parametrize("why", ["", " "])
def test_a_plan_without_a_reason_names_the_option(why: str) -> None:
    """With an example, and before a broker is looked for."""
    with pytest.raises(WrongUsage, match=r"--why is missing.*such as --why"):
        plan_command(remove=["x"], why=why)
