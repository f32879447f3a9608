"""A handler that reads a field which the event does not have."""

from __future__ import annotations

from streams import Event, Namespace, Outcome
from tests.applications.bank.events import AccountOpen, AccountRow

account = Namespace("account", row=AccountRow)


@account.handles(AccountOpen)
def open_account(row: AccountRow | None, event: Event[AccountOpen]) -> Outcome[AccountRow]:
    return Outcome(AccountRow(balance=event.data.ballance))  # wrong: attr-defined
