"""An application that does all that a handler can do: accept, delete, reject, emit, schedule, raise, answer wrongly."""

from __future__ import annotations

from datetime import timedelta

from streams import App, Event, Namespace, Outcome, Rejected, Scheduled, required
from tests.applications.bank.events import (
    AccountClose,
    AccountCredit,
    AccountDebit,
    AccountOpen,
    AccountRow,
    TransferFailed,
    TransferRow,
)

UNLUCKY = 13

account = Namespace("account", row=AccountRow)
transfer = Namespace("transfer", row=TransferRow)


@account.handles(AccountOpen)
def open_account(row: AccountRow | None, event: Event[AccountOpen]) -> Outcome[AccountRow]:
    """Raises for an unlucky balance."""
    if row is not None:
        raise Rejected("open already")
    return Outcome(AccountRow(balance=event.data.balance // (event.data.balance - UNLUCKY)))


@account.handles(AccountCredit, emits=[AccountCredit, AccountDebit, TransferFailed])
def credit(row: AccountRow | None, event: Event[AccountCredit]) -> Outcome[AccountRow]:
    """Passes half of it on, twice to the same key, and schedules a debit."""
    it = event.data
    row = required(row, emit=[TransferFailed(transfer=it.transfer, step="credit", why="no account")])
    half = it.amount // 2
    passed = AccountCredit(account=it.transfer, transfer=it.account, amount=half)
    later = Scheduled(
        AccountDebit(account=it.account, transfer=it.transfer, amount=half), at=event.time + timedelta(hours=half - 1)
    )
    return Outcome(AccountRow(balance=row.balance + it.amount), emit=[passed, passed, later] if half else [])


@account.handles(AccountDebit)
def debit(row: AccountRow | None, event: Event[AccountDebit]) -> Outcome[AccountRow]:
    """Emits what it does not declare if the amount is unlucky."""
    row = required(row)
    emit = [TransferFailed(transfer="t", step="debit", why="?")] if event.data.amount == UNLUCKY else []
    return Outcome(AccountRow(balance=row.balance - event.data.amount), emit=emit)


@account.handles(AccountClose)
def close(row: AccountRow | None, event: Event[AccountClose]) -> Outcome[AccountRow]:
    required(row)
    return Outcome(None)


@transfer.handles(TransferFailed)
def failed(row: TransferRow | None, event: Event[TransferFailed]) -> Outcome[TransferRow]:
    return Outcome(row)


def app() -> App:
    return App(name="moody", namespaces=[account, transfer])
