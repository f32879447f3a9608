"""What becomes of the outcomes of handlers, right and wrong ones, and of what they emit."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from streams import Event, Namespace, Outcome, Rejected, Scheduled
from streams.engine.identity import emitted_id
from streams.testing import START, World, given
from tests.applications import bank
from tests.applications.bank.events import (
    AccountClose,
    AccountCredit,
    AccountDebit,
    AccountOpen,
    AccountRow,
    TransferStart,
)
from tests.applications.one import app_of, order_app
from tests.applications.shop.events import (
    Line,
    OrderCancel,
    OrderPlace,
    OrderRow,
    PaymentCharge,
)

OPEN = AccountOpen(account="a", balance=100)


def test_a_failure_does_not_drive_the_terminal() -> None:
    """Pytest writes an assertion's text as it is, and this one has what a handler makes of an event."""

    def refusing(row: AccountRow | None, event: Event[AccountOpen]) -> Outcome[AccountRow]:
        raise Rejected(f"no such account: {event.data.account}")

    forged = AccountOpen(account="\x1b[2Kall is well", balance=1)
    with pytest.raises(AssertionError, match=r"no such account: \\x1b\[2Kall is well"):
        given(app_of(refusing), forged)


def test_a_handler_that_raises_parks_its_event_and_its_key() -> None:
    """With the traceback; the events of the same key queue behind it, other keys go on."""

    def broken(row: AccountRow | None, event: Event[AccountOpen]) -> Outcome[AccountRow]:
        raise ZeroDivisionError("no such rate")

    world = World(app_of(broken))
    assert world.when(OPEN).outcome == "parked"
    assert world.when(AccountCredit(account="a", transfer="t", amount=1)).outcome == "parked"
    assert world.when(AccountCredit(account="b", transfer="t", amount=1)).accepted
    assert [(unhandled.key, unhandled.data) for unhandled in world.parked] == [
        ("a", OPEN),
        ("a", AccountCredit(account="a", transfer="t", amount=1)),
    ]
    assert "no such rate" in world.parked[0].reason
    assert "in broken" in world.parked[0].detail


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (None, "returned NoneType; expected Outcome"),
        (AccountRow(balance=1), "returned AccountRow; expected Outcome(row, emit=[…]). It is at tests/unit/test_world_ha"),
        (Outcome(Line(sku="a", quantity=1)), "gave a row of Line; the rows of account are AccountRow. It is at "),
        (Outcome(None, emit=[AccountClose(account="a")]), "account.open emitted account.close; add AccountClose"),
        (Outcome(None, emit=["account.close"]), "expected the data of an event"),  # type: ignore[list-item] # the mistake
        (Outcome(None, emit=5), "not iterable"),  # type: ignore[arg-type] # the mistake itself
    ],
)
def test_a_handler_that_answers_wrongly_parks_its_event(answer: object, expected: str) -> None:
    """None for an outcome, a row of another table, an emission that is not declared: nothing of it takes effect."""
    world = World(app_of(lambda row, event: answer))
    result = world.when(OPEN)
    assert (result.outcome, result.row, result.version) == ("parked", None, 0)
    assert expected in (result.reason or "")
    assert world.log("account") == []


def test_a_row_that_does_not_fit_its_class_parks_the_event() -> None:
    """The row is checked when it is written, before anything of the outcome is true."""
    wrong: Any = "much"
    result = World(app_of(lambda row, event: Outcome(AccountRow(balance=wrong)))).when(OPEN)
    assert result.outcome == "parked"
    assert "balance" in (result.reason or "")


def test_a_rejection_may_not_emit_what_is_not_declared() -> None:
    """A "no" is held to the same declaration as a "yes"."""

    def refuses(row: AccountRow | None, event: Event[AccountOpen]) -> Outcome[AccountRow]:
        raise Rejected("no", emit=[AccountClose(account="a")])

    assert World(app_of(refuses)).when(OPEN).outcome == "parked"


