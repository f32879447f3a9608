"""Corrections in a World: a plan is shown, applied, and corrected again."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec
import pytest

from streams.cli.output.story_text import key_story_lines
from streams.codec import codec_of
from streams.data import EventData
from streams.engine import control
from streams.engine.control import OperatorCommand
from streams.engine.step import encode_step
from streams.errors import HistoryError, InvalidChange, NoSuchEvent, StalePlan, TooBusy
from streams.history.branch.change import InsertedEvent
from streams.history.code.application_handlers import ApplicationHandlers
from streams.history.correction import fixed_point
from streams.history.correction.corrected_past import CorrectedPast, DifferentRow, Signature
from streams.history.correction.correction_plan import CorrectionPlan, decode_plan, encode_plan
from streams.history.correction.fixed_point import ROUNDS_IN_VAIN
from streams.history.correction.last_corrected import LastCorrected
from streams.history.event_lookup import in_memory
from streams.history.history import History
from streams.history.history_contents import HistorySource
from streams.history.past import MemoryPast
from streams.history.recorded_event import STEP
from streams.testing.world import START, World
from streams.testing.world_corrections import MemoryCorrections
from streams.testing.world_history import events_of
from tests.applications import bank, shop, timed
from tests.applications.bank import account, transfer
from tests.applications.bank.events import AccountCredit, AccountOpen, TransferStart
from tests.applications.shop.events import Line, OrderPlace, PaymentCharged, StockReceive
from tests.applications.timed.events import AlarmTouch

ONE = TransferStart(transfer="t0", source="a", target="b", amount=1)


def recorded_past(handlers: ApplicationHandlers, world: World) -> MemoryPast:
    return MemoryPast(it for space in world._run.spaces.values() for it in events_of(handlers, space))


def a_bank() -> World:
    world = World(bank.app())
    for name in ("a", "b"):
        world.when(AccountOpen(account=name, balance=100), id=f"open-{name}")
    for number, amount in enumerate((30, 90)):
        world.now += timedelta(minutes=1)
        world.when(TransferStart(transfer=f"t{number}", source="a", target="b", amount=amount), id=f"start-{number}")
        world.settle()
    return world


def a_plan(world: World, **change: Any) -> CorrectionPlan:
    return world.history().correct(**{"by": "ann", "why": "typo"} | change)


def balances(world: World) -> dict[str, int]:
    return {key: row.balance for key, row in world.table(account).items()}


def test_what_is_taken_out_never_was() -> None:
    """The transfer that had failed for want of its money succeeds; an event that comes later is handled on the corrected rows."""
    world = a_bank()
    assert balances(world) == {"a": 70, "b": 130}
    plan = a_plan(world, remove=["start-0"])
    assert {(it.namespace, it.key) for it in plan.rows} == {
        ("account", "a"), ("account", "b"), ("transfer", "t0"), ("transfer", "t1"),
    }  # fmt: skip
    assert balances(world) == {"a": 70, "b": 130}
    assert world.apply(plan) == 4
    assert balances(world) == {"a": 10, "b": 190}
    assert set(world.table(transfer)) == {"t1"}
    assert world.when(TransferStart(transfer="t2", source="a", target="b", amount=20)).accepted
    world.settle()
    assert world.table(transfer)["t2"].status == "failed"
    assert balances(world) == {"a": 10, "b": 190}


def test_a_plan_shows_everything_before_anything_happens() -> None:
    """Rows with their versions, events taken out and put in, and what is otherwise."""
    world = a_bank()
    plan = a_plan(world, replace={"start-0": TransferStart(transfer="t0", source="a", target="b", amount=10)})
    [row] = [it for it in plan.rows if (it.namespace, it.key) == ("account", "a")]
    assert (row.version, row.before, row.after) == (world.image("account").rows["a"][1], {"balance": 70}, {"balance": 0})
    assert {it.type for it in plan.surplus} == {"transfer.done", "account.credit"}
    assert ("transfer.start", ("data",)) in [(it.type, it.what) for it in plan.changed]
    assert decode_plan(encode_plan(plan)) == plan


def test_what_is_put_in_stands_where_it_would_have_come() -> None:
    """Before what came later: so that is refused now."""
    world = a_bank()
    event = TransferStart(transfer="early", source="a", target="b", amount=80)
    world.apply(a_plan(world, insert=[(event, START + timedelta(seconds=1))]))
    assert balances(world) == {"a": 20, "b": 180}
    assert {key: row.status for key, row in world.table(transfer).items()} == {"early": "done", "t0": "failed", "t1": "failed"}


def test_applying_twice_writes_nothing() -> None:
    """The second time nothing differs."""
    world = a_bank()
    plan = a_plan(world, remove=["start-0"])
    assert world.apply(plan) == 4
    count = len(world.log("account"))
    assert world.apply(plan) == 0
    assert len(world.log("account")) == count


def test_whoever_has_seen_the_corrected_row_may_write_on_it() -> None:
    """The version that the step gave the row is that of the corrected row, so such an event counts, and nothing differs."""
    world = a_bank()
    plan = a_plan(world, remove=["start-0"])
    world.apply(plan)
    version = world.image("account").rows["a"][1]
    assert world.when(AccountCredit(account="a", transfer="t", amount=5), expected_version=version).accepted
    world.settle()
    assert world.apply(plan) == 0
    assert balances(world)["a"] == 15


def test_what_is_put_in_at_the_end_stands_before_what_comes_later() -> None:
    """Also before a late event, which happened before it."""
    world = World(timed.app())
    world.when(AlarmTouch(name="k", number=1, after=0, other=""), id="first")
    plan = a_plan(world, insert=[(AlarmTouch(name="k", number=2, after=0, other=""), world.now)])
    world.apply(plan)
    world.when(AlarmTouch(name="k", number=4, after=0, other=""), time=world.now - timedelta(hours=1))
    assert world.apply(plan) == 0
    assert world.table(timed.alarm)["k"].trace == "t1t2t4"


def test_a_correction_is_corrected() -> None:
    """What was taken out is put in again; rows are as they were, and so is the history."""
    world = a_bank()
    before, rows = told(world), balances(world)
    was = world.history().event("start-0").event
    world.apply(a_plan(world, remove=["start-0"]))
    assert told(world) != before
    again = InsertedEvent(was.data, was.time, was.id, source=was.source)
    world.apply(a_plan(world, insert=[again]))
    assert (told(world), balances(world)) == (before, rows)


def told(world: World) -> list[tuple[str, EventData, str]]:
    return [(it.reference, it.event.data, str(it.outcome)) for it in world.history().events()]


def test_who_and_why_are_in_the_log() -> None:
    """Each step has its record, with the version that it gave the row."""
    world = a_bank()
    plan = a_plan(world, remove=["start-0"])
    world.apply(plan)
    last = world.log("account")[-1]
    assert (last.header.outcome, last.event.data.who, last.event.data.why) == ("corrected", "ann", "typo")  # type: ignore[attr-defined]
    assert last.event.data.correction == plan.correction  # type: ignore[attr-defined]
    assert world.image("account").rows[last.event.key][1] == last.header.sequence


def test_the_story_of_the_log_shows_who_has_set_a_row() -> None:
    """With what it changed; `when` finds it, and a branch does not tell what it does not know."""
    world = a_bank()
    world.apply(a_plan(world, remove=["start-0"]))
    handlers = ApplicationHandlers(world.app, codec_of(world.app))
    log = recorded_past(handlers, world)
    as_recorded = History(log, handlers, HistorySource(in_memory))
    lines = key_story_lines(as_recorded.row_story("account", "a"), world.now, 140)
    text = "\n".join("".join(part for part, _ in line) for line in lines)
    assert "account.correction-step a" in text
    assert "corrected by ann: typo\n   balance 70 → 10" in text
    [turn] = as_recorded.when("account", "a", "balance == 10")
    assert turn.event.kind == STEP
    [untold] = as_recorded.what_if(remove=["start-1"]).difference().untold
    assert (untold.place, "was set by a correction" in untold.why) == (("transfer", "t1"), True)
    with pytest.raises(HistoryError, match="what else that has changed is not known here"):
        as_recorded.correct(remove=["start-1"], by="ann", why="x")
    with pytest.raises(InvalidChange, match="is a step of the correction"):
        as_recorded.what_if(remove=[turn.event.name])


def test_projections_are_folded_over_the_corrected_past() -> None:
    """An order that never was is in none of them."""
    world = World(shop.app())
    world.when(StockReceive(sku="x", quantity=9, price=3), id="receive")
    for number in range(2):
        world.when(OrderPlace(order=f"o{number}", customer="c", lines=(Line(sku="x", quantity=1),)), id=f"place-{number}")
    world.settle()
    other = World(shop.app())
    other.when(StockReceive(sku="x", quantity=9, price=3), id="receive")
    other.when(OrderPlace(order="o1", customer="c", lines=(Line(sku="x", quantity=1),)), id="place-1")
    other.settle()
    plan = a_plan(world, remove=["place-0"])
    assert [(it.kind, it.key, it.undo) for it in plan.calls] == [("would not call", "o0", "payment.refund")]
    assert set(plan.projections) == {projection.name for projection in world.app.projections}
    world.apply(plan)
    for projection in world.app.projections:
        assert dict(world.table(projection)) == dict(other.table(projection))
    assert world.table(shop.stock) == other.table(shop.stock)


def test_a_timer_of_what_never_was_does_not_ring() -> None:
    """And one that should have been set rings when it is due."""
    world = World(timed.app())
    world.when(AlarmTouch(name="k", number=1, after=5, other=""), id="wrong")
    world.apply(a_plan(world, remove=["wrong"], insert=[(AlarmTouch(name="k", number=3, after=3, other=""), world.now)]))
    world.advance(timedelta(hours=4))
    assert world.table(timed.alarm)["k"].trace == "t3r3"
    world.advance(timedelta(hours=4))
    assert "r1" not in world.table(timed.alarm)["k"].trace


def test_a_correction_whose_timer_fires_as_it_begins_ends_once_that_time_is_over() -> None:
    """It puts the timer off, which has fired before its step came: it cannot fire once more. It stays possible to correct."""
    world = World(timed.app())
    world.when(AlarmTouch(name="k", number=1, after=1, other=""), id="first")
    plan = a_plan(world, replace={"first": AlarmTouch(name="k", number=1, after=5, other="")})
    world._corrections.begin(plan)
    world.advance(timedelta(hours=2))
    assert world.table(timed.alarm)["k"].rung
    for hours in (0, 4):  # the second time, nothing was handled since
        world.advance(timedelta(hours=hours))
        with pytest.raises(HistoryError, match=r"would fire once more at .* can be applied to its end once something was handled"):
            world.apply(plan)
    world.when(AlarmTouch(name="j", number=2, after=0, other=""))
    assert world.apply(plan) == 0
    world.apply(a_plan(world, remove=["first"]))
    assert "k" not in world.table(timed.alarm)


@pytest.mark.parametrize(
    ("change", "error", "said"),
    [
        ({"remove": ["nobody"]}, NoSuchEvent, "nobody"),
        ({"remove": ["start-0"], "by": " "}, InvalidChange, "who corrects"),
        ({"remove": ["start-0"], "why": ""}, InvalidChange, "why"),
        ({"remove": ["start-0"], "why": "x" * 1001}, InvalidChange, "at most 1000"),
    ],
)
def test_what_cannot_be_planned_is_said(change: dict[str, Any], error: type[Exception], said: str) -> None:
    """With what was expected."""
    with pytest.raises(error, match=said):
        a_plan(a_bank(), **change)


def test_a_derived_event_and_a_step_are_not_corrected() -> None:
    """Its root is named, or the correction."""
    world = a_bank()
    [debit, *_] = [it for it in world.history().events() if it.event_type == "account.debit"]
    with pytest.raises(InvalidChange, match="start-0"):
        a_plan(world, remove=[debit.name])
    plan = a_plan(world, remove=["start-0"])
    world.apply(plan)
    with pytest.raises(NoSuchEvent):
        a_plan(world, remove=["start-0"])


def test_a_correction_at_whose_consequence_a_handler_raises_is_refused() -> None:
    """Nothing was done."""
    world = World(timed.app())
    world.when(AlarmTouch(name="k", number=1, after=0, other=""), id="right")
    with pytest.raises(InvalidChange, match="ZeroDivisionError"):
        a_plan(world, replace={"right": AlarmTouch(name="k", number=99, after=0, other="")})
    assert len(world.log("alarm")) == 1


def test_a_plan_that_was_edited_or_is_of_another_log_is_refused() -> None:
    """By its digest, and by the first event of its log."""
    world = a_bank()
    plan = a_plan(world, remove=["start-0"])
    edited = msgspec.structs.replace(plan, by="eve")
    with pytest.raises(StalePlan, match="not as it was written"):
        world.apply(edited)
    with pytest.raises(StalePlan, match="not as it was written"):
        decode_plan(encode_plan(edited))
    with pytest.raises(StalePlan, match="no plan"):
        decode_plan(b"{}")
    other = World(bank.app())
    other.when(AccountOpen(account="z", balance=1), id="open-z")
    with pytest.raises(StalePlan, match="another log"):
        other.apply(plan)
    with pytest.raises(StalePlan, match="application"):
        World(shop.app()).apply(plan)


def test_an_answer_that_comes_late_is_corrected_when_the_plan_is_applied_again() -> None:
    """It was not in the log before. Nothing is left of the order then, as if it had never been placed."""
    world = World(shop.app(), answers=lambda _: None)
    world.when(StockReceive(sku="x", quantity=9, price=3), id="receive")
    world.when(OrderPlace(order="o1", customer="c", lines=(Line(sku="x", quantity=1),)), id="place-1")
    world.settle()
    plan = a_plan(world, remove=["place-1"])
    assert world.apply(plan) > 0
    first = world.image("payment").parked["o1"][0]
    answer = world.encode(PaymentCharged(order="o1", receipt="r-1"))
    command = OperatorCommand("answer", "o1", first.offset, "ann", value=answer, timer=first.timer)
    world.publish("payment", b"o1", control.encode(command))
    world.settle(parked="allow")
    assert world.apply(plan) == 1  # the payment that the answer has made
    assert world.apply(plan) == 0
    assert (dict(world.table(shop.order)), dict(world.table(shop.payment))) == ({}, {})
    assert world.table(shop.stock)["x"].free == 9


@pytest.mark.parametrize("second", [{"replace": {"start-0": ONE}}, {"remove": ["start-0"]}], ids=["replaced", "taken out"])
@pytest.mark.parametrize("is_put_in", [False, True])
def test_what_another_correction_has_made_impossible_is_not_begun(second: dict[str, Any], is_put_in: bool) -> None:
    """A plan that was made before that one is stale; what comes later is not held up by it."""
    world = a_bank()
    if is_put_in:
        world.apply(a_plan(world, remove=["start-0"]))
        world.apply(a_plan(world, insert=[InsertedEvent(ONE, world.now, "new")]))
        second = {how: ["new"] if how == "remove" else {"new": ONE} for how in second}
    first = a_plan(world, remove=["new" if is_put_in else "start-0"])
    late = a_plan(world, why="another reason", **second)
    world.apply(first)
    how = "replaced" if "replace" in second else "taken out"
    what = "an event that was put in" if is_put_in else r"transfer\.start transfer-\d:\d"
    with pytest.raises(StalePlan, match=f"{what} was to be {how}, and a correction has taken it out since"):
        world.apply(late)
    assert world.apply(first) == 0
    world.apply(a_plan(world, remove=["start-1"]))
    assert balances(world) == {"a": 100, "b": 100}


def test_a_row_that_never_stands_still_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a bound, with the row's name; nothing but whole steps was written."""
    world = a_bank()
    plan = a_plan(world, remove=["start-0"])
    publish = MemoryCorrections._publish

    def too_late(self: MemoryCorrections, steps: Any) -> None:
        world.when(AccountCredit(account=steps[0].entity, transfer="t", amount=1))
        publish(self, steps)

    monkeypatch.setattr(fixed_point, "STEPS_OF_A_ROUND", 1)
    monkeypatch.setattr(MemoryCorrections, "_publish", too_late)
    with pytest.raises(TooBusy, match=f"moved {ROUNDS_IN_VAIN} times"):
        world.apply(plan)
    assert balances(world) == {"a": 70 + ROUNDS_IN_VAIN, "b": 130}
    monkeypatch.undo()
    assert world.apply(plan) == 3  # the transfer, which comes first, stood still


