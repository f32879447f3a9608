"""A correction by code whose requests to gateways have other data: answers are taken for those that they were given to."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from streams import App, Event, Outcome
from streams.cli.output.correction_text import changes_text
from streams.cli.output.plan_text import plan_lines
from streams.history.branch.change import Change
from streams.history.code.application_handlers import ApplicationHandlers
from streams.history.correction.corrected_log import CorrectedLog
from streams.history.correction.correction_calls import ASK, settle_calls
from streams.history.correction.correction_plan import CorrectionPlan, decode_plan, encode_plan
from streams.history.correction.decided_otherwise import decided_otherwise
from streams.history.correction.planning import plan_again, plan_correction
from streams.history.recorded_event import ANSWER
from streams.testing import World
from tests.applications import shop
from tests.applications.shop.events import Line, OrderLineReserved, OrderPlace, PaymentCharge, StockReceive
from tests.support.corrections import Corrected
from tests.support.other_code import with_change
from tests.support.partitions import Partitions
from tests.support.pasts import START, live_rows, made
from tests.support.waiting_in import WaitingIn
from tests.unit.test_corrected_by_newer_code import put_back
from tests.unit.test_corrections import many


def charging(more: int) -> App:
    """The rows of orders stay, and what the gateway is asked with is otherwise, as where a request has another field."""

    def change(handler: Any) -> Any:
        def changed(row: Any, event: Event[Any]) -> Outcome[Any]:
            outcome = handler(row, event)
            emit = [replace(it, amount=it.amount + more) if isinstance(it, PaymentCharge) else it for it in outcome.emit]
            return Outcome(outcome.row, emit=emit)

        return changed

    return with_change(shop.app(), OrderLineReserved, change)


def a_paid_order() -> Corrected:
    there = Partitions(shop.app(), 1, now=START)
    there.publish(StockReceive(sku="x", quantity=9, price=3), "receive", there.now)
    there.publish(OrderPlace(order="o", customer="c", lines=(Line(sku="x", quantity=2),)), "place", there.now)
    there.settle()
    here = Corrected(there)
    assert live_rows(there)["order", "o"].status == "paid"
    here.handlers = ApplicationHandlers(charging(1), there.codec)
    return here


def planned(here: Corrected, change: Change, *, assume_answers: bool) -> CorrectionPlan:
    """A correction that is begun, as it is kept."""
    so_far = CorrectedLog(here.log, [*here.changes])
    made = plan_correction(so_far, here.handlers, change, "ann", "a test", assume_answers=assume_answers)
    plan = decode_plan(encode_plan(made))
    assert plan_again(so_far, here.handlers, plan).digest == plan.digest, "who carries it out decides otherwise"
    here.changes.append(plan.change.read(here.handlers.codec))
    return plan


def otherwise(here: Corrected, *, assume_answers: bool) -> Change:
    return decided_otherwise(
        here.past, here.handlers, "order", WaitingIn(here.there), assume_answers=assume_answers, earlier=here.changes
    )


def decided_again(here: Corrected, *, assume_answers: bool) -> CorrectionPlan:
    change = otherwise(here, assume_answers=assume_answers)
    assert change.again
    return planned(here, change, assume_answers=assume_answers)


def replaced(here: Corrected, quantity: int) -> Change:
    placed = next(it for it in here.log.events() if it.event.id == "place")
    return Change(replace={placed.exact_name: replace(placed.event.data, lines=(Line(sku="x", quantity=quantity),))})


def told(plan: CorrectionPlan) -> str:
    return "\n".join("".join(part for part, _ in line) for line in plan_lines(plan))


def test_a_request_with_other_data_keeps_its_answer_where_that_is_asked_for() -> None:
    """Without, all that the answer has led to is taken back. With it, the request is otherwise, and nobody is to call again."""
    here = a_paid_order()
    without = decided_again(here, assume_answers=False)
    assert without.open
    assert {(it.namespace, it.key) for it in without.rows} == {("order", "o"), ("payment", "o")}
    here = a_paid_order()
    plan = decided_again(here, assume_answers=True)
    assert (plan.rows, plan.open, plan.calls, plan.missing) == ((), 0, (), ())
    assert [(it.type, it.what) for it in plan.changed] == [("payment.charge", ("data",))]
    assert "answers     1 request with other data keeps its answer" in told(plan)
    assert changes_text(plan.change).endswith("; keeps 1 answer")
    assert "answers  " not in told(without)
    assert "keeps" not in changes_text(without.change)
    read_by = [here.handlers.codec.schema_ids()[it] for it in plan.change.schema_ids]  # by older code, too
    assert read_by == ["payment.charge"]
    assert here.finish() == 0


def test_a_call_of_which_the_answer_is_assumed_is_left_to_nobody() -> None:
    """It was made, and what it was answered counts: there is nothing to take back."""
    for assume_answers, left in ((False, 1), (True, 0)):
        here = a_paid_order()
        decided_again(here, assume_answers=assume_answers)
        here.finish()
        settled = settle_calls(
            here.corrected(), here.log, here.handlers, {}, correction="c1", by="ann", policy=ASK, now=0,
            publish=lambda _: None,
        )  # fmt: skip
        assert len(settled.changed) == left


def test_an_answer_counts_for_the_data_for_which_it_was_assumed() -> None:
    """A later correction by which the order costs more asks for another amount: its answer is not known."""
    here = a_paid_order()
    decided_again(here, assume_answers=True)
    here.finish()
    unlike = planned(here, replaced(here, 3), assume_answers=False)
    assert unlike.open
    assert [it.kind for it in unlike.calls] == ["would call otherwise"]
    here.changes.pop()
    same = planned(here, replaced(here, 2), assume_answers=False)
    assert same.is_empty


def test_an_assumed_answer_stays_where_its_order_is_taken_out_and_put_back() -> None:
    """What is said of the last correction is what comes: the answer is there again."""
    here = a_paid_order()
    placed = next(it for it in here.log.events() if it.event.id == "place")
    decided_again(here, assume_answers=True)
    planned(here, Change(remove=frozenset([placed.exact_name])), assume_answers=False)
    here.finish()
    assert ("order", "o") not in live_rows(here.there)
    plan = planned(here, put_back(placed), assume_answers=False)
    assert {it.type for it in plan.surplus} >= {"payment.charge", "payment.charged", "order.paid"}
    assert not plan.open
    here.finish()
    assert live_rows(here.there)["order", "o"].status == "paid"


def test_it_is_assumed_for_any_change() -> None:
    """Also where the event that is replaced changes the request itself."""
    here = a_paid_order()
    here.handlers = ApplicationHandlers(shop.app(), here.there.codec)
    plan = planned(here, replaced(here, 3), assume_answers=True)
    assert not plan.open
    after = {(it.namespace, it.key): it.after for it in plan.rows}
    assert (after["order", "o"]["total"], after["order", "o"]["status"]) == (9, "paid")
    assert ("payment", "o") not in after
    here.finish()
    assert live_rows(here.there)["order", "o"].status == "paid"


def test_what_an_earlier_correction_has_left_without_answers_gets_them_back() -> None:
    """Whoever had not asked for it does so with the next one."""
    here = a_paid_order()
    decided_again(here, assume_answers=False)
    here.finish()
    assert live_rows(here.there)["order", "o"].status == "paying"
    assert not otherwise(here, assume_answers=False).again
    plan = decided_again(here, assume_answers=True)
    assert not plan.open
    assert {it.type for it in plan.surplus} == {"payment.charged", "order.paid"}
    here.finish()
    rows = live_rows(here.there)
    assert (rows["order", "o"].status, rows["payment", "o"].status) == ("paid", "charged")
    assert not otherwise(here, assume_answers=True).again


@many
@given(seed=st.integers(0, 10**6))
def test_where_all_answers_are_assumed_all_rows_stay(seed: int) -> None:
    """Of any shop: each request is another one, and all that follows from its answer is as it was."""
    there = made("shop", seed)[1]
    there.settle()
    here, before = Corrected(there), live_rows(there)
    here.handlers = ApplicationHandlers(charging(1), there.codec)
    change = otherwise(here, assume_answers=True)
    answered = any(it.kind == ANSWER for it in here.log.events())
    assert bool(change.again) >= answered
    planned(here, change, assume_answers=True)
    assert here.finish() == 0
    assert live_rows(there) == before
    asked = {it.reference: it.event.data for it in here.past.events() if it.event_type == "payment.charge"}
    assert all(asked[name] == data for name, data in here.changes[0].assumed.items())


def test_what_a_correction_asks_otherwise_by_itself_gets_no_old_answer() -> None:
    """It has another amount, as somebody has said: that newer code is decided again with is no reason to take the old answer."""
    here = a_paid_order()
    here.handlers = ApplicationHandlers(shop.app(), here.there.codec)
    assert planned(here, replaced(here, 3), assume_answers=False).open
    here.finish()
    assert not otherwise(here, assume_answers=True).again


def test_a_plan_without_assumed_answers_is_written_as_before() -> None:
    """So its digest is the same, and plans that an earlier version wrote are taken."""
    plan = decided_again(a_paid_order(), assume_answers=False)
    assert "assumed" not in msgspec.json.decode(encode_plan(plan))["change"]


def test_a_history_plans_so_too() -> None:
    """From Python, where an event is replaced."""
    world = World(shop.app())
    world.when(StockReceive(sku="x", quantity=9, price=3), id="receive")
    order = OrderPlace(order="o", customer="c", lines=(Line(sku="x", quantity=2),))
    world.when(order, id="place")
    world.settle()
    more = {"place": replace(order, lines=(Line(sku="x", quantity=3),))}
    assert world.history().correct(replace=more, by="ann", why="a test").open
    plan = world.history().correct(replace=more, by="ann", why="a test", assume_answers=True)
    world.apply(plan)
    row = world.table(shop.order)["o"]
    assert (row.total, row.status) == (9, "paid")
