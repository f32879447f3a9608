"""A right program: the type checker has nothing to say."""

from __future__ import annotations

from datetime import timedelta

from msgspec.structs import replace

from streams import App, Event, Gateway, Namespace, Outcome, Projection, Scheduled, Tables, View, required
from streams.testing import given
from tests.applications.bank.events import AccountClose, AccountCredit, AccountOpen, AccountRow
from tests.applications.shop import CardApi
from tests.applications.shop.events import PaymentCharge, PaymentCharged, PaymentDeclined, PaymentRow

account = Namespace("account", row=AccountRow)
payment = Namespace("payment", row=PaymentRow)
opened = Projection("opened", row=AccountRow)


@account.handles(AccountOpen, emits=[AccountClose])
def open_account(row: AccountRow | None, event: Event[AccountOpen]) -> Outcome[AccountRow]:
    later = Scheduled(AccountClose(account=event.key), at=event.time + timedelta(days=1))
    return Outcome(AccountRow(balance=event.data.balance), emit=[later])


@account.handles(AccountCredit)
def credit(row: AccountRow | None, event: Event[AccountCredit]) -> Outcome[AccountRow]:
    row = required(row)
    return Outcome(replace(row, balance=row.balance + event.data.amount))


@account.handles(AccountClose)
def close(row: AccountRow | None, event: Event[AccountClose]) -> Outcome[AccountRow]:
    return Outcome(None)


@opened.folds(AccountOpen, key=lambda event: event.time.date().isoformat())
def count(row: AccountRow | None, event: Event[AccountOpen]) -> AccountRow | None:
    return AccountRow(balance=event.data.balance + (row.balance if row else 0))


def balance(tables: Tables, key: str) -> int:
    row = tables.of(account).get(key)
    return row.balance if row else 0


def app() -> App:
    charge = Gateway(PaymentCharge, CardApi().charge, answers=[PaymentCharged, PaymentDeclined])
    views = [View("balance/{key}", balance)]
    return App(name="right", namespaces=[account, payment], gateways=[charge], projections=[opened], views=views)


def balance_after(opening: AccountOpen) -> int:
    row = given(app()).when(opening).row
    found = given(app(), opening).table(account).get(opening.account)
    return found.balance if row is not None and found is not None else 0
