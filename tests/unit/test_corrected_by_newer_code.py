"""Corrections under code that decides otherwise than the code before, which made the log and the corrections so far.

The number of cases is CORRECTION_CASES (15 unless it is set).
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from streams import App, Event, Outcome, Scheduled
from streams.data import EventData
from streams.engine.records import Entry
from streams.errors import HistoryError
from streams.history.branch.change import Change, InsertedEvent
from streams.history.code.application_handlers import ApplicationHandlers
from streams.history.correction import planning
from streams.history.correction.corrected_log import CorrectedLog
from streams.history.correction.corrected_past import CorrectedPast
from streams.history.correction.correction_plan import CorrectionPlan, plain
from streams.history.correction.merged_change import merged
from streams.history.correction.planning import plan_again, plan_correction
from streams.history.difference.difference import OTHERWISE
from streams.history.past import Past
from streams.history.recorded_event import ANSWER, STEP, Place, RecordedEvent
from tests.applications import bank, permits, shop, timed
from tests.applications.bank.events import AccountCredit, AccountDebit, AccountOpen, TransferFailed, TransferStart
from tests.applications.permits.events import PermitStep
from tests.applications.shop.events import (
    Line,
    OrderLineReserved,
    OrderPlace,
    OrderRow,
    PaymentCharge,
    StockReceive,
    StockReserve,
)
from tests.applications.timed.events import AlarmRing, AlarmTouch, BellRing
from tests.support.corrections import Corrected
from tests.support.other_code import lenient, silent, with_change
from tests.support.partitions import Partitions
from tests.support.pasts import START, live_rows
from tests.unit.test_corrections import a_correction, begun, many, roots


def dearer(handler: Any) -> Any:
    """An order is charged 100 more."""

    def changed(row: OrderRow | None, event: Event[OrderLineReserved]) -> Outcome[OrderRow]:
        outcome = handler(row, event)
        charges = [it for it in outcome.emit if isinstance(it, PaymentCharge)]
        emit = [PaymentCharge(order=it.order, amount=it.amount + 100) for it in charges] or outcome.emit
        return Outcome(replace(outcome.row, total=outcome.row.total + 100) if charges else outcome.row, emit=emit)

    return changed


def newer(generation: int) -> App:
    app = with_change(shop.app(), OrderLineReserved, dearer)
    next(it for it in app.namespaces if it.name == "order").generation = generation
    return app


def planned(here: Corrected, change: Change) -> tuple[CorrectionPlan, CorrectedPast]:
    """A correction as the newer code plans it, and what it makes of the log."""
    log, before = here.log, [*here.changes]
    plan = plan_correction(CorrectedLog(log, before), here.handlers, change, "ann", "a test")
    here.changes.append(plan.change.read(here.handlers.codec))
    return plan, CorrectedPast(log, here.handlers, merged(log, here.changes), applied=merged(log, before))


def put_back(it: RecordedEvent) -> Change:
    return Change([InsertedEvent(it.event.data, it.event.time, it.event.id, source=it.event.source)])


@pytest.mark.parametrize("generation", [1, 2])
def test_what_newer_code_puts_back_is_decided_again_and_has_no_answer_to_what_was_asked_before(generation: int) -> None:
    """The order's row has the new total, so the charge does, and what was answered to the old one counts no more."""
    there = Partitions(shop.app(), 1, now=START)
    there.publish(StockReceive(sku="x", quantity=9, price=3), "receive", there.now)
    there.publish(OrderPlace(order="o", customer="c", lines=(Line(sku="x", quantity=1),)), "place", there.now)
    there.settle()
    here = Corrected(there)
    placed = next(it for it in here.log.events() if it.event.id == "place")
    here.correct(Change(remove=frozenset([placed.exact_name])))
    here.finish()
    here.handlers = ApplicationHandlers(newer(generation), there.codec)
    plan, corrected = planned(here, put_back(placed))
    after = {(it.namespace, it.key): it.after for it in plan.rows}
    assert (after["order", "o"]["total"], after["order", "o"]["status"]) == (103, "paying")
    assert ("payment", "o") not in after  # there is none, and none comes
    assert [it.kind for it in corrected.difference.calls] == [OTHERWISE]
    assert not any(it.kind == ANSWER for it in corrected.past.events())