def test_a_row_cannot_be_changed_in_place() -> None:
    """Neither a field nor a map in it: the attempt parks the event and the row is as it was."""
    world = World(order_app(lambda row: row.held.update({"A1": 0})))
    place = OrderPlace(order="o1", customer="c7", lines=())
    assert world.when(place).accepted
    assert world.when(OrderCancel(order="o1", why="x")).outcome == "parked"
    row = world.table(Namespace("order", row=OrderRow)).get("o1")
    assert row is not None
    assert dict(row.held) == {"A1": 1}

    world = World(order_app(lambda row: setattr(row, "total", 5)))
    world.when(place)
    assert world.when(OrderCancel(order="o1", why="x")).outcome == "parked"


def test_a_dict_kept_by_a_handler_is_not_the_rows() -> None:
    """A row is frozen when it is taken, so that a handler's own dict, changed later, does not reach into it."""
    mine = {"A1": 1}
    world = World(order_app(lambda row: None, held=mine))
    world.when(OrderPlace(order="o1", customer="c7", lines=()))
    mine["A1"] = 99
    row = world.table(Namespace("order", row=OrderRow)).get("o1")
    assert row is not None
    assert dict(row.held) == {"A1": 1}


def test_emitted_ids_are_derived_from_cause_type_key_and_ordinal() -> None:
    """The ordinal counts emissions of equal type and key only, so another emission between them changes no id."""

    def twice(row: AccountRow | None, event: Event[AccountOpen]) -> Outcome[AccountRow]:
        keys = ("x", "y", "x")
        emit = [AccountCredit(account=key, transfer=str(n), amount=1) for n, key in enumerate(keys)]
        return Outcome(AccountRow(balance=0), emit=emit)

    world = World(app_of(twice, emits=[AccountCredit]))
    world.when(OPEN, id="root")
    world.settle()
    root, *emitted = [entry.event for entry in world.log("account")]
    assert [event.id for event in emitted] == [
        emitted_id(root.reference, "account.credit", "x", 0),
        emitted_id(root.reference, "account.credit", "y", 0),
        emitted_id(root.reference, "account.credit", "x", 1),
    ]


def test_an_emitted_event_carries_its_cause_and_its_time() -> None:
    """Cause, correlation and time of what follows are those of the event that it follows from."""
    world = given(bank.app(), OPEN)
    world.now += timedelta(hours=1)
    world.when(TransferStart(transfer="t", source="a", target="a", amount=1), id="root", time=START)
    world.settle()
    debit = world.log("account")[1].event
    assert isinstance(debit.data, AccountDebit)
    assert (debit.cause, debit.correlation, debit.time) == ("root", "root", START)
    done = world.log("transfer")[1].event
    assert (done.cause, done.correlation) == (debit.id, "root")


def test_an_event_for_another_application_leaves() -> None:
    """It is kept in `outside`, as nobody here handles it."""
    charge = PaymentCharge(order="o", amount=1)
    world = World(app_of(lambda row, event: Outcome(None, emit=[charge]), emits=[PaymentCharge]))
    assert world.when(OPEN).emitted == [charge]
    assert world.settle().outside == [charge]


def test_a_timer_for_another_application_leaves_when_it_is_due() -> None:
    """As it was scheduled, though no worker of this application could read it."""
    charge = PaymentCharge(order="o", amount=1)
    later = Scheduled(charge, START + timedelta(hours=1))
    world = World(app_of(lambda row, event: Outcome(None, emit=[later]), emits=[PaymentCharge]))
    assert world.when(OPEN).emitted == [later]
    assert world.outside == []
    world.advance(timedelta(hours=1))
    assert world.outside == [charge]


def test_events_that_chase_each_other_for_ever_are_parked() -> None:
    """After a hundred hops from its root an event is set aside, so a cycle that never ends does."""

    def again(row: AccountRow | None, event: Event[AccountOpen]) -> Outcome[AccountRow]:
        return Outcome(AccountRow(balance=event.data.balance), emit=[event.data])

    world = World(app_of(again, emits=[AccountOpen]))
    world.when(OPEN)
    world.settle(parked="allow")
    assert len(world.log("account")) == 101
    assert "at most 100" in world.parked[0].reason


@pytest.mark.parametrize(("ahead", "parked"), [(timedelta(days=1), 0), (timedelta(milliseconds=1), 1)])
def test_an_event_may_schedule_itself_for_ever(ahead: timedelta, parked: int) -> None:
    """Every day of a year; but not without a pause, which would be a circle as any other."""

    def again(row: AccountRow | None, event: Event[AccountOpen]) -> Outcome[AccountRow]:
        return Outcome(AccountRow(balance=1), emit=[Scheduled(event.data, at=event.time + ahead)])

    world = World(app_of(again, emits=[AccountOpen]))
    world.when(OPEN)
    world.advance(200 * ahead, parked="allow")
    assert len(world.parked) == parked
    assert len(world.log("account")) == (101 if parked else 201)


