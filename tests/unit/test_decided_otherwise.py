"""Newer code decides the past otherwise: its rows are rebuilt, and a correction does the rest in other rows."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from datetime import timedelta
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streams import App, Event, Outcome
from streams.cli.output.plan_text import plan_lines
from streams.data import EventData, namespace_of
from streams.engine.engine import Engine, Inbox
from streams.engine.fold import RowFold
from streams.engine.identity import emitted_id
from streams.errors import HistoryError, InvalidChange
from streams.history.branch.branch import replay_difference
from streams.history.branch.change import Change
from streams.history.code.application_handlers import ApplicationHandlers
from streams.history.code.local_code import LocalCode
from streams.history.correction.corrected_generation import CorrectedGeneration
from streams.history.correction.corrected_log import CorrectedLog
from streams.history.correction.correction_calls import OPEN, UNDO, UndoEvent, settle_calls
from streams.history.correction.decided_otherwise import decided_otherwise
from streams.history.correction.planning import plan_correction
from streams.history.correction.rows_as_kept import live_timers
from streams.history.difference.accepted_origins import not_accepted
from streams.history.difference.difference import OTHERWISE
from streams.history.story.waiting import NothingWaits, WaitingEvent
from tests.applications import bank, permits, shop, strict, timed
from tests.applications.bank.events import AccountDebit, AccountRow
from tests.applications.permits.events import PermitStep
from tests.applications.shop.events import OrderCancel
from tests.applications.strict import bank_with
from tests.applications.timed.events import AlarmTouch
from tests.support.corrections import Corrected
from tests.support.other_code import silent, with_change
from tests.support.partitions import Partitions
from tests.support.pasts import live_rows, made
from tests.support.replayed import replayed
from tests.support.waiting_in import WaitingIn
from tests.unit.test_corrected_by_newer_code import newer

CASES = int(os.environ.get("CORRECTION_CASES", "15"))
many = settings(max_examples=CASES, deadline=None, suppress_health_check=list(HealthCheck))


def looser(row: AccountRow | None, event: Event[AccountDebit]) -> Outcome[AccountRow]:
    """An account may be overdrawn."""
    if row is None:
        return bank.debit(row, event)
    emit = bank.debit(AccountRow(balance=10**6), event).emit
    return Outcome(AccountRow(balance=row.balance - event.data.amount), emit=emit)


def saying_no(row: AccountRow | None, event: Event[AccountDebit]) -> Outcome[AccountRow]:
    """Of much it takes the money as before, and says that it has not."""
    done = bank.debit(row, event)
    return done if event.data.amount <= 50 else Outcome(done.row, emit=[bank.refusal(event.data, "so much")])


def raising(row: AccountRow | None, event: Event[AccountDebit]) -> Outcome[AccountRow]:
    if event.data.amount > 50:
        raise ZeroDivisionError("a fault")
    return bank.debit(row, event)


def rebuilt(here: Corrected, app: App, namespace: str = "account") -> None:
    """As `retold rebuild start --accept` and a deployment leave it."""
    there: Partitions = here.there
    engine = Engine(app, namespace, there.codec, inbox=Inbox(namespace, namespace, there.partition_of))
    for (name, at), image in there.images.items():
        if name == namespace:
            fold = RowFold(engine, at, engine.rows(), 0)
            for record in there.log_records((name, at)):
                fold.take(*record)
            image.rows, image.generation = fold.rows, 2
            image.rows_generation = 2
    there.engines[namespace] = engine
    here.handlers = ApplicationHandlers(app, there.codec)


def otherwise(debit: Any, seed: int) -> Corrected:
    """A bank whose accounts were rebuilt with another handler."""
    here = Corrected(made("bank", seed)[1])
    rebuilt(here, bank_with(debit))
    return here


def does_the_rest(seed: int, app: App) -> bool:
    """Whether anything was decided otherwise."""
    chosen, there = made("bank", seed)
    here = Corrected(there)
    rebuilt(here, app)
    change = decided_otherwise(here.past, here.handlers, "account")
    if change.again:
        here.correct(change)
        here.go_on(chosen)
    here.finish()
    corrected = here.corrected()
    assert list(corrected.different_rows()) == []
    fresh = replayed(corrected.past.events(), ApplicationHandlers(app, there.codec), whole=True)
    assert live_rows(there) == fresh
    assert not decided_otherwise(here.past, here.handlers, "account").again
    return bool(change.again)


@many
@given(seed=st.integers(0, 10**6), debit=st.sampled_from([strict.debit, looser, saying_no]))
def test_a_correction_does_the_rest_after_rows_were_rebuilt(seed: int, debit: Any) -> None:
    """All rows are then what a fresh replay by the newer code gives of what was published."""
    does_the_rest(seed, bank_with(debit))


def test_without_it_other_rows_are_as_the_code_before_had_them() -> None:
    """So the property above is not empty."""
    here = otherwise(strict.debit, 1)
    change = decided_otherwise(here.past, here.handlers, "account")
    plan = plan_correction(CorrectedLog(here.log), here.handlers, change, "ann", "no more than fifty")
    assert {it.type for it in plan.changed} >= {"account.debit"}
    assert {it.type for it in plan.missing} >= {"transfer.done"}
    assert {it.namespace for it in plan.rows} >= {"transfer", "account"}


@many
@given(seed=st.integers(0, 10**6), debit=st.sampled_from([strict.debit, saying_no]))
def test_what_was_decided_again_need_not_be_accepted_once_more(seed: int, debit: Any) -> None:
    """Rows are built again after any correction: what it makes up for is no difference then."""
    here = otherwise(debit, seed)
    change = decided_otherwise(here.past, here.handlers, "account")
    if change.again:
        here.correct(change)
    here.finish()
    log = here.log
    corrected = CorrectedGeneration(log, here.handlers, here.changes, 1)
    found = replay_difference(log, LocalCode(here.handlers.leaving(corrected.again)), here.handlers)
    assert bool(change.again) <= bool(not_accepted(found, []))
    corrected.complete(found, "account")
    assert [it for it in not_accepted(found, []) if it.handler.startswith("account.")] == []


def test_what_raises_is_not_decided_again() -> None:
    """Nobody knows what it would have led to."""
    here = otherwise(raising, 1)
    with pytest.raises(InvalidChange, match=r"account\.debit .* would have led to is not known: it raises with the code here"):
        decided_otherwise(here.past, here.handlers, "account")


def test_an_event_that_is_not_named_leaves_its_row_untold() -> None:
    """What was not accepted as decided otherwise is no difference that a correction makes up for."""
    here = otherwise(strict.debit, 5)
    log, names = here.log, decided_otherwise(here.past, here.handlers, "account").again
    refused = [it for it in log.events() if it.accepted and it.exact_name in names]
    last = next(it for it in reversed(refused) if sum(each.place == it.place for each in refused) > 1)
    some = Change(again=names - {last.exact_name})
    with pytest.raises(HistoryError, match=f"{last.name}, and its handler now rejects it"):
        plan_correction(CorrectedLog(log), here.handlers, some, "ann", "a part")


def forgetting(handler: Any) -> Any:
    """Of much it takes the money, and tells nobody."""
    quiet = silent(handler)
    return lambda row, event: (quiet if event.data.amount > 50 else handler)(row, event)


class More(NamedTuple):
    """The handler of an event by which less was emitted by the code before."""

    kind: str
    app: Callable[[], App]
    event: type[EventData]
    before: Callable[[Any], Any]


MORE = [
    More("bank", bank.app, AccountDebit, forgetting),
    More("shop", shop.app, OrderCancel, silent),
    More("permits", permits.app, PermitStep, silent),
    More("timed", timed.app, AlarmTouch, silent),
    More("waiting", timed.app, AlarmTouch, silent),
]
"""Events, requests of gateways and timers."""


def newer_code(of: More) -> tuple[App, str]:
    """In a namespace of generation 2, which is named."""
    app, name = with_change(of.app(), of.event, lambda handler: handler), namespace_of(of.event.event_type)
    next(it for it in app.namespaces if it.name == name).generation = 2
    return app, name


def emits_more(of: More, seed: int) -> bool:
    """Whether the code before has emitted less of any event."""
    chosen, there = made(of.kind, seed, with_change(of.app(), of.event, of.before))
    here, (app, namespace) = Corrected(there), newer_code(of)
    rebuilt(here, app, namespace)
    change = decided_otherwise(here.past, here.handlers, namespace, WaitingIn(there))
    if change.again:
        here.correct(change)
        here.go_on(chosen)
    here.finish()
    assert_by_newer_code(here, app)
    assert not decided_otherwise(here.past, here.handlers, namespace, WaitingIn(there)).again
    there.now += timedelta(days=70)
    here.finish()
    assert_by_newer_code(here, app)
    return bool(change.again)


def assert_by_newer_code(here: Corrected, app: App) -> None:
    """Rows and timers are what a fresh replay by the newer code gives."""
    corrected, log = here.corrected(), here.log
    assert list(corrected.different_rows()) == []
    assert live_rows(here.there) == replayed(corrected.past.events(), ApplicationHandlers(app, here.there.codec), whole=True)
    waits = {it.turn.event.id for row in corrected.rows.values() for it in row.timers}
    for place in {it.place for it in log.events()} - corrected.rows.keys():
        waits |= live_timers(log, here.handlers, place).keys()
    assert here.timers().keys() == waits


@many
@given(of=st.sampled_from(MORE), seed=st.integers(0, 10**6))
def test_what_only_the_newer_code_emits_is_put_in(of: More, seed: int) -> None:
    """Its events are in the past that counts, so rows are what they make of them; and its timers wait."""
    emits_more(of, seed)


@pytest.mark.parametrize("of", MORE, ids=lambda of: of.kind)
def test_there_is_something_to_put_in(of: More) -> None:
    """So the property above is not empty."""
    assert any(emits_more(of, seed) for seed in range(6))


def test_what_waits_is_not_emitted_in_addition() -> None:
    """It was emitted by the code before, and is set aside: it comes once it is handled."""
    of = MORE[0]
    here = Corrected(made(of.kind, 3, with_change(of.app(), of.event, of.before))[1])
    rebuilt(here, newer_code(of)[0])
    names = decided_otherwise(here.past, here.handlers, "account").again
    assert names

    class Parked(NothingWaits):
        def caused_by(self, reference: str) -> list[WaitingEvent]:
            """What it may lead to."""
            key = next(it for it in here.log.events() if it.reference == reference).event.data.transfer
            ids = ((name, emitted_id(reference, name, key, 0)) for name in ("transfer.done", "transfer.failed"))
            return [WaitingEvent("parked", "transfer", key, name, event_id, 0) for name, event_id in ids]

    assert not decided_otherwise(here.past, here.handlers, "account", Parked()).again


def test_what_follows_from_an_event_that_is_decided_again_is_waited_for() -> None:
    """Parked meanwhile, it would change a row once more, behind the end of the correction."""
    of = MORE[0]
    here = Corrected(made(of.kind, 3, with_change(of.app(), of.event, of.before))[1])
    rebuilt(here, newer_code(of)[0])
    here.correct(decided_otherwise(here.past, here.handlers, "account"))
    names = {it.reference for it in here.log.events() if it.exact_name in here.changes[0].again}
    assert names
    assert names <= here.corrected().otherwise


def test_what_was_asked_with_other_data_says_what_to_do() -> None:
    """In the plan, and in the list of open calls: how it was asked, how it is right, and what takes it back."""
    there = made("shop", 1)[1]
    here = Corrected(there)
    app = newer(2)
    rebuilt(here, app, "order")
    change = decided_otherwise(here.past, here.handlers, "order")
    plan = plan_correction(CorrectedLog(here.log), here.handlers, change, "ann", "a dearer rule")
    call = next(it for it in plan.calls if it.kind == OTHERWISE)
    assert call.undo == "payment.refund"
    told = "\n".join("".join(part for part, _ in line) for line in plan_lines(plan))
    here.correct(change)
    published: list[UndoEvent] = []
    settled = settle_calls(
        here.corrected(), here.log, here.handlers, {}, correction=plan.correction, by="ann", policy=UNDO, now=0,
        publish=published.append,
    )  # fmt: skip
    [left] = [it for it in settled.changed if it.id == call.id]
    assert (left.state, left.undo) == (OPEN, "payment.refund")
    right = next(it for it in plan.changed if it.id == call.id)
    asked, wanted = (json.dumps(it, separators=(",", ":")) for it in (right.before, right.data))
    assert left.why == (
        f"it was asked with {asked} and is right with {wanted}: take that back with payment.refund, then publish payment.charge "
        "with what is right"
    )
    assert left.why in told
    assert published == []
