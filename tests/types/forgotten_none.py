"""A handler that reads a row which may not be there."""

from __future__ import annotations

from msgspec.structs import replace

from streams import Event, Namespace, Outcome
from tests.applications.bank.events import AccountCredit, AccountRow

account = Namespace("account", row=AccountRow)


@account.handles(AccountCredit)
def credit(row: AccountRow | None, event: Event[AccountCredit]) -> Outcome[AccountRow]:
    new = row.balance + event.data.amount  # wrong: union-attr
    return Outcome(replace(row, balance=new) if row else None)
