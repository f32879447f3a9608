"""A handler that takes no None where there may be no row."""

from __future__ import annotations

from streams import Event, Namespace, Outcome
from tests.applications.bank.events import AccountCredit, AccountRow

account = Namespace("account", row=AccountRow)


@account.handles(AccountCredit)  # wrong: arg-type
def credit(row: AccountRow, event: Event[AccountCredit]) -> Outcome[AccountRow]:
    return Outcome(row)