def test_a_step_that_is_handled_and_not_taken_is_sent_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its row stands still, so what is wrong is not that the row moves; the sentence names it."""
    world = a_bank()
    plan = a_plan(world, remove=["start-0"])
    publish, rounds = MemoryCorrections._publish, []

    def set_aside(self: MemoryCorrections, steps: Any) -> None:
        rounds.append(steps)
        publish(self, [msgspec.structs.replace(step, row=b"no row") for step in steps])

    monkeypatch.setattr(MemoryCorrections, "_publish", set_aside)
    monkeypatch.setattr(MemoryCorrections, "fold_projections", lambda _: None)
    with pytest.raises(HistoryError, match=f"was handled and not taken, though the row is at version {plan.rows[0].version} still"):
        world.apply(plan)
    assert len(rounds) == 1


def a_list(rows: int) -> tuple[World, CorrectionPlan]:
    """A world of some accounts, and a plan that takes all of them out."""
    world = World(bank.app())
    for number in range(rows):
        world.when(AccountOpen(account=f"a{number:02}", balance=1), id=f"open-{number}")
    return world, a_plan(world, remove=[f"open-{number}" for number in range(rows)])


def test_what_cannot_be_done_in_the_last_round_is_not_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even the first step of the first round is sent."""
    world, plan = a_list(5)
    refuse = CorrectedPast.refuse_fired

    def refuse_last(self: CorrectedPast, it: DifferentRow) -> None:
        if it.place == ("account", "a04"):
            raise HistoryError("it has fired")
        refuse(self, it)

    monkeypatch.setattr(fixed_point, "STEPS_OF_A_ROUND", 2)
    monkeypatch.setattr(CorrectedPast, "refuse_fired", refuse_last)
    with pytest.raises(HistoryError, match="it has fired"):
        world.apply(plan)
    assert len(world.table(account)) == 5
    monkeypatch.undo()
    monkeypatch.setattr(fixed_point, "STEPS_OF_A_ROUND", 2)
    assert world.apply(plan) == 5


