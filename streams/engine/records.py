"""The engine's input, records and the codec that decodes them, and its output records.

The engine sees bytes, never a broker: another source or another codec can replace ours without a change here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import NamedTuple, Protocol, TypeVar

import msgspec

from streams.data import EventData, Record
from streams.errors import SchemaNotFound, UnsupportedSchema

Header = tuple[str, bytes]
Headers = list[Header]
"""As Kafka gives them. A publisher may write null for a value: whoever takes a value that nobody has read before takes `or b""`."""
PLAIN_KEY = 128
"""Characters of a key below which it is not too long: in UTF-8 each takes at most four bytes, and 512 are allowed."""
UNREADABLE: Headers = []
"""This very list object stands for headers with a name that is not UTF-8: our client cannot return them."""
InboxRecord = tuple[int, bytes | None, bytes | None, Headers | None, int]
"""Offset, key, value, headers, timestamp in ms. A plain tuple, since a batch has thousands of them."""

Entry = tuple[Record | None, int]
"""A row and its version, the sequence of its last accepted event. The row is None if it was deleted."""

ACCEPTED, REJECTED, PARKED, QUARANTINED = "accepted", "rejected", "parked", "quarantined"
CORRECTED = "corrected"
"""The outcome of a correction's step, which is in the log and is no event."""
REASON_LIMIT = 1_000
"""Characters of a reason that are kept."""
UNANSWERED = "unanswered"
"""Parked because its gateway gave no answer after all tries. The event itself was accepted."""
SCHEMA, HANDLER, SLOW, OUTDATED = "schema", "handler", "slow", "outdated"
"""Why a partition is blocked: nobody knows its next record's schema; the application has no handler for it, or not for its
version; a handler has not returned; its worker lacks what the application here has. The last is said of a worker, never by it.
"""

def blocking_cause(error: UnsupportedSchema) -> str:
    """SCHEMA or HANDLER."""
    return SCHEMA if isinstance(error, SchemaNotFound) else HANDLER


NO_OFFSET = -1
"""The inbox offset of an event that was never in the inbox: a timer's."""
LAST = 2**31
BY_OPERATOR, BY_RETOLD = "operator", "retold"
"""Who rejected an event without its handler."""


R = TypeVar("R", bound=Record)


class QueuePosition(NamedTuple):
    """A position in a partition's parked queues: that of an inbox offset, or of a timer that was handled before that offset.

    `timer` counts such timers from 1; 0: the record at the offset itself, which comes after them. The text is the record's
    key in the parked topic: `1042`, `1042-1`.
    """

    offset: int
    timer: int = 0

    @property
    def order(self) -> tuple[int, int]:
        return self.offset, self.timer or LAST

    def __str__(self) -> str:
        return f"{self.offset}-{self.timer}" if self.timer else str(self.offset)


class EventDecoding(NamedTuple):
    """How the events of one schema are read: `read(value, 5)` gives the data, as `Codec.decode`, but does not look at its key.

    It raises anything for what it cannot read; `decode` says then what is wrong.
    """

    data: type[EventData]
    fingerprint: str
    read: Callable[[bytes, int], EventData]


class Codec(Protocol):
    """Encodes and decodes events and rows; the formats layer has the Avro one."""

    def decode(self, value: bytes) -> EventData:
        """The data, deeply frozen. Raises UnsupportedSchema, UndecodableRecord or InvalidEvent."""

    def check_arrived(self, data: EventData) -> None:
        """Raises InvalidEvent for data that may be kept since long, but that none may bring in any more: infinite numbers."""

    def encode(self, data: EventData) -> bytes:
        """Canonical bytes of published data. Raises InvalidEvent naming the field, the value and what was expected."""

    def encode_frozen_event(self, data: EventData) -> tuple[EventData, bytes]:
        """What a handler or a gateway emits, as a reader decodes it, and its bytes. Raises as `encode` does.

        A time that is finer than its field is cut off; `encode` refuses it.
        """

    def fingerprint(self, value: bytes) -> str:
        """The full fingerprint of the schema that wrote `value`, carried by the log."""

    def encode_frozen(self, row: R) -> tuple[R, bytes]:
        """`freeze(row)` and its canonical bytes, equal for equal rows. Raises InvalidEvent naming the field."""

    def event_reader(self, prefix: bytes) -> EventDecoding | None:
        """How to read events whose values begin with these bytes; None: they are of no event that can be decoded here, yet."""

    def settler(self, cls: type[R]) -> Callable[[R], tuple[R, bytes]]:
        """`encode_frozen` for values of this one class."""

    def decode_row(self, row_type: type[Record], value: bytes) -> Record: ...

    def check_row(self, row_type: type[Record], value: bytes) -> None:
        """Raises as `decode_row` for a schema that is unknown, or of something else. The rest of the bytes is not looked at."""

    def freeze(self, row: R) -> R:
        """The row as a reader decodes it; the same object if there is no difference. Raises as `encode_frozen` does."""


class LogRecord(NamedTuple):
    key: bytes
    """`<entity key>@<sequence>`: unique, so that compaction never removes a log record."""
    value: bytes
    headers: Headers


class EmittedRecord(NamedTuple):
    """A record for an inbox: an emission, or a rerouted record. The partitioner chooses its partition by its key."""

    namespace: str
    key: bytes
    value: bytes
    headers: Headers


class DuplicateRecord(msgspec.Struct, frozen=True, array_like=True):
    """A duplicate: its inbox offset, and sequence and outcome of the first event of its id. Kept in a marker."""

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
    fired: int = 0
    """Log records of timers that were handled in place: they came from no inbox."""
    corrected: int = 0
    """Log records of steps of corrections; a step whose row has moved counts as `control`."""

    def plus(self, other: Counters) -> Counters:
        # By the fields, for one that was read from an earlier version's marker has no attribute of its own for a later field.
        return Counters(**{it.name: getattr(self, it.name) + getattr(other, it.name) for it in fields(self)})


Batch = Sequence[InboxRecord]
