"""Written by `retold schemas generate`. Do not edit."""

from __future__ import annotations

from typing import ClassVar

from streams.data import EventData, Record

__all__ = [
    "AskAnswered",
    "AskPut",
    "AskRow",
]


class AskRow(Record, frozen=True, kw_only=True):
    """What was asked last."""

    schemas: ClassVar[tuple[str, ...]] = (
        '{"fields":[{"name":"answer","type":"long"}],"name":"ask.row","type":"record"}',
    )

    answer: int


class AskAnswered(EventData, frozen=True, kw_only=True):
    """What the gateway answered."""

    event_type: ClassVar[str] = "ask.answered"
    key_field: ClassVar[str] = "name"
    schemas: ClassVar[tuple[str, ...]] = (
        '{"fields":[{"name":"name","type":"string"},{"name":"number","type":"long"}],"key":"name","name":"ask.answered","type":"record"}',
    )

    name: str
    number: int


class AskPut(EventData, frozen=True, kw_only=True):
    """Ask the gateway."""

    event_type: ClassVar[str] = "ask.put"
    key_field: ClassVar[str] = "name"
    schemas: ClassVar[tuple[str, ...]] = (
        '{"fields":[{"name":"name","type":"string"},{"name":"number","type":"long"}],"key":"name","name":"ask.put","type":"record"}',
    )

    name: str
    number: int
