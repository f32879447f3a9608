"""A handler bound to one event that takes another."""

from __future__ import annotations

from streams import Event, Namespace, Outcome
from tests.applications.bank.events import AccountClose, AccountOpen, AccountRow

account = Namespace("account", row=AccountRow)


@account.handles(AccountOpen)  # wrong: arg-type
def open_account(row: AccountRow | None, event: Event[AccountClose]) -> Outcome[AccountRow]:
    return Outcome(row)