def test_a_round_sends_no_more_bytes_than_are_held_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """One step at least; the next rounds send the rest."""
    world, plan = a_list(5)
    publish, sent = MemoryCorrections._publish, list[list[str]]()

    def noted(self: MemoryCorrections, steps: Any) -> None:
        sent.append([step.entity for step in steps])
        publish(self, steps)

    monkeypatch.setattr(fixed_point, "BYTES_OF_A_ROUND", 1)
    monkeypatch.setattr(MemoryCorrections, "_publish", noted)
    assert world.apply(plan) == 5
    assert sent == [[f"a0{number}"] for number in range(5)]


def test_a_step_that_is_too_large_is_a_sentence_before_anything_is_sent() -> None:
    """A step takes more bytes than its row, so a row may fit where its step does not."""
    world, plan = a_list(1)
    handlers = ApplicationHandlers(world.app, codec_of(world.app))
    log = recorded_past(handlers, world)
    by, changes = Signature(plan.correction, "ann", "typo"), [plan.change.read(handlers.codec)]
    [step] = LastCorrected(handlers, changes).of(log).steps(by)
    size = len(encode_step(step))
    corrected = LastCorrected(handlers, changes).of(log)
    assert fixed_point.check_steps(corrected, by, size) == 1
    with pytest.raises(InvalidChange, match=f"the row a00 of account .* holds {size} bytes, and an event may hold {size - 1}"):
        fixed_point.check_steps(corrected, by, size - 1)


