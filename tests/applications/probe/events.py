"""Written by `retold schemas generate`. Do not edit."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar

from streams.data import EventData, Record

__all__ = [
    "EchoHear",
    "EchoRow",
    "ProbeDo",
    "ProbeRow",
]


class EchoRow(Record, frozen=True, kw_only=True):
    """How often a key was heard."""

    schemas: ClassVar[tuple[str, ...]] = (
        '{"fields":[{"name":"heard","type":"long"}],"name":"echo.row","type":"record"}',
    )

    heard: int


class EchoHear(EventData, frozen=True, kw_only=True):
    """Hear a key."""

    event_type: ClassVar[str] = "echo.hear"
    key_field: ClassVar[str] = "name"
    schemas: ClassVar[tuple[str, ...]] = (
        '{"fields":[{"name":"name","type":"string"}],"key":"name","name":"echo.hear","type":"record"}',
    )

    name: str


class ProbeRow(Record, frozen=True, kw_only=True):
    """What became of a key."""

    schemas: ClassVar[tuple[str, ...]] = (
        '{"fields":[{"name":"count","type":"long"},{"default":{},"name":"texts","type":{"type":"map","values":"string"}}],"name":"probe.row","type":"record"}',
    )

    count: int
    texts: Mapping[str, str] = MappingProxyType({})


class ProbeDo(EventData, frozen=True, kw_only=True):
    """Do what `how` says: count, or one of the ways in which a handler goes wrong."""

    event_type: ClassVar[str] = "probe.do"
    key_field: ClassVar[str] = "name"
    schemas: ClassVar[tuple[str, ...]] = (
        '{"fields":[{"name":"name","type":"string"},{"default":"count","name":"how","type":"string"},{"default":"","name":"text","type":"string"}],"key":"name","name":"probe.do","type":"record"}',
    )

    name: str
    how: str = "count"
    text: str = ""
