"""The bank in memory: a transfer is a process of its own, and money is moved or returned."""

from __future__ import annotations

import pytest

from streams import Rejected
from streams.testing import event, given
from tests.applications import bank
from tests.applications.bank.events import (
    AccountClose,
    AccountCredit,
    AccountDebit,
    AccountOpen,
    AccountRow,
    TransferFailed,
    TransferStart,
)

OPEN = (AccountOpen(account="a", balance=100), AccountOpen(account="b", balance=0))


@pytest.mark.parametrize(
    ("target", "amount", "status", "balances"),
    [("b", 60, "done", (40, 60)), ("b", 160, "failed", (100, 0)), ("nobody", 60, "returned", (100, 0))],
)
def test_money_is_moved_or_returned_never_lost(
    target: str, amount: int, status: str, balances: tuple[int, int]
) -> None:
    """A transfer ends done, failed or returned, and no account gains or loses on the way."""
    world = given(bank.app(), *OPEN, TransferStart(transfer="t1", source="a", target=target, amount=amount))
    row = world.table(bank.transfer).get("t1")
    assert row is not None
    assert row.status == status
    accounts = world.table(bank.account)
    assert tuple(account.balance for key in "ab" if (account := accounts.get(key))) == balances


def test_money_that_nobody_wants_back_is_seen() -> None:
    """If the source has closed while its money was away, the transfer is stranded, where an operator finds it."""
    world = given(bank.app(), AccountOpen(account="a", balance=60))
    world.when(TransferStart(transfer="t1", source="a", target="nobody", amount=60))
    world.when(AccountOpen(account="z", balance=0))  # behind the debit in the accounts' inbox, so that is handled too
    assert world.when(AccountClose(account="a")).accepted
    world.settle()
    row = world.table(bank.transfer).get("t1")
    assert row is not None
    assert row.status == "stranded"


def test_an_empty_account_can_be_closed_and_its_row_is_gone() -> None:
    """Closing leaves no row; its version stays, so that opening again does not start from nothing."""
    world = given(bank.app(), *OPEN, AccountClose(account="b"))
    assert world.table(bank.account).get("b") is None
    assert list(world.table(bank.account)) == ["a"]
    assert world.when(AccountOpen(account="b", balance=1)).version == 4


def test_an_account_with_money_stays_open() -> None:
    """A rejection gives its reason and leaves the row."""
    result = given(bank.app(), *OPEN).when(AccountClose(account="a"))
    assert (result.outcome, result.reason) == ("rejected", "this account is not empty")
    assert result.row == AccountRow(balance=100)


def test_a_rejection_is_heard_by_the_process() -> None:
    """What a rejected event emits leaves all the same."""
    result = given(bank.app(), *OPEN).when(AccountDebit(account="b", transfer="t1", amount=1))
    assert not result.accepted
    assert result.emitted == [TransferFailed(transfer="t1", step="debit", why="not enough money")]


def test_a_handler_is_a_plain_function() -> None:
    """It is tested by calling it."""
    with pytest.raises(Rejected, match="already open"):
        bank.open_account(AccountRow(balance=1), event(AccountOpen(account="a", balance=1)))
    outcome = bank.credit(AccountRow(balance=1), event(AccountCredit(account="a", transfer="t", amount=2)))
    assert outcome.row == AccountRow(balance=3)
