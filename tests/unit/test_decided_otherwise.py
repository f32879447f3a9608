"""Newer code decides the past otherwise: its rows are rebuilt, and a correction does the rest in other rows."""

from __future__ import annotations

import os
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streams import App, Event, Outcome
from streams.engine.engine import Engine, Inbox
from streams.engine.fold import RowFold
from streams.errors import HistoryError, InvalidChange
from streams.history.branch.branch import replay_difference
from streams.history.branch.change import Change
from streams.history.code.application_handlers import ApplicationHandlers
from streams.history.code.local_code import LocalCode
from streams.history.correction.corrected_generation import CorrectedGeneration
from streams.history.correction.corrected_log import CorrectedLog
from streams.history.correction.decided_otherwise import decided_otherwise
from streams.history.correction.planning import plan_correction
from streams.history.difference.accepted_origins import not_accepted
from tests.applications import bank, strict
from tests.applications.bank.events import AccountDebit, AccountRow
from tests.applications.strict import bank_with
from tests.support.corrections import Corrected
from tests.support.partitions import Partitions
from tests.support.pasts import live_rows, made
from tests.support.replayed import replayed

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


def rebuilt(here: Corrected, app: App) -> None:
    """As `retold rebuild start --accept` and a deployment leave it."""
    there: Partitions = here.there
    engine = Engine(app, "account", there.codec, inbox=Inbox("account", "account", there.partition_of))
    for (name, at), image in there.images.items():
        if name == "account":
            fold = RowFold(engine, at, engine.rows(), 0)
            for record in there.log_records((name, at)):
                fold.take(*record)
            image.rows, image.generation = fold.rows, 2
            image.rows_generation = 2
    there.engines["account"] = engine
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
