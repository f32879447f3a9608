"""Written by `retold schemas generate`. Do not edit."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import ClassVar, Literal

from streams.data import EventData, Record

__all__ = [
    "ChargesRow",
    "Line",
    "OrderCancel",
    "OrderExpire",
    "OrderLineRefused",
    "OrderLineReserved",
    "OrderPaid",
    "OrderPlace",
    "OrderRow",
    "OrdersPerDayRow",
    "PaymentCharge",
    "PaymentCharged",
    "PaymentDeclined",
    "PaymentRefund",
    "PaymentRefunded",
    "PaymentRow",
    "StockReceive",
    "StockRelease",
    "StockReserve",
    "StockRow",
]


class ChargesRow(Record, frozen=True, kw_only=True):
    """How often an order's card was asked."""

    schemas: ClassVar[tuple[str, ...]] = (
        '{"fields":[{"name":"count","type":"long"}],"name":"charges.row","type":"record"}',
    )

    count: int


class OrderRow(Record, frozen=True, kw_only=True):
    """An order; held: quantity by sku."""

    schemas: ClassVar[tuple[str, ...]] = (
        '{"fields":[{"name":"customer","type":"string"},{"name":"status","type":{"name":"order.status","symbols":["reserving","paying","paid","cancelled"],"type":"enum"}},{"name":"placed","type":{"logicalType":"timestamp-micros","type":"long"}},{"name":"waiting","type":"long"},{"name":"total","type":"long"},{"name":"held","type":{"type":"map","values":"long"}},{"default":null,"name":"receipt","type":["null","string"]}],"name":"order.row","type":"record"}',
    )

    customer: str
    status: Literal["reserving", "paying", "paid", "cancelled"]
    placed: datetime
    waiting: int
    total: int
    held: Mapping[str, int]
    receipt: str | None = None


class OrderCancel(EventData, frozen=True, kw_only=True):
    """Cancel the order, give back what it holds."""

    event_type: ClassVar[str] = "order.cancel"
    key_field: ClassVar[str] = "order"
    schemas: ClassVar[tuple[str, ...]] = (
        '{"fields":[{"name":"order","type":"string"},{"name":"why","type":"string"}],"key":"order","name":"order.cancel","type":"record"}',
    )

    order: str
    why: str


class OrderExpire(EventData, frozen=True, kw_only=True):
    """The time to pay is over."""

    event_type: ClassVar[str] = "order.expire"
    key_field: ClassVar[str] = "order"
    schemas: ClassVar[tuple[str, ...]] = (
        '{"fields":[{"name":"order","type":"string"}],"key":"order","name":"order.expire","type":"record"}',
    )

    order: str


class OrderLineRefused(EventData, frozen=True, kw_only=True):
    """The stock cannot give a line."""

    event_type: ClassVar[str] = "order.line_refused"
    key_field: ClassVar[str] = "order"
    schemas: ClassVar[tuple[str, ...]] = (
        '{"fields":[{"name":"order","type":"string"},{"name":"sku","type":"string"},{"name":"why","type":"string"}],"key":"order","name":"order.line_refused","type":"record"}',
    )

    order: str
    sku: str
    why: str


class OrderLineReserved(EventData, frozen=True, kw_only=True):
    """The stock holds a line for the order."""

    event_type: ClassVar[str] = "order.line_reserved"
    key_field: ClassVar[str] = "order"
    schemas: ClassVar[tuple[str, ...]] = (
        '{"fields":[{"name":"order","type":"string"},{"name":"sku","type":"string"},{"name":"quantity","type":"long"},{"name":"price","type":"long"}],"key":"order","name":"order.line_reserved","type":"record"}',
    )

    order: str
    sku: str
    quantity: int
    price: int


class OrderPaid(EventData, frozen=True, kw_only=True):
    """The order is paid."""

    event_type: ClassVar[str] = "order.paid"
    key_field: ClassVar[str] = "order"
    schemas: ClassVar[tuple[str, ...]] = (
        '{"fields":[{"name":"order","type":"string"},{"name":"receipt","type":"string"}],"key":"order","name":"order.paid","type":"record"}',
    )

    order: str
    receipt: str


class Line(Record, frozen=True, kw_only=True):
    sku: str
    quantity: int


class OrderPlace(EventData, frozen=True, kw_only=True):
    """Order goods."""

    event_type: ClassVar[str] = "order.place"
    key_field: ClassVar[str] = "order"
    schemas: ClassVar[tuple[str, ...]] = (
        '{"fields":[{"name":"order","type":"string"},{"name":"customer","type":"string"},{"name":"lines","type":{"items":{"fields":[{"name":"sku","type":"string"},{"name":"quantity","type":"long"}],"name":"order.line","type":"record"},"type":"array"}}],"key":"order","name":"order.place","type":"record"}',
    )

    order: str
    customer: str
    lines: tuple[Line, ...]