def charging_more(outcome: Any) -> Any:
    return [replace(it, amount=it.amount + 100) if isinstance(it, PaymentCharge) else it for it in outcome.emit]


def with_emissions(made: Callable[[Any], Any]) -> Any:
    """The row is left as before, and what is emitted is made of what the handler before has decided."""

    def change(handler: Any) -> Any:
        def changed(row: Any, event: Event[Any]) -> Outcome[Any]:
            outcome = handler(row, event)
            return Outcome(outcome.row, emit=made(outcome))

        return changed

    return change


def ringing_more(outcome: Any) -> Any:
    return [replace(it, number=it.number + 1) if isinstance(it, BellRing) else it for it in outcome.emit]


def working_otherwise(outcome: Any) -> Any:
    return [replace(it, what="late") for it in outcome.emit]


def taking_no_money(outcome: Any) -> Any:
    """Of some transfers the money is taken, and the transfer hears that it is not."""
    odd = [it.transfer[-1] in "13579" for it in outcome.emit]
    no = [TransferFailed(transfer=it.transfer, step="debit", why="odd") for it in outcome.emit]
    return [no[at] if odd[at] else it for at, it in enumerate(outcome.emit)]


NEWER: dict[str, tuple[Callable[[], App], type[EventData], Callable[[Any], Any]]] = {
    "bank": (bank.app, AccountDebit, taking_no_money),
    "shop": (shop.app, OrderLineReserved, charging_more),
    "permits": (permits.app, PermitStep, working_otherwise),
    "timed": (timed.app, AlarmRing, ringing_more),
    "waiting": (timed.app, AlarmRing, ringing_more),
    "repeated": (timed.app, AlarmRing, ringing_more),
}
"""By kind, the handler of which event emits something else; rows are as before, so that they need not be built anew."""
ONE = timedelta(minutes=1)


def later(handler: Any) -> Any:
    """What it schedules fires seven minutes later."""

    def changed(row: Any, event: Event[Any]) -> Outcome[Any]:
        outcome = handler(row, event)
        emit = [Scheduled(it.data, at=it.at + 7 * ONE) if isinstance(it, Scheduled) else it for it in outcome.emit]
        return Outcome(outcome.row, emit=emit)

    return changed


OTHERWISE_CODE: list[tuple[str, Callable[[], App], type[EventData], Callable[[Any], Any]]] = [
    ("shop", shop.app, StockReserve, lenient),
    ("shop", shop.app, OrderPlace, later),
    ("bank", bank.app, AccountDebit, lenient),
    ("bank", bank.app, AccountCredit, silent),
    ("timed", timed.app, AlarmTouch, later),
    ("waiting", timed.app, AlarmTouch, silent),
    ("permits", permits.app, PermitStep, silent),
]
"""Newer code that has other outcomes, other timers, or emits less; by kind and by event."""


def says_what_comes(kind: str, seed: int) -> None:
    """By code that leaves rows as they were, so that they can be compared, too."""
    app, event, emissions = NEWER[kind]
    here = said_by(kind, seed, with_change(app(), event, with_emissions(emissions)))
    here.finish()
    assert list(here.corrected().different_rows()) == []
    assert live_rows(here.there) == folded(here.corrected().past, here.handlers)


def said_by(kind: str, seed: int, app: App) -> Corrected:
    """Of a random history: some corrections by the code before, and one by newer code, which often undoes one of these."""
    chosen, here = begun(kind, seed)
    first = a_first_correction(kind, chosen, here)
    here.correct(first)
    here.finish()
    if chosen.random() < 0.3:
        here.correct(a_correction(kind, chosen, here.past, "more"))
        here.finish()
    here.handlers = ApplicationHandlers(app, here.there.codec)
    undoing = what_undoes(first, here) if chosen.random() < 0.5 else None
    before, second = here.past, undoing or a_correction(kind, chosen, here.past, "second")
    plan, corrected = planned(here, second)
    assert_said(plan, before, corrected.past)
    return here


def assert_said(plan: CorrectionPlan, before: Past, after: Past) -> None:
    """The plan names the events that are otherwise behind the correction, but for those that wait for answers, and no others."""
    then, now = contents(before), contents(after)
    otherwise = {it[:3] for it in (then - now) | (now - then)}
    said = {(it.type, it.key, it.id) for it in (*plan.missing, *plan.surplus, *plan.changed)}
    assert said <= otherwise
    assert len(otherwise - said) <= plan.open


