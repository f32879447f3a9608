"""A handler that leaves the row of another namespace."""

from __future__ import annotations

from streams import Event, Namespace, Outcome
from tests.applications.bank.events import AccountOpen, AccountRow, TransferRow

account = Namespace("account", row=AccountRow)


@account.handles(AccountOpen)
def open_account(row: AccountRow | None, event: Event[AccountOpen]) -> Outcome[AccountRow]:
    return Outcome(TransferRow(source="a", target="b", amount=1, status="done"))  # wrong: arg-type
