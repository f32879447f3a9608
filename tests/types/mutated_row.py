"""A handler that changes its row in place."""

from __future__ import annotations

from streams import Event, Namespace, Outcome, required
from tests.applications.bank.events import AccountCredit, AccountRow

account = Namespace("account", row=AccountRow)


@account.handles(AccountCredit)
def credit(row: AccountRow | None, event: Event[AccountCredit]) -> Outcome[AccountRow]:
    row = required(row)
    row.balance += event.data.amount  # wrong: misc
    return Outcome(row)
