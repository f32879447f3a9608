"""By its first event a plan knows its log again, also once that event is gone."""

from __future__ import annotations

from datetime import timedelta

import pytest

from streams.errors import StalePlan
from streams.history.branch.change import Change
from streams.history.correction.corrected_log import CorrectedLog
from streams.history.correction.planning import plan_again, plan_correction
from streams.history.past import ErasedEvent, MemoryPast
from tests.applications import bank
from tests.applications.bank.events import AccountOpen
from tests.support.corrections import Corrected
from tests.support.partitions import Partitions
from tests.support.pasts import START


def two_accounts() -> Corrected:
    """Opened on two days."""
    there = Partitions(bank.app(), 1, now=START, seed=1)
    for name in "ab":
        there.publish(AccountOpen(account=name, balance=100), f"open-{name}", there.now)
        there.settle()
        there.now += timedelta(days=1)
    return Corrected(there)


def test_a_plan_of_a_log_that_went_on_further_is_refused() -> None:
    """As of a broker whose data were brought back from a backup: what it was planned on is not there."""
    here = two_accounts()
    first, _ = here.log.events()
    change = Change(remove=frozenset([first.exact_name]))
    plan = plan_correction(CorrectedLog(here.log), here.handlers, change, "ann", "a test")
    assert plan_again(CorrectedLog(here.log), here.handlers, plan).digest == plan.digest
    with pytest.raises(StalePlan, match="went on further than this one"):
        plan_again(CorrectedLog(MemoryPast([first])), here.handlers, plan)


def test_a_plan_is_of_its_log_also_when_the_first_event_of_that_is_gone() -> None:
    """Erased, or too old to be kept: a correction that was begun could not be ended else. Of another log it is refused."""
    here = two_accounts()
    first, second = here.log.events()
    change = Change(remove=frozenset([second.exact_name]))
    plan = plan_correction(CorrectedLog(here.log), here.handlers, change, "ann", "a test")
    assert plan.first == first.exact_name
    sequence = first.order.sequence
    for gone in (ErasedEvent(sequence, None, None), ErasedEvent(0, None, None, sequence)):
        rest = MemoryPast([second], {first.place: gone})
        assert plan_again(CorrectedLog(rest), here.handlers, plan).digest == plan.digest
    for never in ({}, {("transfer", "t"): ErasedEvent(1, None, None)}, {first.place: ErasedEvent(sequence + 1, None, None)}):
        with pytest.raises(StalePlan, match="another log"):
            plan_again(CorrectedLog(MemoryPast([second], never)), here.handlers, plan)