class OrdersPerDayRow(Record, frozen=True, kw_only=True):
    """How many on that day."""

    schemas: ClassVar[tuple[str, ...]] = (
        '{"fields":[{"name":"count","type":"long"}],"name":"orders_per_day.row","type":"record"}',
    )

    count: int


class PaymentRow(Record, frozen=True, kw_only=True):
    """What became of an order's payment."""

    schemas: ClassVar[tuple[str, ...]] = (
        '{"fields":[{"name":"status","type":{"name":"payment.status","symbols":["charged","declined","refunded"],"type":"enum"}}],"name":"payment.row","type":"record"}',
    )

    status: Literal["charged", "declined", "refunded"]


class PaymentCharge(EventData, frozen=True, kw_only=True):
    """Charge the customer's card."""

    event_type: ClassVar[str] = "payment.charge"
    key_field: ClassVar[str] = "order"
    schemas: ClassVar[tuple[str, ...]] = (
        '{"fields":[{"name":"order","type":"string"},{"name":"amount","type":"long"}],"key":"order","name":"payment.charge","type":"record"}',
    )

    order: str
    amount: int


class PaymentCharged(EventData, frozen=True, kw_only=True):
    """The card was charged."""

    event_type: ClassVar[str] = "payment.charged"
    key_field: ClassVar[str] = "order"
    schemas: ClassVar[tuple[str, ...]] = (
        '{"fields":[{"name":"order","type":"string"},{"name":"receipt","type":"string"}],"key":"order","name":"payment.charged","type":"record"}',
    )

    order: str
    receipt: str


class PaymentDeclined(EventData, frozen=True, kw_only=True):
    """The card was refused."""

    event_type: ClassVar[str] = "payment.declined"
    key_field: ClassVar[str] = "order"
    schemas: ClassVar[tuple[str, ...]] = (
        '{"fields":[{"name":"order","type":"string"},{"name":"why","type":"string"}],"key":"order","name":"payment.declined","type":"record"}',
    )

    order: str
    why: str


class PaymentRefund(EventData, frozen=True, kw_only=True):
    """Give the money back."""

    event_type: ClassVar[str] = "payment.refund"
    key_field: ClassVar[str] = "order"
    schemas: ClassVar[tuple[str, ...]] = (
        '{"fields":[{"name":"order","type":"string"},{"name":"receipt","type":"string"}],"key":"order","name":"payment.refund","type":"record"}',
    )

    order: str
    receipt: str


class PaymentRefunded(EventData, frozen=True, kw_only=True):
    """The money was given back."""

    event_type: ClassVar[str] = "payment.refunded"
    key_field: ClassVar[str] = "order"
    schemas: ClassVar[tuple[str, ...]] = (
        '{"fields":[{"name":"order","type":"string"},{"name":"receipt","type":"string"}],"key":"order","name":"payment.refunded","type":"record"}',
    )

    order: str
    receipt: str


class StockRow(Record, frozen=True, kw_only=True):
    """Goods that nobody holds, and what one costs."""

    schemas: ClassVar[tuple[str, ...]] = (
        '{"fields":[{"name":"free","type":"long"},{"name":"price","type":"long"}],"name":"stock.row","type":"record"}',
    )

    free: int
    price: int


class StockReceive(EventData, frozen=True, kw_only=True):
    """Goods come in."""

    event_type: ClassVar[str] = "stock.receive"
    key_field: ClassVar[str] = "sku"
    schemas: ClassVar[tuple[str, ...]] = (
        '{"fields":[{"name":"sku","type":"string"},{"name":"quantity","type":"long"},{"name":"price","type":"long"}],"key":"sku","name":"stock.receive","type":"record"}',
    )

    sku: str
    quantity: int
    price: int


class StockRelease(EventData, frozen=True, kw_only=True):
    """Give held goods back."""

    event_type: ClassVar[str] = "stock.release"
    key_field: ClassVar[str] = "sku"
    schemas: ClassVar[tuple[str, ...]] = (
        '{"fields":[{"name":"sku","type":"string"},{"name":"order","type":"string"},{"name":"quantity","type":"long"}],"key":"sku","name":"stock.release","type":"record"}',
    )

    sku: str
    order: str
    quantity: int


class StockReserve(EventData, frozen=True, kw_only=True):
    """Hold goods for an order."""

    event_type: ClassVar[str] = "stock.reserve"
    key_field: ClassVar[str] = "sku"
    schemas: ClassVar[tuple[str, ...]] = (
        '{"fields":[{"name":"sku","type":"string"},{"name":"order","type":"string"},{"name":"quantity","type":"long"}],"key":"sku","name":"stock.reserve","type":"record"}',
    )

    sku: str
    order: str
    quantity: int
