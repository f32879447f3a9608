"""Shrinking a past that was corrected: a step of a correction is no event that a test could publish."""

from __future__ import annotations

from datetime import timedelta

import pytest

from streams.errors import HistoryError
from streams.history.branch.change import Change
from streams.history.branch.shrinking import past_to_shrink
from streams.history.correction.corrected_log import CorrectedLog
from streams.history.when.predicate import Predicate
from streams.testing.incident import search
from tests.applications import bank
from tests.applications.bank.events import AccountOpen, AccountRow, TransferStart
from tests.support.corrections import Corrected
from tests.support.partitions import Partitions
from tests.support.pasts import START
from tests.unit.test_corrected_times import kept

A = ("account", "a")


def corrected() -> Corrected:
    """A transfer of 80 was one of 8."""
    there = Partitions(bank.app(), 1, now=START)
    for name, balance in (("a", 100), ("b", 0)):
        there.publish(AccountOpen(account=name, balance=balance), f"open-{name}", START)
    there.publish(TransferStart(transfer="t", source="a", target="b", amount=80), "start", START + timedelta(seconds=1))
    there.settle()
    here = Corrected(there)
    start = next(it for it in here.log.events() if it.event.id == "start")
    here.correct(Change(replace={start.exact_name: TransferStart(transfer="t", source="a", target="b", amount=8)}))
    assert here.finish() > 0
    return here


@pytest.mark.parametrize(("balance", "amount"), [(20, 80), (92, 8)])
def test_what_came_about_by_a_correction_is_shown_by_the_corrected_events(balance: int, amount: int) -> None:
    """And what had come about before it, by those that were handled."""
    here, condition = corrected(), f"balance == {balance}"
    log = CorrectedLog.of(here.log, kept(here, [0]), here.handlers.codec)
    past = past_to_shrink(log, here.handlers, A, Predicate(condition, AccountRow))
    found = search(past, here.handlers, A, condition, 30.0)
    assert found.scenario is not None
    assert [it.event.data.amount for it in found.shrunk.events if it.event_type == "transfer.start"] == [amount]


def test_a_row_that_a_correction_has_set_is_not_shrunk_without_it() -> None:
    """Where the corrections are not known, a sentence says what has set the row, and who."""
    here = corrected()
    with pytest.raises(HistoryError, match=r"`balance == 92` after account-0:\d, a step of the correction c1 by ann"):
        search(here.log, here.handlers, A, "balance == 92", 30.0)
    assert past_to_shrink(CorrectedLog(here.log), here.handlers, A, Predicate("balance == 92", AccountRow)).steps()