def contents(past: Past) -> Counter[Any]:
    events = (it for it in past.events() if it.kind != STEP)
    return Counter((it.event_type, it.key, it.event.id, it.value, it.event.time, it.outcome) for it in events)


def folded(past: Past, handlers: ApplicationHandlers) -> dict[Place, Any]:
    rows: dict[Place, Entry] = {}
    for it in past.events():
        rows[it.place] = handlers.fold(rows.get(it.place, (None, 0)), it)
    return {place: row for place, (row, _) in rows.items() if row is not None}


def a_first_correction(kind: str, chosen: random.Random, here: Corrected) -> Change:
    if chosen.random() < 0.5:
        return Change(remove=frozenset([chosen.choice(roots(here.log)).exact_name]))
    return a_correction(kind, chosen, here.past, "first")


def what_undoes(first: Change, here: Corrected) -> Change | None:
    """None: nothing does so alone."""
    there = [it for it in here.past.events() if it.event.id == "first"]
    if first.remove and not first.insert:
        return put_back(next(it for it in here.log.events() if it.exact_name in first.remove))
    return Change(remove=frozenset([there[0].exact_name])) if first.insert and there else None


@many
@given(st.sampled_from([*NEWER]), st.integers(0, 10**6))
def test_a_plan_of_newer_code_says_what_comes_and_rows_are_what_the_corrected_log_gives(kind: str, seed: int) -> None:
    """Also of what earlier corrections had reached, by the code before, and this one does not."""
    unless_it_cannot_be_told(kind, seed)


def unless_it_cannot_be_told(kind: str, seed: int) -> None:
    """As the newer code cannot tell a row in which it decides otherwise; or as in the laws of corrections."""
    with suppress(HistoryError):
        says_what_comes(kind, seed)


@many
@given(st.sampled_from(OTHERWISE_CODE), st.integers(0, 10**6))
def test_a_plan_says_what_comes_whatever_newer_code_decides_otherwise(
    code: tuple[str, Callable[[], App], type[EventData], Callable[[Any], Any]], seed: int
) -> None:
    """Outcomes, timers and what is not emitted any more."""
    kind, app, event, change = code
    with suppress(HistoryError):
        said_by(kind, seed, with_change(app(), event, change))


def delivered_at_another_price(generation: int) -> Corrected:
    """An order was charged by the code before, then its price was corrected; newer code charges more."""
    there = Partitions(shop.app(), 1, now=START)
    there.publish(StockReceive(sku="x", quantity=9, price=3), "receive", there.now)
    there.settle()
    there.now += ONE
    there.publish(OrderPlace(order="o", customer="c", lines=(Line(sku="x", quantity=1),)), "place", there.now)
    there.settle()
    here = Corrected(there)
    delivery = next(it for it in here.log.events() if it.event.id == "receive")
    here.correct(Change(replace={delivery.exact_name: StockReceive(sku="x", quantity=9, price=4)}))
    here.finish()
    here.handlers = ApplicationHandlers(newer(generation), there.codec)
    return here


AT_THE_PRICE_BEFORE = Change([InsertedEvent(StockReceive(sku="x", quantity=1, price=3), START + timedelta(seconds=30), "more")])
"""Names nothing of the first correction. The order's price is that of the log again, so nothing reaches it."""


@pytest.mark.parametrize("generation", [1, 2])
def test_what_an_earlier_correction_had_reached_is_decided_by_the_code_of_now(generation: int) -> None:
    """Else the row would be the newer code's beside the charge of the code before, and the plan would say something else."""
    here = delivered_at_another_price(generation)
    before = here.past
    plan, corrected = planned(here, AT_THE_PRICE_BEFORE)
    assert_said(plan, before, corrected.past)
    [charge] = [it for it in plan.changed if it.type == "payment.charge"]
    assert (charge.before["amount"], charge.data["amount"]) == (104, 103)
    [there] = [it for it in corrected.past.events() if it.event_type == "payment.charge"]
    assert there.event.data == PaymentCharge(order="o", amount=103)
    rows = {(it.namespace, it.key): it.after for it in plan.rows}
    assert (rows["order", "o"]["total"], rows["order", "o"]["status"]) == (103, "paying")
    assert [it.kind for it in corrected.difference.calls] == [OTHERWISE]
    [again] = plan.change.again  # said to whoever plans it, and kept
    assert next(it for it in here.log.events() if it.exact_name == again).event_type == "order.line_reserved"


