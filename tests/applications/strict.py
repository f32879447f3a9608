"""The bank, whose accounts are of generation 2: no more than fifty is taken from one at once; or none is opened without money.

Or its transfers are, whose rows keep a fee of one back.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec.structs import replace

from streams import App, Event, Namespace, Outcome, Rejected
from tests.applications import bank
from tests.applications.bank.events import AccountDebit, AccountOpen, AccountRow, TransferRow, TransferStart

LIMIT = 50


def debit(row: AccountRow | None, event: Event[AccountDebit]) -> Outcome[AccountRow]:
    if event.data.amount > LIMIT:
        raise Rejected("too much at once", emit=[bank.refusal(event.data, "too much at once")])
    return bank.debit(row, event)


def open_account(row: AccountRow | None, event: Event[AccountOpen]) -> Outcome[AccountRow]:
    if not event.data.balance:
        raise Rejected("an account is opened with money")
    return bank.open_account(row, event)


def bank_with(
    debit: Callable[[AccountRow | None, Event[AccountDebit]], Outcome[AccountRow]], opened: Any = bank.open_account
) -> App:
    """With another handler of what is taken from accounts, or of their being opened."""
    account = Namespace("account", row=AccountRow, generation=2)
    handlers: dict[Any, Any] = {**bank.account.handlers, AccountDebit: debit, AccountOpen: opened}
    for event, handler in handlers.items():
        account.handles(event, emits=bank.account.emits[event])(handler)
    return App(name=bank.app().name, namespaces=[account, bank.transfer])


def app() -> App:
    return bank_with(debit)


def with_money() -> App:
    return bank_with(bank.debit, open_account)


def start(row: TransferRow | None, event: Event[TransferStart]) -> Outcome[TransferRow]:
    """It emits what it did, so the fee shows in what a later event emits of this row."""
    made = bank.start(row, event)
    assert made.row is not None
    return Outcome(replace(made.row, amount=made.row.amount - 1), emit=made.emit)


def with_fee() -> App:
    transfer = Namespace("transfer", row=TransferRow, generation=2)
    handlers: dict[Any, Any] = {**bank.transfer.handlers, TransferStart: start}
    for event, handler in handlers.items():
        transfer.handles(event, emits=bank.transfer.emits[event])(handler)
    return App(name=bank.app().name, namespaces=[bank.account, transfer])
