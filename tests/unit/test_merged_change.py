"""What several corrections change together: one change of the log, whatever one of them did to another's."""

from __future__ import annotations

from datetime import timedelta

import pytest

from streams.errors import InvalidChange
from streams.event import reference_of
from streams.history.branch.change import Change, InsertedEvent
from streams.history.correction.merged_change import merged
from streams.history.past import MemoryPast
from streams.history.recorded_event import OrderKey
from tests.applications import bank
from tests.applications.bank.events import AccountCredit, AccountOpen
from tests.support.partitions import Partitions
from tests.support.pasts import START, past_of

OPEN, OTHER = AccountOpen(account="a", balance=100), AccountOpen(account="a", balance=7)
ID = "open-a"
NAME = reference_of("test", ID)
PLACE = OrderKey(1, "account", 0, 1, 1, 1)


def log_of_one() -> MemoryPast:
    """An account was opened, by the id `open-a`."""
    there = Partitions(bank.app(), 1, now=START)
    there.publish(OPEN, ID, START)
    there.settle()
    return past_of(there)


def recorded(log: MemoryPast) -> str:
    """The exact name of the event in the log."""
    [it] = log.events()
    return it.exact_name


def put_in(data: AccountOpen | AccountCredit = OPEN, hours: int = 0) -> Change:
    """An event of that id is put in."""
    return Change([InsertedEvent(data, START + timedelta(hours=hours), ID, None, "test")], places={NAME: PLACE})


def test_what_is_put_in_and_taken_out_is_gone_until_it_is_put_in_again() -> None:
    """As one that the log never had: it is neither put in nor taken out, and what it has led to goes with it."""
    log, out = MemoryPast([]), Change(remove=frozenset([NAME]))
    gone = merged(log, [put_in(), out])
    assert (gone.insert, gone.remove, gone.places, gone.gone) == ([], frozenset(), {}, frozenset([NAME]))
    again = merged(log, [put_in(), out, put_in()])
    assert ([it.data for it in again.insert], again.places, again.gone) == ([OPEN], {NAME: PLACE}, frozenset())


def test_what_is_put_in_and_replaced_is_put_in_with_other_data() -> None:
    """The log has no event that it would be the replacement of."""
    found = merged(MemoryPast([]), [put_in(), Change(replace={NAME: OTHER})])
    assert ([it.data for it in found.insert], found.replace) == ([OTHER], {})


def test_what_is_put_in_and_published_since_is_the_event_of_the_log() -> None:
    """So that is what is replaced, and taken out, by its position: whoever named it before it was published had its id alone."""
    log = log_of_one()
    name = recorded(log)
    assert merged(log, [put_in()]).insert == []
    replaced = merged(log, [put_in(), Change(replace={NAME: OTHER})])
    assert (replaced.insert, replaced.replace) == ([], {name: OTHER})
    removed = merged(log, [put_in(), Change(remove=frozenset([NAME]))])
    assert (removed.insert, removed.remove) == ([], frozenset([name]))
    both = merged(log, [put_in(), Change(replace={NAME: OTHER}), Change(remove=frozenset([name]))])
    assert (both.replace, both.remove) == ({}, frozenset([name]))


def test_what_is_replaced_and_taken_out_is_not_replaced() -> None:
    """It can be only one of them."""
    log = log_of_one()
    name = recorded(log)
    found = merged(log, [Change(replace={name: OTHER}), Change(remove=frozenset([name]))])
    assert (found.replace, found.remove) == ({}, frozenset([name]))


@pytest.mark.parametrize("data", [OPEN, OTHER])
def test_what_is_taken_out_and_put_in_again_is_the_event_that_it_was(data: AccountOpen) -> None:
    """With other data it is replaced."""
    log = log_of_one()
    name = recorded(log)
    found = merged(log, [Change(remove=frozenset([name])), put_in(data)])
    assert (found.insert, found.remove) == ([], frozenset())
    assert found.replace == ({} if data == OPEN else {name: OTHER})


OF_ANOTHER_TYPE = AccountCredit(account="a", transfer="t", amount=1)


@pytest.mark.parametrize("again", [put_in(hours=1), put_in(OF_ANOTHER_TYPE)], ids=["time", "type"])
def test_an_id_that_was_taken_out_is_no_other_event_s(again: Change) -> None:
    """Neither one that happened at another time nor one of another type."""
    log = log_of_one()
    with pytest.raises(InvalidChange, match=r"which a correction took out, .* has this id: give it another one"):
        merged(log, [Change(remove=frozenset([recorded(log)])), again])
