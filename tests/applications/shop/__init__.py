"""A shop: an order reserves its lines, is charged for them, and expires if nobody pays; what it held goes back."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from msgspec.structs import replace

from streams import App, Event, Gateway, Namespace, Outcome, Projection, Rejected, Scheduled, Tables, View, required
from streams.data import EventData
from tests.applications.shop.events import (
    ChargesRow,
    OrderCancel,
    OrderExpire,
    OrderLineRefused,
    OrderLineReserved,
    OrderPaid,
    OrderPlace,
    OrderRow,
    OrdersPerDayRow,
    PaymentCharge,
    PaymentCharged,
    PaymentDeclined,
    PaymentRefund,
    PaymentRefunded,
    PaymentRow,
    StockReceive,
    StockRelease,
    StockReserve,
    StockRow,
)

order = Namespace("order", row=OrderRow)
stock = Namespace("stock", row=StockRow)
payment = Namespace("payment", row=PaymentRow)
orders_per_day = Projection("orders_per_day", row=OrdersPerDayRow)
charges = Projection("charges", row=ChargesRow)

PAY_WITHIN = timedelta(minutes=15)


@order.handles(OrderPlace, emits=[StockReserve, OrderExpire])
def place(row: OrderRow | None, event: Event[OrderPlace]) -> Outcome[OrderRow]:
    new = event.data
    if row is not None:
        raise Rejected("this order was already placed")
    if not new.lines:
        raise Rejected("an order has at least one line")
    waiting = len(new.lines)
    return Outcome(
        OrderRow(customer=new.customer, status="reserving", placed=event.time, waiting=waiting, total=0, held={}),
        emit=[
            *(StockReserve(sku=line.sku, order=new.order, quantity=line.quantity) for line in new.lines),
            Scheduled(OrderExpire(order=new.order), at=event.time + PAY_WITHIN),
        ],
    )


@order.handles(OrderLineReserved, emits=[PaymentCharge, StockRelease])
def line_reserved(row: OrderRow | None, event: Event[OrderLineReserved]) -> Outcome[OrderRow]:
    row, it = required(row, "there is no such order"), event.data
    if row.status == "cancelled":  # the stock's answer came too late: give it back
        return Outcome(row, emit=[StockRelease(sku=it.sku, order=it.order, quantity=it.quantity)])
    held = {**row.held, it.sku: row.held.get(it.sku, 0) + it.quantity}
    row = replace(row, waiting=row.waiting - 1, total=row.total + it.price * it.quantity, held=held)
    if row.waiting:
        return Outcome(row)
    return Outcome(replace(row, status="paying"), emit=[PaymentCharge(order=it.order, amount=row.total)])


@order.handles(OrderLineRefused, emits=[StockRelease, PaymentRefund])
def line_refused(row: OrderRow | None, event: Event[OrderLineRefused]) -> Outcome[OrderRow]:
    return cancelled(required(row, "there is no such order"), event.key)


@order.handles(OrderPaid, emits=[PaymentRefund])
def paid(row: OrderRow | None, event: Event[OrderPaid]) -> Outcome[OrderRow]:
    row = required(row, "there is no such order")
    if row.status == "cancelled":  # the money came too late: give it back
        return Outcome(row, emit=[PaymentRefund(order=event.key, receipt=event.data.receipt)])
    return Outcome(replace(row, status="paid", receipt=event.data.receipt))


@order.handles(OrderCancel, emits=[StockRelease, PaymentRefund])
def cancel(row: OrderRow | None, event: Event[OrderCancel]) -> Outcome[OrderRow]:
    return cancelled(required(row, "there is no such order"), event.key)


@order.handles(OrderExpire, emits=[StockRelease, PaymentRefund])
def expire(row: OrderRow | None, event: Event[OrderExpire]) -> Outcome[OrderRow]:
    """Nothing scheduled is ever called back: the late event looks at the row and may find nothing to do."""
    row = required(row, "there is no such order")
    return Outcome(row) if row.status in ("paid", "cancelled") else cancelled(row, event.key)


def cancelled(row: OrderRow, key: str) -> Outcome[OrderRow]:
    """The order without what it held: goods and money go back."""
    if row.status == "cancelled":
        raise Rejected("this order is already cancelled")
    back: list[EventData] = [StockRelease(sku=sku, order=key, quantity=held) for sku, held in row.held.items()]
    if row.receipt is not None:
        back.append(PaymentRefund(order=key, receipt=row.receipt))
    return Outcome(replace(row, status="cancelled", held={}), emit=back)


@stock.handles(StockReceive)
def receive(row: StockRow | None, event: Event[StockReceive]) -> Outcome[StockRow]:
    return Outcome(StockRow(free=(row.free if row else 0) + event.data.quantity, price=event.data.price))


@stock.handles(StockReserve, emits=[OrderLineReserved, OrderLineRefused])
def reserve(row: StockRow | None, event: Event[StockReserve]) -> Outcome[StockRow]:
    it = event.data
    row = required(row, "no such sku", emit=[OrderLineRefused(order=it.order, sku=it.sku, why="no such sku")])
    if row.free < it.quantity:
        raise Rejected("not enough in stock", emit=[OrderLineRefused(order=it.order, sku=it.sku, why="sold out")])
    return Outcome(
        replace(row, free=row.free - it.quantity),
        emit=[OrderLineReserved(order=it.order, sku=it.sku, quantity=it.quantity, price=row.price)],
    )


@stock.handles(StockRelease)
def release(row: StockRow | None, event: Event[StockRelease]) -> Outcome[StockRow]:
    row = required(row, "no such sku")
    return Outcome(replace(row, free=row.free + event.data.quantity))


@payment.handles(PaymentCharged, emits=[OrderPaid])
def charged(row: PaymentRow | None, event: Event[PaymentCharged]) -> Outcome[PaymentRow]:
    return Outcome(PaymentRow(status="charged"), emit=[OrderPaid(order=event.key, receipt=event.data.receipt)])


@payment.handles(PaymentDeclined, emits=[OrderCancel])
def declined(row: PaymentRow | None, event: Event[PaymentDeclined]) -> Outcome[PaymentRow]:
    return Outcome(PaymentRow(status="declined"), emit=[OrderCancel(order=event.key, why=event.data.why)])


@payment.handles(PaymentRefunded)
def refunded(row: PaymentRow | None, event: Event[PaymentRefunded]) -> Outcome[PaymentRow]:
    return Outcome(PaymentRow(status="refunded"))


@orders_per_day.folds(OrderPlace, key=lambda event: event.time.date().isoformat())
def count_order(row: OrdersPerDayRow | None, event: Event[OrderPlace]) -> OrdersPerDayRow:
    return OrdersPerDayRow(count=(row.count if row else 0) + 1)


@charges.folds(PaymentCharge, key=lambda event: event.key)
def count_charge(row: ChargesRow | None, event: Event[PaymentCharge]) -> ChargesRow:
    return ChargesRow(count=(row.count if row else 0) + 1)


def orders_of_customer(tables: Tables, customer: str) -> Mapping[str, OrderRow]:
    return tables.of(order).where(customer=customer)


def refund(request: Event[PaymentCharge], answer: PaymentCharged | PaymentDeclined) -> PaymentRefund | None:
    """What takes a charge back: its receipt is in the answer."""
    return PaymentRefund(order=request.key, receipt=answer.receipt) if isinstance(answer, PaymentCharged) else None


class CardApi:
    """The card company, when all goes well."""

    async def charge(self, event: Event[PaymentCharge]) -> PaymentCharged | PaymentDeclined:
        return PaymentCharged(order=event.key, receipt=event.id)

    async def refund(self, event: Event[PaymentRefund]) -> PaymentRefunded:
        return PaymentRefunded(order=event.key, receipt=event.data.receipt)


def app(cards: CardApi | None = None) -> App:
    cards = cards or CardApi()
    return App(
        name="shop",
        namespaces=[order, stock, payment],
        gateways=[
            Gateway(PaymentCharge, cards.charge, answers=[PaymentCharged, PaymentDeclined], undo=PaymentRefund, undone_by=refund),
            Gateway(PaymentRefund, cards.refund, answers=[PaymentRefunded]),
        ],
        projections=[orders_per_day, charges],
        views=[View("orders-of/{customer}", orders_of_customer)],
    )
