"""Written by `retold schemas generate`. Do not edit."""

from __future__ import annotations

from typing import ClassVar, Literal

from streams.data import EventData, Record

__all__ = [
    "AccountClose",
    "AccountCredit",
    "AccountDebit",
    "AccountOpen",
    "AccountRow",
    "TransferDone",
    "TransferFailed",
    "TransferRow",
    "TransferStart",
]


class AccountRow(Record, frozen=True, kw_only=True):
    """An open account."""

    schemas: ClassVar[tuple[str, ...]] = (
        '{"fields":[{"name":"balance","type":"long"}],"name":"account.row","type":"record"}',
    )

    balance: int


class AccountClose(EventData, frozen=True, kw_only=True):
    """Close an empty account."""

    event_type: ClassVar[str] = "account.close"
    key_field: ClassVar[str] = "account"
    schemas: ClassVar[tuple[str, ...]] = (
        '{"fields":[{"name":"account","type":"string"}],"key":"account","name":"account.close","type":"record"}',
    )

    account: str


class AccountCredit(EventData, frozen=True, kw_only=True):
    """Put money in, for a transfer."""

    event_type: ClassVar[str] = "account.credit"
    key_field: ClassVar[str] = "account"
    schemas: ClassVar[tuple[str, ...]] = (
        '{"fields":[{"name":"account","type":"string"},{"name":"transfer","type":"string"},{"name":"amount","type":"long"}],"key":"account","name":"account.credit","type":"record"}',
    )

    account: str
    transfer: str
    amount: int


class AccountDebit(EventData, frozen=True, kw_only=True):
    """Take money out, for a transfer."""

    event_type: ClassVar[str] = "account.debit"
    key_field: ClassVar[str] = "account"
    schemas: ClassVar[tuple[str, ...]] = (
        '{"fields":[{"name":"account","type":"string"},{"name":"transfer","type":"string"},{"name":"amount","type":"long"}],"key":"account","name":"account.debit","type":"record"}',
    )

    account: str
    transfer: str
    amount: int


class AccountOpen(EventData, frozen=True, kw_only=True):
    """Open an account."""

    event_type: ClassVar[str] = "account.open"
    key_field: ClassVar[str] = "account"
    schemas: ClassVar[tuple[str, ...]] = (
        '{"fields":[{"name":"account","type":"string"},{"name":"balance","type":"long"}],"key":"account","name":"account.open","type":"record"}',
    )

    account: str
    balance: int


class TransferRow(Record, frozen=True, kw_only=True):
    """A transfer and how far it came. Stranded: taken from its source, wanted by nobody; an operator decides."""

    schemas: ClassVar[tuple[str, ...]] = (
        '{"fields":[{"name":"source","type":"string"},{"name":"target","type":"string"},{"name":"amount","type":"long"},{"name":"status","type":{"name":"transfer.status","symbols":["debiting","crediting","returning","done","failed","returned","stranded"],"type":"enum"}}],"name":"transfer.row","type":"record"}',
    )

    source: str
    target: str
    amount: int
    status: Literal["debiting", "crediting", "returning", "done", "failed", "returned", "stranded"]


class TransferDone(EventData, frozen=True, kw_only=True):
    """An account did its step."""

    event_type: ClassVar[str] = "transfer.done"
    key_field: ClassVar[str] = "transfer"
    schemas: ClassVar[tuple[str, ...]] = (
        '{"fields":[{"name":"transfer","type":"string"},{"name":"step","type":{"name":"transfer.step","symbols":["debit","credit"],"type":"enum"}}],"key":"transfer","name":"transfer.done","type":"record"}',
    )

    transfer: str
    step: Literal["debit", "credit"]


class TransferFailed(EventData, frozen=True, kw_only=True):
    """An account refused its step."""

    event_type: ClassVar[str] = "transfer.failed"
    key_field: ClassVar[str] = "transfer"
    schemas: ClassVar[tuple[str, ...]] = (
        '{"fields":[{"name":"transfer","type":"string"},{"name":"step","type":{"name":"transfer.step","symbols":["debit","credit"],"type":"enum"}},{"name":"why","type":"string"}],"key":"transfer","name":"transfer.failed","type":"record"}',
    )

    transfer: str
    step: Literal["debit", "credit"]
    why: str


class TransferStart(EventData, frozen=True, kw_only=True):
    """Move money from one account to another."""

    event_type: ClassVar[str] = "transfer.start"
    key_field: ClassVar[str] = "transfer"
    schemas: ClassVar[tuple[str, ...]] = (
        '{"fields":[{"name":"transfer","type":"string"},{"name":"source","type":"string"},{"name":"target","type":"string"},{"name":"amount","type":"long"}],"key":"transfer","name":"transfer.start","type":"record"}',
    )

    transfer: str
    source: str
    target: str
    amount: int