def test_scheduled_events_come_in_the_order_of_their_time() -> None:
    """Not in the order in which they were scheduled; each has its due time as its time."""

    def schedules(row: AccountRow | None, event: Event[AccountOpen]) -> Outcome[AccountRow]:
        credits = {n: AccountCredit(account="x", transfer=f"in {n}", amount=1) for n in (30, 10, 20)}
        later = [Scheduled(credit, at=event.time + timedelta(minutes=n)) for n, credit in credits.items()]
        return Outcome(AccountRow(balance=0), emit=later)

    world = World(app_of(schedules, emits=[AccountCredit]))
    world.when(OPEN)
    assert len(world.settle().log("account")) == 1
    world.advance(timedelta(minutes=25))
    assert [str(entry.event.time - START) for entry in world.log("account")[1:]] == ["0:10:00", "0:20:00"]
    world.advance(timedelta(minutes=5))
    came = [getattr(entry.event.data, "transfer", None) for entry in world.log("account")[1:]]
    assert came == ["in 10", "in 20", "in 30"]


def test_a_time_that_has_passed_waits_for_the_clock() -> None:
    """It comes with its due time: settling fires nothing, and letting no time pass fires what is due."""

    def late(row: AccountRow | None, event: Event[AccountOpen]) -> Outcome[AccountRow]:
        credit = AccountCredit(account="x", transfer="late", amount=1)
        return Outcome(AccountRow(balance=0), emit=[Scheduled(credit, at=event.time - timedelta(days=1))])

    world = World(app_of(late, emits=[AccountCredit]))
    world.when(OPEN)
    assert len(world.settle().log("account")) == 1
    assert world.advance(timedelta(0)).log("account")[1].event.time == START - timedelta(days=1)


def test_time_goes_forward_only() -> None:
    """A negative step is refused."""
    with pytest.raises(ValueError, match="forward only"):
        World(bank.app()).advance(timedelta(seconds=-1))


def test_an_event_that_is_parked_fails_the_test() -> None:
    """With its handler's traceback, also one that was scheduled; unless the test expects it."""

    def first(row: AccountRow | None, event: Event[AccountOpen]) -> Outcome[AccountRow]:
        if row is not None:
            raise ZeroDivisionError("no such rate")
        later = Scheduled(event.data, at=event.time + timedelta(hours=2))
        return Outcome(AccountRow(balance=1), emit=[event.data, event.data, later])

    def once_more(row: AccountRow | None, event: Event[AccountOpen]) -> Outcome[AccountRow]:
        if row is not None:
            raise ZeroDivisionError("no such rate")
        return Outcome(AccountRow(balance=1), emit=[Scheduled(event.data, at=event.time + timedelta(hours=1))])

    world = World(app_of(first, emits=[AccountOpen]))
    assert world.when(OPEN).accepted
    said = "account.open of 'a' was parked, and 1 more: ZeroDivisionError: no such rate"
    with pytest.raises(AssertionError, match=said) as failed:
        world.settle()
    assert 'settle(parked="allow")' in str(failed.value)
    assert ", in first\n" in str(failed.value)
    assert world.settle() is world
    assert len(world.advance(timedelta(hours=2)).parked) == 2, "the clock of a parked key stands still"
    timed = World(app_of(once_more, emits=[AccountOpen]))
    timed.when(OPEN)
    with pytest.raises(AssertionError, match=r"account\.open of 'a' was parked: ZeroDivisionError") as scheduled:
        timed.advance(timedelta(hours=2))
    assert ", in once_more\n" in str(scheduled.value)
    assert timed.now == START + timedelta(hours=2)
    with pytest.raises(ValueError, match='"raise" or "allow" was expected'):
        world.settle(parked="ignore")  # type: ignore[arg-type]  # wrong on purpose
    timed = World(app_of(once_more, emits=[AccountOpen]))
    timed.when(OPEN)
    assert len(timed.settle().advance(timedelta(hours=3), parked="allow").parked) == 1