def test_what_newer_code_ends_otherwise_where_a_correction_had_reached_is_decided_again() -> None:
    """The log has it as the code before has ended it, and the correction that is undone leaves nothing else to reach it by."""
    there = Partitions(bank.app(), 1, now=START)
    there.publish(AccountOpen(account="a", balance=100), "open", there.now)
    there.settle()
    there.now += 2 * ONE
    there.publish(TransferStart(transfer="t", source="a", target="b", amount=150), "start", there.now)
    there.settle()
    here = Corrected(there)
    here.correct(Change([InsertedEvent(AccountCredit(account="a", transfer="x", amount=1), START + ONE, "more")]))
    here.finish()
    here.handlers = ApplicationHandlers(with_change(bank.app(), AccountDebit, lenient), there.codec)
    before = here.past
    put_in = next(it for it in before.events() if it.event.id == "more")
    plan, corrected = planned(here, Change(remove=frozenset([put_in.exact_name])))
    assert_said(plan, before, corrected.past)
    [debit] = [it for it in here.log.events() if it.event_type == "account.debit"]
    assert not debit.accepted
    assert debit.exact_name in plan.change.again
    assert [it.accepted for it in corrected.past.events() if it.event_type == "account.debit"] == [True]


def test_what_is_decided_again_so_is_set_and_stays() -> None:
    """By the fixed point, and by any later look."""
    here = delivered_at_another_price(1)
    plan, _ = planned(here, AT_THE_PRICE_BEFORE)
    here.finish()
    assert {it: live_rows(here.there)[it] for it in [("order", "o")]} == {
        it: here.corrected().rows[it].row for it in [("order", "o")]
    }
    assert here.finish() == 0
    again = plan_again(CorrectedLog(here.log, here.changes[:-1]), here.handlers, plan)
    assert (again.missing, again.surplus, again.changed) == (plan.missing, plan.surplus, plan.changed)


def test_without_looking_for_it_a_plan_says_what_does_not_come(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is needed for the law above."""
    monkeypatch.setattr(planning, "led_elsewhere", lambda *_: set())
    here = delivered_at_another_price(1)
    before = here.past
    plan, corrected = planned(here, AT_THE_PRICE_BEFORE)
    with pytest.raises(AssertionError):
        assert_said(plan, before, corrected.past)


def test_code_that_decides_as_before_names_nothing_to_decide_again() -> None:
    """Whatever was corrected before."""
    for kind, seed in (("bank", 1), ("shop", 2), ("timed", 3)):
        chosen, here = begun(kind, seed)
        for name in ("first", "second"):
            here.correct(a_correction(kind, chosen, here.past, name))
            here.finish()
        assert [it.again for it in here.changes] == [frozenset()] * 2


def agrees(seed: int) -> None:
    """An answer counts for a request of the same data, of which there is the same one in the log."""
    chosen, here = begun("shop", seed)
    first = a_first_correction("shop", chosen, here)
    here.correct(first)
    here.finish()
    here.handlers = ApplicationHandlers(newer(chosen.choice([1, 2])), here.there.codec)
    log, second = here.log, (what_undoes(first, here) if chosen.random() < 0.7 else None)
    plan, corrected = planned(here, second or a_correction("shop", chosen, here.past, "second"))
    for it in corrected.past.events():
        if it.kind == ANSWER and it.cause is not None:
            asked, request = log.find(it.cause), corrected.past.find(it.cause)
            assert asked is not None
            assert request is not None
            assert request.value == asked.value
    requests = [it for it in (*plan.surplus, *plan.changed) if it.type == "payment.charge"]
    assert [(it.id, plain(found.event.data)) for it in requests if (found := corrected.past.find(it.id)) is not None] == [
        (it.id, it.data) for it in requests
    ]


@many
@given(st.integers(0, 10**6))
def test_an_answer_counts_for_a_request_of_the_same_data(seed: int) -> None:
    """Where newer code asks for another sum, nobody has answered yet."""
    with suppress(HistoryError):
        agrees(seed)
