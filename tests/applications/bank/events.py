"""Written by `retold schemas generate`. Do not edit."""

from __future__ import annotations

from typing import ClassVar, Literal

from streams.data import EventData, Record


class AccountOpen(EventData, frozen=True, kw_only=True):
    """Open an account."""

    event_type: ClassVar[str] = "account.open"
    key_field: ClassVar[str] = "account"
    schemas: ClassVar[tuple[str, ...]] = (
        '{"type":"record","namespace":"account","name":"open","key":"account","fields":[{"name":"account","type":"string"},{"name":"balance","type":"long"}]}',
    )

    account: str
    balance: int


class AccountClose(EventData, frozen=True, kw_only=True):
    """Close an empty account."""

    event_type: ClassVar[str] = "account.close"
    key_field: ClassVar[str] = "account"
    schemas: ClassVar[tuple[str, ...]] = (
        '{"type":"record","namespace":"account","name":"close","key":"account","fields":[{"name":"account","type":"string"}]}',
    )

    account: str


class AccountDebit(EventData, frozen=True, kw_only=True):
    """Take money out, for a transfer."""

    event_type: ClassVar[str] = "account.debit"
    key_field: ClassVar[str] = "account"
    schemas: ClassVar[tuple[str, ...]] = (
        '{"type":"record","namespace":"account","name":"debit","key":"account","fields":[{"name":"account","type":"string"},{"name":"transfer","type":"string"},{"name":"amount","type":"long"}]}',
    )

    account: str
    transfer: str
    amount: int


class AccountCredit(EventData, frozen=True, kw_only=True):
    """Put money in, for a transfer."""

    event_type: ClassVar[str] = "account.credit"
    key_field: ClassVar[str] = "account"
    schemas: ClassVar[tuple[str, ...]] = (
        '{"type":"record","namespace":"account","name":"credit","key":"account","fields":[{"name":"account","type":"string"},{"name":"transfer","type":"string"},{"name":"amount","type":"long"}]}',
    )

    account: str
    transfer: str
    amount: int


class AccountRow(Record, frozen=True, kw_only=True):
    """An open account."""

    schemas: ClassVar[tuple[str, ...]] = (
        '{"type":"record","namespace":"account","name":"row","fields":[{"name":"balance","type":"long"}]}',
    )

    balance: int


class TransferStart(EventData, frozen=True, kw_only=True):
    """Move money from one account to another."""

    event_type: ClassVar[str] = "transfer.start"
    key_field: ClassVar[str] = "transfer"
    schemas: ClassVar[tuple[str, ...]] = (
        '{"type":"record","namespace":"transfer","name":"start","key":"transfer","fields":[{"name":"transfer","type":"string"},{"name":"source","type":"string"},{"name":"target","type":"string"},{"name":"amount","type":"long"}]}',
    )

    transfer: str
    source: str
    target: str
    amount: int


class TransferDone(EventData, frozen=True, kw_only=True):
    """An account did its step."""

    event_type: ClassVar[str] = "transfer.done"
    key_field: ClassVar[str] = "transfer"
    schemas: ClassVar[tuple[str, ...]] = (
        '{"type":"record","namespace":"transfer","name":"done","key":"transfer","fields":[{"name":"transfer","type":"string"},{"name":"step","type":{"type":"enum","name":"step","symbols":["debit","credit"]}}]}',
    )

    transfer: str
    step: Literal["debit", "credit"]


class TransferFailed(EventData, frozen=True, kw_only=True):
    """An account refused its step."""

    event_type: ClassVar[str] = "transfer.failed"
    key_field: ClassVar[str] = "transfer"
    schemas: ClassVar[tuple[str, ...]] = (
        '{"type":"record","namespace":"transfer","name":"failed","key":"transfer","fields":[{"name":"transfer","type":"string"},{"name":"step","type":{"type":"enum","name":"step","symbols":["debit","credit"]}},{"name":"why","type":"string"}]}',
    )

    transfer: str
    step: Literal["debit", "credit"]
    why: str


class TransferRow(Record, frozen=True, kw_only=True):
    """A transfer and how far it came. Stranded: taken from its source, wanted by nobody; a person decides."""

    schemas: ClassVar[tuple[str, ...]] = (
        '{"type":"record","namespace":"transfer","name":"row","fields":[{"name":"source","type":"string"},{"name":"target","type":"string"},{"name":"amount","type":"long"},{"name":"status","type":{"type":"enum","name":"status","symbols":["debiting","crediting","returning","done","failed","returned","stranded"]}}]}',
    )

    source: str
    target: str
    amount: int
    status: Literal["debiting", "crediting", "returning", "done", "failed", "returned", "stranded"]
