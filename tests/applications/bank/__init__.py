"""A bank: money moves between two accounts by a process of its own (`transfer`), and is never lost on the way."""

from __future__ import annotations

from msgspec.structs import replace

from streams import App, Event, Namespace, Outcome, Rejected, required
from tests.applications.bank.events import (
    AccountClose,
    AccountCredit,
    AccountDebit,
    AccountOpen,
    AccountRow,
    TransferDone,
    TransferFailed,
    TransferRow,
    TransferStart,
)

account = Namespace("account", row=AccountRow)
transfer = Namespace("transfer", row=TransferRow)


@account.handles(AccountOpen)
def open_account(row: AccountRow | None, event: Event[AccountOpen]) -> Outcome[AccountRow]:
    if row is not None:
        raise Rejected("this account is already open")
    if event.data.balance < 0:
        raise Rejected("an account opens with nothing or more")
    return Outcome(AccountRow(balance=event.data.balance))


@account.handles(AccountClose)
def close(row: AccountRow | None, event: Event[AccountClose]) -> Outcome[AccountRow]:
    if required(row, "there is no such account").balance:
        raise Rejected("this account is not empty")
    return Outcome(None)


@account.handles(AccountDebit, emits=[TransferDone, TransferFailed])
def debit(row: AccountRow | None, event: Event[AccountDebit]) -> Outcome[AccountRow]:
    it = event.data
    row = required(row, "there is no such account", emit=[refusal(it, "there is no such account")])
    if row.balance < it.amount:
        raise Rejected("not enough money", emit=[refusal(it, "not enough money")])
    return Outcome(
        replace(row, balance=row.balance - it.amount),
        emit=[TransferDone(transfer=it.transfer, step="debit")],
    )


@account.handles(AccountCredit, emits=[TransferDone, TransferFailed])
def credit(row: AccountRow | None, event: Event[AccountCredit]) -> Outcome[AccountRow]:
    it = event.data
    row = required(row, "there is no such account", emit=[refusal(it, "there is no such account")])
    return Outcome(
        replace(row, balance=row.balance + it.amount),
        emit=[TransferDone(transfer=it.transfer, step="credit")],
    )


def refusal(asked: AccountDebit | AccountCredit, why: str) -> TransferFailed:
    """What the transfer hears when an account says no."""
    if isinstance(asked, AccountDebit):
        return TransferFailed(transfer=asked.transfer, step="debit", why=why)
    return TransferFailed(transfer=asked.transfer, step="credit", why=why)


@transfer.handles(TransferStart, emits=[AccountDebit])
def start(row: TransferRow | None, event: Event[TransferStart]) -> Outcome[TransferRow]:
    it = event.data
    if row is not None:
        raise Rejected("this transfer has already started")
    if it.amount <= 0:
        raise Rejected("a transfer moves more than nothing")
    return Outcome(
        TransferRow(source=it.source, target=it.target, amount=it.amount, status="debiting"),
        emit=[AccountDebit(account=it.source, transfer=it.transfer, amount=it.amount)],
    )


@transfer.handles(TransferDone, emits=[AccountCredit])
def done(row: TransferRow | None, event: Event[TransferDone]) -> Outcome[TransferRow]:
    row = required(row, "there is no such transfer")
    match row.status, event.data.step:
        case "debiting", "debit":
            put = AccountCredit(account=row.target, transfer=event.key, amount=row.amount)
            return Outcome(replace(row, status="crediting"), emit=[put])
        case "crediting", "credit":
            return Outcome(replace(row, status="done"))
        case "returning", "credit":
            return Outcome(replace(row, status="returned"))
    raise Rejected(f"a transfer that is {row.status} waits for no {event.data.step}")


@transfer.handles(TransferFailed, emits=[AccountCredit])
def failed(row: TransferRow | None, event: Event[TransferFailed]) -> Outcome[TransferRow]:
    row = required(row, "there is no such transfer")
    match row.status, event.data.step:
        case "debiting", "debit":
            return Outcome(replace(row, status="failed"))
        case "crediting", "credit":
            back = AccountCredit(account=row.source, transfer=event.key, amount=row.amount)
            return Outcome(replace(row, status="returning"), emit=[back])
        case "returning", "credit":
            return Outcome(replace(row, status="stranded"))
    raise Rejected(f"a transfer that is {row.status} waits for no {event.data.step}")


def app() -> App:
    return App(name="bank", namespaces=[account, transfer])
