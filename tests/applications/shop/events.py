"""Written by `retold schemas generate`. Do not edit."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import ClassVar, Literal

from streams.data import EventData, Record


class Line(Record, frozen=True, kw_only=True):
    sku: str
    quantity: int


class OrderPlace(EventData, frozen=True, kw_only=True):
    """Order goods."""

    event_type: ClassVar[str] = "order.place"
    key_field: ClassVar[str] = "order"
    schemas: ClassVar[tuple[str, ...]] = (
        '{"type":"record","namespace":"order","name":"place","key":"order","fields":[{"name":"order","type":"string"},{"name":"customer","type":"string"},{"name":"lines","type":{"type":"array","items":{"type":"record","name":"line","fields":[{"name":"sku","type":"string"},{"name":"quantity","type":"long"}]}}}]}',
    )

    order: str
    customer: str
    lines: tuple[Line, ...]


class OrderLineReserved(EventData, frozen=True, kw_only=True):
    """The stock holds a line for the order."""

    event_type: ClassVar[str] = "order.line_reserved"
    key_field: ClassVar[str] = "order"
    schemas: ClassVar[tuple[str, ...]] = (
        '{"type":"record","namespace":"order","name":"line_reserved","key":"order","fields":[{"name":"order","type":"string"},{"name":"sku","type":"string"},{"name":"quantity","type":"long"},{"name":"price","type":"long"}]}',
    )

    order: str
    sku: str
    quantity: int
    price: int


class OrderLineRefused(EventData, frozen=True, kw_only=True):
    """The stock cannot give a line."""

    event_type: ClassVar[str] = "order.line_refused"
    key_field: ClassVar[str] = "order"
    schemas: ClassVar[tuple[str, ...]] = (
        '{"type":"record","namespace":"order","name":"line_refused","key":"order","fields":[{"name":"order","type":"string"},{"name":"sku","type":"string"},{"name":"why","type":"string"}]}',
    )

    order: str
    sku: str
    why: str


class OrderPaid(EventData, frozen=True, kw_only=True):
    """The order is paid."""

    event_type: ClassVar[str] = "order.paid"
    key_field: ClassVar[str] = "order"
    schemas: ClassVar[tuple[str, ...]] = (
        '{"type":"record","namespace":"order","name":"paid","key":"order","fields":[{"name":"order","type":"string"},{"name":"receipt","type":"string"}]}',
    )

    order: str
    receipt: str


class OrderCancel(EventData, frozen=True, kw_only=True):
    """Cancel the order, give back what it holds."""

    event_type: ClassVar[str] = "order.cancel"
    key_field: ClassVar[str] = "order"
    schemas: ClassVar[tuple[str, ...]] = (
        '{"type":"record","namespace":"order","name":"cancel","key":"order","fields":[{"name":"order","type":"string"},{"name":"why","type":"string"}]}',
    )

    order: str
    why: str


class OrderExpire(EventData, frozen=True, kw_only=True):
    """The time to pay is over."""

    event_type: ClassVar[str] = "order.expire"
    key_field: ClassVar[str] = "order"
    schemas: ClassVar[tuple[str, ...]] = (
        '{"type":"record","namespace":"order","name":"expire","key":"order","fields":[{"name":"order","type":"string"}]}',
    )

    order: str


class OrderRow(Record, frozen=True, kw_only=True):
    """An order; held: quantity by sku."""

    schemas: ClassVar[tuple[str, ...]] = (
        '{"type":"record","namespace":"order","name":"row","fields":[{"name":"customer","type":"string"},{"name":"status","type":{"type":"enum","name":"status","symbols":["reserving","paying","paid","cancelled"]}},{"name":"placed","type":{"type":"long","logicalType":"timestamp-micros"}},{"name":"waiting","type":"long"},{"name":"total","type":"long"},{"name":"held","type":{"type":"map","values":"long"}},{"name":"receipt","type":["null","string"],"default":null}]}',
    )

    customer: str
    status: Literal["reserving", "paying", "paid", "cancelled"]
    placed: datetime
    waiting: int
    total: int
    held: Mapping[str, int]
    receipt: str | None = None


class StockReceive(EventData, frozen=True, kw_only=True):
    """Goods come in."""

    event_type: ClassVar[str] = "stock.receive"
    key_field: ClassVar[str] = "sku"
    schemas: ClassVar[tuple[str, ...]] = (
        '{"type":"record","namespace":"stock","name":"receive","key":"sku","fields":[{"name":"sku","type":"string"},{"name":"quantity","type":"long"},{"name":"price","type":"long"}]}',
    )

    sku: str
    quantity: int
    price: int


class StockReserve(EventData, frozen=True, kw_only=True):
    """Hold goods for an order."""

    event_type: ClassVar[str] = "stock.reserve"
    key_field: ClassVar[str] = "sku"
    schemas: ClassVar[tuple[str, ...]] = (
        '{"type":"record","namespace":"stock","name":"reserve","key":"sku","fields":[{"name":"sku","type":"string"},{"name":"order","type":"string"},{"name":"quantity","type":"long"}]}',
    )

    sku: str
    order: str
    quantity: int


class StockRelease(EventData, frozen=True, kw_only=True):
    """Give held goods back."""

    event_type: ClassVar[str] = "stock.release"
    key_field: ClassVar[str] = "sku"
    schemas: ClassVar[tuple[str, ...]] = (
        '{"type":"record","namespace":"stock","name":"release","key":"sku","fields":[{"name":"sku","type":"string"},{"name":"order","type":"string"},{"name":"quantity","type":"long"}]}',
    )

    sku: str
    order: str
    quantity: int


class StockRow(Record, frozen=True, kw_only=True):
    """Goods that nobody holds, and what one costs."""

    schemas: ClassVar[tuple[str, ...]] = (
        '{"type":"record","namespace":"stock","name":"row","fields":[{"name":"free","type":"long"},{"name":"price","type":"long"}]}',
    )

    free: int
    price: int


class PaymentCharge(EventData, frozen=True, kw_only=True):
    """Charge the customer's card."""

    event_type: ClassVar[str] = "payment.charge"
    key_field: ClassVar[str] = "order"
    schemas: ClassVar[tuple[str, ...]] = (
        '{"type":"record","namespace":"payment","name":"charge","key":"order","fields":[{"name":"order","type":"string"},{"name":"amount","type":"long"}]}',
    )

    order: str
    amount: int


