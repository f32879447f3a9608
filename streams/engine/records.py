"""What goes into the engine: records and the codec that reads them; and records as they leave.

The engine meets bytes, never a broker: a faster source or another codec replaces ours without touching it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, TypeVar

import msgspec

from streams.data import EventData, Record

Headers = list[tuple[str, bytes]]
UNREADABLE: Headers = []
"""This very list stands for headers of which a name is not UTF-8: no client of ours can say what they are."""
InboxRecord = tuple[int, bytes | None, bytes | None, Headers | None, int]
"""offset, key, value, headers, time stamp of the record in ms. A plain tuple: a batch has thousands of them."""

Entry = tuple[Record | None, int]
"""A row and its version: the sequence of its last accepted event. None is a deleted row's stub."""

ACCEPTED, REJECTED, PARKED, QUARANTINED = "accepted", "rejected", "parked", "quarantined"
REASON_LIMIT = 1_000
"""Characters of a reason that are kept."""
UNANSWERED = "unanswered"
"""Parked for another reason: its gateway gave no answer, often enough. The event itself was accepted."""


R = TypeVar("R", bound=Record)


class Codec(Protocol):
    """Between bytes and data; the formats layer has the Avro one."""

    def decode(self, value: bytes) -> EventData:
        """Frozen all the way down. Raises UnsupportedSchema (the id is unknown), UndecodableRecord or InvalidEvent."""

    def encode(self, data: EventData) -> bytes:
        """Canonical bytes. Raises InvalidEvent naming the field, the value and what was expected."""

    def encode_frozen_event(self, data: EventData) -> tuple[EventData, bytes]:
        """The data as it reads back, and its bytes. Raises as `encode` does."""

    def fingerprint(self, value: bytes) -> str:
        """The full fingerprint of the schema that wrote `value`, carried by the log."""

    def encode_frozen(self, row: R) -> tuple[R, bytes]:
        """`freeze(row)` and its canonical bytes, equal for equal rows. Raises InvalidEvent naming the field."""

    def decode_row(self, row_type: type[Record], value: bytes) -> Record: ...

    def freeze(self, row: Record) -> Record:
        """The row as it reads back once it is written; itself if it is so. Raises InvalidEvent as `encode_frozen` does."""


class LogRecord(NamedTuple):
    key: bytes
    """`<entity key>@<sequence>`: unique, so that compaction can never rewrite history."""
    value: bytes
    headers: Headers


class EmittedRecord(NamedTuple):
    """A record for an inbox: an emission, or one moved to its right partition. The partitioner places it by its key."""

    namespace: str
    key: bytes
    value: bytes
    headers: Headers


class DuplicateRecord(msgspec.Struct, frozen=True, array_like=True):
    """A counted duplicate: its inbox offset and the first answer that the id got. Kept in a marker."""

    offset: int
    sequence: int
    outcome: str


@dataclass
class Counters:
    """Running totals of one partition, kept in its marker."""

    accepted: int = 0
    rejected: int = 0
    parked: int = 0
    quarantined: int = 0
    duplicates: int = 0
    moved: int = 0
    control: int = 0
    emitted: int = 0
    derived_rejected: int = 0

    def plus(self, other: Counters) -> Counters:
        return Counters(**{name: value + getattr(other, name) for name, value in vars(self).items()})


Batch = Sequence[InboxRecord]
