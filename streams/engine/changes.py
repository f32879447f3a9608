"""What comes out of the engine: one `Changes` for a partition's part of a batch, in which each event has its result."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import msgspec

from streams.engine.envelope import ParkedHeader
from streams.engine.records import ACCEPTED, Counters, EmittedRecord, Entry, Headers
from streams.event import Event
from streams.outcome import Emission


class HandledRecord(msgspec.Struct):
    """What became of one event: flat, since a batch has thousands of them; headers are made of it where they leave.

    `offset` is its place in the inbox, `outcome` accepted, rejected, parked, unanswered or quarantined. A duplicate has
    outcome and sequence of the first event of its id. `event` is None for what cannot be read.
    """

    offset: int
    outcome: str
    event: Event[Any] | None = None
    sequence: int = 0
    """Its place in the log; 0: none."""
    recorded: int = 0
    reason: str | None = None
    wrong_version: bool = False
    """It was rejected because its row was not at the version that its publisher expected."""
    duplicate: bool = False
    emissions: Sequence[Emission] = ()
    """What follows at once, then what is scheduled."""
    key: bytes = b""
    value: bytes = b""
    carried: Headers = []
    fingerprint: str = ""
    own_id: str | None = None
    """The event's id, where its record has none; `own_time` (µs) likewise."""
    own_time: int | None = None

    @property
    def logged(self) -> bool:
        return self.sequence > 0 and not self.duplicate


class SetAsideRecord(NamedTuple):
    """A record for the parked topic, keyed by `offset`. With an empty value it is kept by reference.

    An operator's answer is parked under its request's offset: it stands where that stood. Its header says where it lies, and
    which key it blocks.
    """

    offset: int
    key: bytes | None
    value: bytes
    carried: Headers
    header: ParkedHeader

    @property
    def entity(self) -> str | None:
        """The entity key that it blocks; None for a quarantined record, which blocks nobody."""
        return self.header.key


class PendingCall(NamedTuple):
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


class PendingTimer(NamedTuple):
    """A scheduled emission whose time has not come, kept in the due topic; `at` in µs since 1970."""

    at: int
    emitted: EmittedRecord
    event_id: str


class BlockingRecord(NamedTuple):
    """A record that cannot be handled until its schema or handler is deployed; its partition waits at `offset`."""

    offset: int
    reason: str


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
    results: list[HandledRecord] = field(default_factory=list)
    """Of each event that was dealt with, in order; what is in the log is among them."""
    emitted: list[EmittedRecord] = field(default_factory=list)
    set_aside: list[SetAsideRecord] = field(default_factory=list)
    due: list[PendingTimer] = field(default_factory=list)
    calls: dict[str, PendingCall] = field(default_factory=dict)
    """By the request's reference."""
    remembered: dict[bytes, tuple[int, int, str]] = field(default_factory=dict)
    queues: dict[str, list[SetAsideRecord]] = field(default_factory=dict)
    """By entity key, what its parked queue is from now on (empty: the key is free)."""
    parked_ids: dict[bytes, int | None] = field(default_factory=dict)
    """Hash of the body by digest; None: it is parked no more."""
    unparked: list[int] = field(default_factory=list)
    """Inbox offsets whose records leave the parked topic."""
    settled: dict[str, None] = field(default_factory=dict)
    """Keys of timers and calls that leave the due topic, in order: a timer's event id, a request's reference."""
    counters: Counters = field(default_factory=Counters)
    blocked: BlockingRecord | None = None
    handled: int = 0
    """Records taken from the inbox, or timers and calls dealt with."""
    taken: int = 0
    """Records taken from the inbox."""
    answered: int = 0
    """What came of calls, as far as it was dealt with."""
    raised: list[tuple[str, str]] = field(default_factory=list)
    """Key and traceback of each handler that raised, for the breaker and the person on call."""

    @property
    def log(self) -> list[HandledRecord]:
        """What is appended to the event log."""
        return [it for it in self.results if it.logged]

    @property
    def accepted(self) -> list[Event[Any]]:
        return [it.event for it in self.log if it.outcome == ACCEPTED and it.event is not None]

    @property
    def duplicates(self) -> list[HandledRecord]:
        return [it for it in self.results if it.duplicate]
