"""Written by `retold schemas generate`. Do not edit."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar, Literal

from streams.data import EventData, Record

__all__ = [
    "ClerkRow",
    "ClerkWork",
    "PerStepRow",
    "PermitLapse",
    "PermitReceive",
    "PermitRow",
    "PermitStep",
]


class ClerkRow(Record, frozen=True, kw_only=True):
    """What a clerk has to do, and has done."""

    schemas: ClassVar[tuple[str, ...]] = (
        '{"fields":[{"name":"open","type":"long"},{"name":"steps","type":"long"},{"name":"late","type":"long"},{"name":"last","type":"string"}],"name":"clerk.row","type":"record"}',
    )

    open: int
    steps: int
    late: int
    last: str


class ClerkWork(EventData, frozen=True, kw_only=True):
    """A clerk has received a permit, has taken a step, or a permit of theirs was closed or became late."""

    event_type: ClassVar[str] = "clerk.work"
    key_field: ClassVar[str] = "clerk"
    schemas: ClassVar[tuple[str, ...]] = (
        '{"fields":[{"name":"clerk","type":"string"},{"name":"permit","type":"string"},{"name":"what","type":{"name":"clerk.what","symbols":["receive","step","close","late"],"type":"enum"}}],"key":"clerk","name":"clerk.work","type":"record"}',
    )

    clerk: str
    permit: str
    what: Literal["receive", "step", "close", "late"]


class PerStepRow(Record, frozen=True, kw_only=True):
    """How often a step was taken, and for which permit last."""

    schemas: ClassVar[tuple[str, ...]] = (
        '{"fields":[{"name":"count","type":"long"},{"name":"last","type":"string"}],"name":"per_step.row","type":"record"}',
    )

    count: int
    last: str


class PermitRow(Record, frozen=True, kw_only=True):
    """An application for a permit, while its receipt is confirmed."""

    schemas: ClassVar[tuple[str, ...]] = (
        '{"fields":[{"name":"clerk","type":"string"},{"name":"channel","type":"string"},{"name":"received","type":{"logicalType":"timestamp-millis","type":"long"}},{"name":"status","type":{"name":"permit.status","symbols":["received","determined","sent"],"type":"enum"}},{"name":"done","type":{"items":"string","type":"array"}},{"name":"closed","type":"boolean"},{"name":"late","type":"boolean"}],"name":"permit.row","type":"record"}',
    )

    clerk: str
    channel: str
    received: datetime
    status: Literal["received", "determined", "sent"]
    done: tuple[str, ...]
    closed: bool
    late: bool


class PermitLapse(EventData, frozen=True, kw_only=True):
    """The time in which it should have been closed is over."""

    event_type: ClassVar[str] = "permit.lapse"
    key_field: ClassVar[str] = "permit"
    schemas: ClassVar[tuple[str, ...]] = (
        '{"fields":[{"name":"permit","type":"string"}],"key":"permit","name":"permit.lapse","type":"record"}',
    )

    permit: str


class PermitReceive(EventData, frozen=True, kw_only=True):
    """Somebody applied for a permit."""

    event_type: ClassVar[str] = "permit.receive"
    key_field: ClassVar[str] = "permit"
    schemas: ClassVar[tuple[str, ...]] = (
        '{"fields":[{"name":"permit","type":"string"},{"name":"channel","type":"string"},{"name":"by","type":"string"}],"key":"permit","name":"permit.receive","type":"record"}',
    )

    permit: str
    channel: str
    by: str


class PermitStep(EventData, frozen=True, kw_only=True):
    """A clerk takes a step, such as T02: check the confirmation."""

    event_type: ClassVar[str] = "permit.step"
    key_field: ClassVar[str] = "permit"
    schemas: ClassVar[tuple[str, ...]] = (
        '{"fields":[{"name":"permit","type":"string"},{"name":"step","type":"string"},{"name":"by","type":"string"}],"key":"permit","name":"permit.step","type":"record"}',
    )

    permit: str
    step: str
    by: str
