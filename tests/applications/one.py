"""Applications of one namespace, made around a handler that a test brings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from msgspec.structs import replace

from streams import App, Event, Namespace, Outcome
from streams.data import EventData
from tests.applications.bank.events import AccountCredit, AccountOpen, AccountRow
from tests.applications.shop.events import OrderCancel, OrderPlace, OrderRow


def app_of(handler: Callable[[Any, Event[Any]], Any], *, emits: Sequence[type[EventData]] = ()) -> App:
    """`account.open` is handled by `handler`; beside it is an `account.credit` that adds."""
    account = Namespace("account", row=AccountRow)
    account.handles(AccountOpen, emits=emits)(handler)

    @account.handles(AccountCredit)
    def credit(row: AccountRow | None, event: Event[AccountCredit]) -> Outcome[AccountRow]:
        return Outcome(AccountRow(balance=(row.balance if row else 0) + event.data.amount))

    return App(name="one", namespaces=[account])


def order_app(change: Callable[[Any], object], held: dict[str, int] | None = None) -> App:
    """`order.cancel` tries to change its row in place."""
    order = Namespace("order", row=OrderRow)

    @order.handles(OrderPlace)
    def place(row: OrderRow | None, event: Event[OrderPlace]) -> Outcome[OrderRow]:
        start = OrderRow(customer="c7", status="reserving", placed=event.time, waiting=0, total=0, held={"A1": 1})
        return Outcome(start if held is None else replace(start, held=held))

    @order.handles(OrderCancel)
    def cancel(row: OrderRow | None, event: Event[OrderCancel]) -> Outcome[OrderRow]:
        change(row)
        return Outcome(row)

    return App(name="order", namespaces=[order])
