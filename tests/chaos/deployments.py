"""Other versions of the test applications, as they are deployed one after the other, and side by side.

The next bank has another schema for an account's row and for the start of a transfer, each with one field more. The broken bank
has a bug for a few accounts: what they are debited is parked, and retried when it is mended.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from streams import App, Event, Namespace, Outcome
from streams.data import EventData, Record
from tests.applications import bank
from tests.applications.bank.events import AccountDebit, AccountRow, TransferRow, TransferStart

Handler = Callable[[Any, Event[Any]], Outcome[Any]]
BUG_FOR = frozenset({"a3", "a50", "a77"})
"""Few enough that no namespace stops for them."""


class AccountRowNext(Record, frozen=True, kw_only=True):
    """An open account, and whose it is."""

    schemas: ClassVar[tuple[str, ...]] = (
        *AccountRow.schemas,
        '{"fields":[{"name":"balance","type":"long"},{"default":"","name":"owner","type":"string"}],"name":"account.row","type":"record"}',
    )

    balance: int
    owner: str = ""


class TransferStartNext(EventData, frozen=True, kw_only=True):
    """Move money from one account to another, with a note."""

    event_type: ClassVar[str] = "transfer.start"
    key_field: ClassVar[str] = "transfer"
    schemas: ClassVar[tuple[str, ...]] = (
        *TransferStart.schemas,
        '{"fields":[{"name":"transfer","type":"string"},{"name":"source","type":"string"},{"name":"target","type":"string"},{"name":"amount","type":"long"},{"default":"","name":"note","type":"string"}],"key":"transfer","name":"transfer.start","type":"record"}',
    )

    transfer: str
    source: str
    target: str
    amount: int
    note: str = ""


def next_bank() -> App:
    return _bank(lambda handler: handler)


def broken_bank() -> App:
    return _bank(_with_bug)


def _bank(change: Callable[[Handler], Handler]) -> App:
    """The next bank; `change` is made to what debits an account."""
    account = Namespace("account", row=AccountRowNext)
    for event, handler in bank.account.handlers.items():
        changed = change(handler) if event is AccountDebit else handler
        account.handles(event, emits=bank.account.emits[event])(_with_next_row(changed))
    transfer = Namespace("transfer", row=TransferRow)
    for event, other in bank.transfer.handlers.items():
        now = TransferStartNext if event is TransferStart else event
        transfer.handles(now, emits=bank.transfer.emits[event])(other)
    return App(name="bank", namespaces=[account, transfer])


def _with_next_row(handler: Handler) -> Handler:
    def changed(row: Any, event: Event[Any]) -> Outcome[Any]:
        outcome = handler(row, event)
        made = outcome.row
        return Outcome(AccountRowNext(balance=made.balance) if isinstance(made, AccountRow) else made, emit=outcome.emit)

    return changed


def _with_bug(handler: Handler) -> Handler:
    def changed(row: Any, event: Event[Any]) -> Outcome[Any]:
        if event.key in BUG_FOR:
            raise ZeroDivisionError("a bug that somebody deployed")
        return handler(row, event)

    return changed