def test_a_branch_is_not_corrected() -> None:
    """Nor the past as of a time."""
    world = a_bank()
    for imagined in (world.history().what_if(remove=["start-0"]), world.history().as_of(world.now)):
        with pytest.raises(HistoryError, match="corrected nowhere"):
            imagined.correct(remove=["start-1"], by="ann", why="x")



def test_what_was_put_in_and_taken_out_leaves_no_timer_that_fired() -> None:
    """Its timers fired meanwhile, for other rows, too: what they did goes with it, and the past has nothing of them."""
    world, never = World(timed.app()), World(timed.app())
    for it in (world, never):
        it.when(AlarmTouch(name="c", number=1, after=0, other=""), id="first")
    put_in = InsertedEvent(AlarmTouch(name="c", number=6, after=1, other="b"), world.now, "new")
    world.apply(a_plan(world, insert=[put_in]))
    for it in (world, never):
        it.advance(timedelta(hours=2))
    assert world.table(timed.bell).keys() == {"b", "c"}
    world.apply(a_plan(world, remove=["new"]))
    for space in (timed.alarm, timed.bell):
        assert dict(world.table(space)) == dict(never.table(space))
    assert [it.event_type for it in world.history().events()] == ["alarm.touch"]


@pytest.mark.parametrize("later", [{"remove": ["late"]}, {"replace": {"late": AccountOpen(account="z", balance=5)}}, {}])
def test_an_event_that_was_put_in_may_be_published_after_all(later: dict[str, Any]) -> None:
    """As by a publisher that tries again: it is one event, and can be corrected as one. It ended all corrections of that log."""
    world = a_bank()
    opening = AccountOpen(account="z", balance=3)
    world.apply(a_plan(world, insert=[InsertedEvent(opening, world.now, "late", source="test")]))
    world.when(opening, id="late")
    world.apply(a_plan(world, **(later or {"remove": ["start-1"]})))
    assert balances(world).get("z") == {"remove": None, "replace": 5}.get(next(iter(later), ""), 3)
    assert [it.accepted for it in world.history().events() if it.event.id == "late"] == ([] if "remove" in later else [True])