class PaymentRefund(EventData, frozen=True, kw_only=True):
    """Give the money back."""

    event_type: ClassVar[str] = "payment.refund"
    key_field: ClassVar[str] = "order"
    schemas: ClassVar[tuple[str, ...]] = (
        '{"type":"record","namespace":"payment","name":"refund","key":"order","fields":[{"name":"order","type":"string"},{"name":"receipt","type":"string"}]}',
    )

    order: str
    receipt: str


class PaymentCharged(EventData, frozen=True, kw_only=True):
    """The card was charged."""

    event_type: ClassVar[str] = "payment.charged"
    key_field: ClassVar[str] = "order"
    schemas: ClassVar[tuple[str, ...]] = (
        '{"type":"record","namespace":"payment","name":"charged","key":"order","fields":[{"name":"order","type":"string"},{"name":"receipt","type":"string"}]}',
    )

    order: str
    receipt: str


class PaymentDeclined(EventData, frozen=True, kw_only=True):
    """The card was refused."""

    event_type: ClassVar[str] = "payment.declined"
    key_field: ClassVar[str] = "order"
    schemas: ClassVar[tuple[str, ...]] = (
        '{"type":"record","namespace":"payment","name":"declined","key":"order","fields":[{"name":"order","type":"string"},{"name":"why","type":"string"}]}',
    )

    order: str
    why: str


class PaymentRefunded(EventData, frozen=True, kw_only=True):
    """The money was given back."""

    event_type: ClassVar[str] = "payment.refunded"
    key_field: ClassVar[str] = "order"
    schemas: ClassVar[tuple[str, ...]] = (
        '{"type":"record","namespace":"payment","name":"refunded","key":"order","fields":[{"name":"order","type":"string"},{"name":"receipt","type":"string"}]}',
    )

    order: str
    receipt: str


class PaymentRow(Record, frozen=True, kw_only=True):
    """What became of an order's payment."""

    schemas: ClassVar[tuple[str, ...]] = (
        '{"type":"record","namespace":"payment","name":"row","fields":[{"name":"status","type":{"type":"enum","name":"status","symbols":["charged","declined","refunded"]}}]}',
    )

    status: Literal["charged", "declined", "refunded"]


class OrdersPerDayRow(Record, frozen=True, kw_only=True):
    """How many on that day."""

    schemas: ClassVar[tuple[str, ...]] = (
        '{"type":"record","namespace":"orders_per_day","name":"row","fields":[{"name":"count","type":"long"}]}',
    )

    count: int


class ChargesRow(Record, frozen=True, kw_only=True):
    """How often an order's card was asked."""

    schemas: ClassVar[tuple[str, ...]] = (
        '{"type":"record","namespace":"charges","name":"row","fields":[{"name":"count","type":"long"}]}',
    )

    count: int
