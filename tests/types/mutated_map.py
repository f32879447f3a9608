"""A handler that changes a map in its row."""

from __future__ import annotations

from streams import Event, Namespace, Outcome, required
from tests.applications.shop.events import OrderCancel, OrderRow

order = Namespace("order", row=OrderRow)


@order.handles(OrderCancel)
def cancel(row: OrderRow | None, event: Event[OrderCancel]) -> Outcome[OrderRow]:
    row = required(row)
    row.held["A1"] = 0  # wrong: index
    return Outcome(row)
