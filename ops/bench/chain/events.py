"""Written by `retold schemas generate`. Do not edit."""

from __future__ import annotations

from typing import ClassVar, Literal

from streams.data import EventData, Record

__all__ = [
    "BenchRow",
    "BenchSignup",
    "LeafPut",
    "LeafRow",
]


class BenchRow(Record, frozen=True, kw_only=True):
    """A user's last address and plan, and how often he signed up."""

    schemas: ClassVar[tuple[str, ...]] = (
        '{"fields":[{"name":"email","type":"string"},{"name":"plan","type":{"name":"bench.plan","symbols":["free","pro"],"type":"enum"}},{"name":"n","type":"long"}],"name":"bench.row","type":"record"}',
    )

    email: str
    plan: Literal["free", "pro"]
    n: int


class BenchSignup(EventData, frozen=True, kw_only=True):
    """Somebody signs up, or signs up again: the benchmark counts how often."""

    event_type: ClassVar[str] = "bench.signup"
    key_field: ClassVar[str] = "user"
    schemas: ClassVar[tuple[str, ...]] = (
        '{"fields":[{"name":"user","type":"string"},{"name":"email","type":"string"},{"name":"name","type":"string"},{"name":"plan","type":{"name":"bench.plan","symbols":["free","pro"],"type":"enum"}},{"name":"at","type":"long"},{"name":"credits","type":"long"}],"key":"user","name":"bench.signup","type":"record"}',
    )

    user: str
    email: str
    name: str
    plan: Literal["free", "pro"]
    at: int
    credits: int


class LeafRow(Record, frozen=True, kw_only=True):
    """What was put last, and how often."""

    schemas: ClassVar[tuple[str, ...]] = (
        '{"fields":[{"name":"email","type":"string"},{"name":"n","type":"long"}],"name":"leaf.row","type":"record"}',
    )

    email: str
    n: int


class LeafPut(EventData, frozen=True, kw_only=True):
    """Follows from a sign-up: the benchmark's chain."""

    event_type: ClassVar[str] = "leaf.put"
    key_field: ClassVar[str] = "leaf"
    schemas: ClassVar[tuple[str, ...]] = (
        '{"fields":[{"name":"leaf","type":"string"},{"name":"email","type":"string"},{"name":"credits","type":"long"}],"key":"leaf","name":"leaf.put","type":"record"}',
    )

    leaf: str
    email: str
    credits: int