def test_an_event_that_was_put_in_replaced_and_published_may_be_taken_out() -> None:
    """Corrections name it by its id before it is published, and by its position after that: it is one event."""
    world = a_bank()
    opening = AccountOpen(account="z", balance=3)
    world.apply(a_plan(world, insert=[InsertedEvent(opening, world.now, "late", source="test")]))
    world.apply(a_plan(world, replace={"late": AccountOpen(account="z", balance=5)}))
    world.when(opening, id="late")
    world.apply(a_plan(world, remove=["late"]))
    assert "z" not in balances(world)
    world.apply(a_plan(world, insert=[InsertedEvent(opening, world.now, "late", source="test")]))
    assert balances(world)["z"] == 3


def test_what_is_put_in_again_has_led_to_what_it_led_to_when_it_was_published() -> None:
    """It was put in, published while it was being taken out, and is put in once more."""
    world = a_bank()
    start = TransferStart(transfer="t9", source="a", target="b", amount=1)
    world.apply(a_plan(world, insert=[InsertedEvent(start, world.now, "late", source="test")]))
    removal = a_plan(world, remove=["late"])
    world.when(start, id="late")
    world.settle()
    world.apply(removal)
    assert balances(world) == {"a": 70, "b": 130}
    world.apply(a_plan(world, insert=[InsertedEvent(start, world.now, "late", source="test")]))
    assert balances(world) == {"a": 69, "b": 131}
    assert world.table(transfer)["t9"].status == "done"


