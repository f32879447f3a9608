"""What goes into the engine and what comes out of it: one batch in, one `Changes` a partition out.

The engine meets bytes, never a broker: a faster source or another codec replaces ours without touching it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from streams.data import EventData, Record
from streams.event import Event

Headers = list[tuple[str, bytes]]
UNREADABLE: Headers = []
"""This very list stands for headers of which a name is not UTF-8: no client of ours can say what they are."""
InboxRecord = tuple[int, bytes | None, bytes | None, Headers | None, int]
"""offset, key, value, headers, time stamp of the record in ms. A plain tuple: a batch has thousands of them."""

Entry = tuple[Record | None, int]
"""A row and its version: the sequence of its last accepted event. None is a deleted row's stub."""

WRONG_VERSION = "wrong version:"
"""How the reason of a rejection begins if the row was not at the expected version."""
ACCEPTED, REJECTED, PARKED, QUARANTINED = "accepted", "rejected", "parked", "quarantined"
REASON_LIMIT = 1_000
"""Characters of a reason that are kept."""
UNANSWERED = "unanswered"
"""Parked for another reason: its gateway gave no answer, often enough. The event itself was accepted."""


class Codec(Protocol):
    """Between bytes and data; the formats layer has the Avro one, `streams.testing` one in memory."""

    def decode(self, value: bytes) -> EventData:
        """Frozen all the way down. Raises SchemaNotFound (the id is unknown), UndecodableRecord or InvalidEvent."""

    def encode(self, data: EventData) -> bytes:
        """Canonical bytes. Raises InvalidEvent naming the field, the value and what was expected."""

    def fingerprint(self, value: bytes) -> str:
        """The full fingerprint of the schema that wrote `value`, carried by the log."""

    def settle(self, row: Record) -> tuple[Record, bytes]:
        """`freeze(row)` and its canonical bytes, equal for equal rows. Raises InvalidEvent naming the field."""

    def decode_row(self, row_type: type[Record], value: bytes) -> Record: ...

    def freeze(self, row: Record) -> Record:
        """The row as it reads back once it is written; itself if it is so. Raises InvalidEvent as `settle` does."""


class LogRecord(NamedTuple):
    key: bytes
    """`<entity key>@<sequence>`: unique, so that compaction can never rewrite history."""
    value: bytes
    headers: Headers


class Emitted(NamedTuple):
    """A record for an inbox: an emission, or one moved to its right partition. The partitioner places it by its key."""

    namespace: str
    key: bytes
    value: bytes
    headers: Headers


class SetAside(NamedTuple):
    """A record for the parked topic, keyed by its inbox offset. With an empty value it is kept by reference.

    A person's answer is parked under its request's offset: it stands where that stood. Its header says where it lies.
    """

    offset: int
    value: bytes
    headers: Headers
    entity: str | None
    """The entity key that it blocks; None for a quarantined record, which blocks nobody."""


class Call(NamedTuple):
    """An accepted event for its gateway, kept in the due topic until its answer is handled (rule 23).

    `value` and `headers` (those to carry) are its record's; `offset` is its place in its key's order, that record's but for a
    late answer; `recorded` in µs.
    """

    event: Event[Any]
    recorded: int
    offset: int
    value: bytes
    headers: Headers
    hops: int


class Due(NamedTuple):
    """A scheduled emission whose time has not come, kept in the due topic; `at` in µs since 1970."""

    at: int
    emitted: Emitted
    event_id: str


class Blocked(NamedTuple):
    """A record that cannot be handled until its schema or handler is deployed; its partition waits at `offset`."""

    offset: int
    reason: str


class Duplicate(NamedTuple):
    """A counted duplicate: its inbox offset and the first answer that the id got."""

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


@dataclass
class Changes:
    """What handling one partition's part of a batch gave. Nothing is true until it is committed and applied.

    `rows` and `row_bytes` are the overlay over the table: the entry and its bytes (empty for a deleted row).
    """

    partition: int
    inbox_next: int
    sequence: int
    recorded: int
    rows: dict[str, Entry] = field(default_factory=dict)
    row_bytes: dict[str, bytes] = field(default_factory=dict)
    log: list[LogRecord] = field(default_factory=list)
    emitted: list[Emitted] = field(default_factory=list)
    set_aside: list[SetAside] = field(default_factory=list)
    due: list[Due] = field(default_factory=list)
    calls: dict[str, Call] = field(default_factory=dict)
    """By the request's reference."""
    accepted: list[Event[Any]] = field(default_factory=list)
    duplicates: list[Duplicate] = field(default_factory=list)
    remembered: dict[bytes, tuple[int, int, str]] = field(default_factory=dict)
    queues: dict[str, list[SetAside]] = field(default_factory=dict)
    """By entity key, what its parked queue is from now on (empty: the key is free)."""
    parked_ids: dict[bytes, int | None] = field(default_factory=dict)
    """Hash of the body by digest; None: it is parked no more."""
    unparked: list[int] = field(default_factory=list)
    """Inbox offsets whose records leave the parked topic."""
    settled: dict[str, None] = field(default_factory=dict)
    """Keys of timers and calls that leave the due topic, in order: a timer's event id, a request's reference."""
    counters: Counters = field(default_factory=Counters)
    blocked: Blocked | None = None
    handled: int = 0
    """Records taken from the inbox, or timers and calls dealt with."""
    answered: int = 0
    """What came of calls, as far as it was dealt with."""
    raised: list[tuple[str, str]] = field(default_factory=list)
    """Key and traceback of each handler that raised, for the breaker and the person on call."""


Batch = Sequence[InboxRecord]
