"""An application in three versions, of which each makes other rows of the same events."""

from __future__ import annotations

from streams import App, Event, Namespace, Outcome, Rejected, View
from tests.applications.bank.events import AccountCredit, AccountOpen, AccountRow

LIMIT = 100
"""The most that `strict` lets somebody put in at once."""


def _app(generation: int, times: int = 1, limit: int | None = None) -> App:
    account = Namespace("account", row=AccountRow, generation=generation)

    @account.handles(AccountOpen)
    def open_account(row: AccountRow | None, event: Event[AccountOpen]) -> Outcome[AccountRow]:
        if row is not None:
            raise Rejected("this account is already open")
        return Outcome(AccountRow(balance=event.data.balance))

    @account.handles(AccountCredit)
    def credit(row: AccountRow | None, event: Event[AccountCredit]) -> Outcome[AccountRow]:
        if limit is not None and event.data.amount > limit:
            raise Rejected("so much at once is not taken")
        return Outcome(AccountRow(balance=(row.balance if row else 0) + times * event.data.amount))

    accounts = View("accounts", lambda tables: len(tables.of(account)))
    return App(name="counted", namespaces=[account], views=[accounts])


def first() -> App:
    return _app(1)


def second() -> App:
    """Counts each deposit twice."""
    return _app(2, times=2)


def strict() -> App:
    """Refuses what the others have accepted."""
    return _app(3, limit=LIMIT)
