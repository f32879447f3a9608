"""Written by `retold schemas generate`. Do not edit."""

from __future__ import annotations

from typing import ClassVar

from streams.data import EventData, Record

__all__ = [
    "AlarmRing",
    "AlarmRow",
    "AlarmTouch",
    "BellRing",
    "BellRow",
]


class AlarmRow(Record, frozen=True, kw_only=True):
    """What became of a key, in the order in which it became it."""

    schemas: ClassVar[tuple[str, ...]] = (
        '{"fields":[{"default":0,"name":"total","type":"long"},{"default":0,"name":"touched","type":"long"},{"default":0,"name":"rung","type":"long"},{"default":"","name":"trace","type":"string"}],"name":"alarm.row","type":"record"}',
    )

    total: int = 0
    touched: int = 0
    rung: int = 0
    trace: str = ""


class AlarmRing(EventData, frozen=True, kw_only=True):
    """The time has come: ring, and ring again an hour later so many times."""

    event_type: ClassVar[str] = "alarm.ring"
    key_field: ClassVar[str] = "name"
    schemas: ClassVar[tuple[str, ...]] = (
        '{"fields":[{"name":"name","type":"string"},{"default":0,"name":"number","type":"long"},{"default":0,"name":"again","type":"long"}],"key":"name","name":"alarm.ring","type":"record"}',
    )

    name: str
    number: int = 0
    again: int = 0


class AlarmTouch(EventData, frozen=True, kw_only=True):
    """Touch a key, and ring it or another one so many hours later."""

    event_type: ClassVar[str] = "alarm.touch"
    key_field: ClassVar[str] = "name"
    schemas: ClassVar[tuple[str, ...]] = (
        '{"fields":[{"name":"name","type":"string"},{"default":0,"name":"number","type":"long"},{"default":0,"name":"after","type":"long"},{"default":"","name":"other","type":"string"}],"key":"name","name":"alarm.touch","type":"record"}',
    )

    name: str
    number: int = 0
    after: int = 0
    other: str = ""


class BellRow(Record, frozen=True, kw_only=True):
    """How much was rung."""

    schemas: ClassVar[tuple[str, ...]] = (
        '{"fields":[{"default":0,"name":"rung","type":"long"}],"name":"bell.row","type":"record"}',
    )

    rung: int = 0


class BellRing(EventData, frozen=True, kw_only=True):
    """A bell rings; the order does not matter."""

    event_type: ClassVar[str] = "bell.ring"
    key_field: ClassVar[str] = "name"
    schemas: ClassVar[tuple[str, ...]] = (
        '{"fields":[{"name":"name","type":"string"},{"default":0,"name":"number","type":"long"}],"key":"name","name":"bell.ring","type":"record"}',
    )

    name: str
    number: int = 0