def test_a_plan_that_is_applied_again_keeps_its_place_among_corrections() -> None:
    """The later of two that replace one event counts, also where it is the one that is applied again."""
    world = a_bank()
    for amount in (10, 20):
        data = TransferStart(transfer="t0", source="a", target="b", amount=amount)
        plan = a_plan(world, replace={"start-0": data})
        world.apply(plan)
    before = balances(world)
    assert world.apply(plan) == 0
    assert balances(world) == before


def test_one_id_is_put_in_for_one_row() -> None:
    """The first one would be undone in silence, also by another correction."""
    world = a_bank()
    first, second = (InsertedEvent(AccountOpen(account=key, balance=3), world.now, "one") for key in "yz")
    with pytest.raises(InvalidChange, match="give it another one"):
        a_plan(world, insert=[first, second])
    world.apply(a_plan(world, insert=[first]))
    with pytest.raises(InvalidChange, match=r"which account\.open y has"):
        a_plan(world, insert=[second])
    assert balances(world)["y"] == 3


@pytest.mark.parametrize("how", ["put in", "published", "put in again"])
def test_an_id_that_came_since_the_plan_was_made_is_refused(how: str) -> None:
    """What it had would be undone in silence, or nothing would happen. A correction that was begun before goes on."""
    world = a_bank()
    there, other = (TransferStart(transfer="t9", source="a", target="b", amount=amount) for amount in (1, 2))
    if how == "put in again":
        world.when(there, id="one")
        world.settle()
        world.apply(a_plan(world, remove=["one"]))
    source = "test" if how == "published" else ""
    plan, late = (a_plan(world, insert=[InsertedEvent(it, world.now, "one", source=source)]) for it in (there, other))
    if how == "published":
        world.when(there, id="one")
        world.settle()
    else:
        world.apply(plan)
    before = balances(world)
    with pytest.raises(StalePlan, match=r"with the id one, and an event of this row that was put in or published since"):
        world.apply(late)
    assert balances(world) == before == {"a": 69, "b": 131}


def test_a_place_that_was_taken_since_the_plan_was_made_is_refused() -> None:
    """Two plans of one past: nobody would know which of their events comes first. Planned anew, it stands behind the other one."""
    world = a_bank()
    one, two = (TransferStart(transfer=name, source="a", target="b", amount=1) for name in ("t8", "t9"))
    plan, late = (a_plan(world, insert=[InsertedEvent(it, world.now, it.transfer)]) for it in (one, two))
    world.apply(plan)
    with pytest.raises(StalePlan, match="where a correction has put in an event of t8 since this was planned"):
        world.apply(late)
    assert balances(world) == {"a": 69, "b": 131}
    world.apply(a_plan(world, insert=[InsertedEvent(two, world.now, two.transfer)]))
    assert balances(world) == {"a": 68, "b": 132}


def test_a_correction_that_was_begun_goes_on_whatever_is_published_by_its_id() -> None:
    """It is one event by then."""
    world, data = a_bank(), AccountOpen(account="z", balance=3)
    plan = a_plan(world, insert=[InsertedEvent(data, world.now, "late", source="test")])
    world.apply(plan)
    world.when(data, id="late")
    assert world.apply(plan) == 0
