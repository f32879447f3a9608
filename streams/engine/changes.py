"""The engine's output: one `Changes` for a partition's part of a batch, with a result for each event."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import msgspec

from streams.engine.envelope import ParkedHeader
from streams.engine.records import ACCEPTED, PARKED, UNANSWERED, Counters, EmittedRecord, Entry, Headers, QueuePosition
from streams.event import Event
from streams.outcome import Emission

RECORD, HEADER = 600, 80
"""Bytes in memory, about, of what surrounds a record, and a header's text."""


def memory_of(value: bytes, headers: Headers, *, decoded: bool = False) -> int:
    """Bytes that a record takes in memory, about. If its event is `decoded`, that takes as many again as its value."""
    return RECORD + len(value) * (1 + decoded) + HEADER * len(headers) + sum([len(text or b"") for _, text in headers])


class HandledRecord(msgspec.Struct):
    """The result of one event. It is flat, since a batch has thousands; its headers are made when it is produced.

    `offset` is its inbox offset, -1 for a timer's event, which has none. `outcome` is accepted, rejected, parked, unanswered or
    quarantined. A duplicate has the outcome and the sequence of the first event of its id. `event` is None for a record that
    cannot be read.
    """

    offset: int
    outcome: str
    event: Event[Any] | None = None
    sequence: int = 0
    """Its log sequence; 0: it is not in the log."""
    recorded: int = 0
    reason: str | None = None
    wrong_version: bool = False
    """It was rejected because its row was not at the version that its publisher expected."""
    duplicate: bool = False
    emissions: Sequence[Emission] = ()
    """Immediate emissions first, then scheduled ones."""
    key: bytes = b""
    value: bytes = b""
    carried: Headers = []
    fingerprint: str = ""
    own_id: str | None = None
    """The event's id if its record has none; `own_time` (µs) likewise."""
    own_time: int | None = None
    timer: bool = False
    """It was a timer's event, handled in place."""
    by: str | None = None
    """Who rejected it without its handler."""

    @property
    def logged(self) -> bool:
        return self.sequence > 0 and not self.duplicate


class SetAsideRecord(NamedTuple):
    """A record for the parked topic, keyed by its position. With an empty value it is kept by reference.

    An operator's answer is parked under its request's offset, so it takes the request's position in the queue. Its header has
    its own inbox offset and the key that it blocks.
    """

    offset: int
    key: bytes | None
    value: bytes
    carried: Headers
    header: ParkedHeader
    timer: int = 0

    @property
    def position(self) -> QueuePosition:
        return QueuePosition(self.offset, self.timer)

    @property
    def entity(self) -> str | None:
        """The entity key that it blocks; None for a quarantined record, which blocks nobody."""
        return self.header.key

    @property
    def status(self) -> str:
        return self.header.status


class ParkedReference(msgspec.Struct, frozen=True, gc=False):
    """A parked event that is in its key's queue, and whose body is in the parked topic alone.

    It is the last record of its position among the topic's offsets from `first` up to `end`. `entity` is the key that it blocks.
    `request` is the reference of a gateway's request that is unanswered; empty for an event that was not handled.
    """

    offset: int
    entity: str
    first: int
    end: int
    timer: int = 0
    request: str = ""

    @property
    def position(self) -> QueuePosition:
        return QueuePosition(self.offset, self.timer)

    @property
    def status(self) -> str:
        return UNANSWERED if self.request else PARKED


QueuedRecord = SetAsideRecord | ParkedReference
"""What a key's parked queue has, in order."""


class PendingCall(NamedTuple):
    """An accepted event for its gateway, kept in the due topic until its answer is handled (rule 23).

    `value` and `headers` (those to carry) are its record's. `offset` and `timer` are its position among its key's events: the
    record's offset, except after a late answer or for a timer. `recorded` in µs.
    """

    event: Event[Any]
    recorded: int
    offset: int
    value: bytes
    headers: Headers
    hops: int
    timer: int = 0

    @property
    def position(self) -> QueuePosition:
        return QueuePosition(self.offset, self.timer)

    @property
    def reference(self) -> str:
        """The request's."""
        return self.event.reference

    @property
    def key(self) -> str:
        return self.event.key

    @property
    def memory(self) -> int:
        """Bytes that it takes, about."""
        return memory_of(self.value, self.headers, decoded=True)


class CallReference(msgspec.Struct, frozen=True, gc=False):
    """A pending call whose body is in the due topic alone.

    It is the last record of its `reference` among the topic's offsets from `first` up to `end`. `offset` and `timer` are those
    of a PendingCall.
    """

    reference: str
    key: str
    offset: int
    first: int
    end: int
    timer: int = 0

    @property
    def position(self) -> QueuePosition:
        return QueuePosition(self.offset, self.timer)


KeptCall = PendingCall | CallReference
"""What an image has of a call."""


class PendingTimer(NamedTuple):
    """A scheduled emission whose time has not come, kept in the due topic; `at` in µs since 1970.

    `owner` is the key whose event scheduled it: that key's clock fires it. An `own` one is an event of this very key, which is
    handled in place; any other is emitted. `overdue`: its time was past when it was scheduled, as in an import.
    """

    at: int
    emitted: EmittedRecord
    event_id: str
    owner: str
    own: bool = False
    overdue: bool = False

    @property
    def size(self) -> int:
        """Bytes of the event."""
        return len(self.emitted.value)

    @property
    def memory(self) -> int:
        """Bytes that it takes, about."""
        return memory_of(self.emitted.value, self.emitted.headers)


class TimerReference(msgspec.Struct, frozen=True, gc=False):
    """A timer whose event is in the due topic alone: the last record of its `event_id` among the offsets from `first` up to `end`.

    The others are as in a PendingTimer.
    """

    at: int
    event_id: str
    owner: str
    own: bool
    overdue: bool
    size: int
    first: int
    end: int


KeptTimer = PendingTimer | TimerReference
"""What an image has of a timer."""
Pending = PendingCall | PendingTimer
DueReference = CallReference | TimerReference


class ImportClock(msgspec.Struct, frozen=True):
    """The clock that an import brings: no event before `at` will come from it (µs since 1970, like `since`).

    Until it is over, timers that were overdue when they were scheduled fire for `at`, and not for the wall clock.
    """

    at: int
    who: str = ""
    since: int = 0


class BlockingRecord(NamedTuple):
    """A record that blocks its partition at `offset`. `cause` is SCHEMA or HANDLER: what is not deployed."""

    offset: int
    reason: str
    cause: str


@dataclass
class Changes:
    """The result of handling one partition's part of a batch. Nothing of it is visible until it is committed and applied.

    `rows` and `row_bytes` are the overlay over the table: the entry and its bytes (empty for a deleted row).
    """

    partition: int
    inbox_next: int
    sequence: int
    recorded: int
    rows: dict[str, Entry] = field(default_factory=dict)
    row_bytes: dict[str, bytes] = field(default_factory=dict)
    results: list[HandledRecord] = field(default_factory=list)
    """One for each event that was handled, in order; `log` filters those that are in the event log."""
    emitted: list[EmittedRecord] = field(default_factory=list)
    set_aside: list[SetAsideRecord] = field(default_factory=list)
    due: list[PendingTimer] = field(default_factory=list)
    calls: dict[str, PendingCall] = field(default_factory=dict)
    """By the request's reference."""
    remembered: dict[bytes, tuple[int, int, str]] = field(default_factory=dict)
    queues: dict[str, list[QueuedRecord]] = field(default_factory=dict)
    """The new parked queue of each entity key that changed; empty: the key is free."""
    parked_ids: dict[bytes, int | None] = field(default_factory=dict)
    """Hash of the body by digest; None: the event is no longer parked."""
    unparked: list[QueuePosition] = field(default_factory=list)
    """Positions whose records leave the parked topic."""
    settled: dict[str, None] = field(default_factory=dict)
    """Keys of timers and calls that leave the due topic, in order: a timer's event id, a request's reference."""
    counters: Counters = field(default_factory=Counters)
    imports: dict[str, ImportClock] | None = None
    """The clocks of imports from now on, by the import's name; None: they stay as they are."""
    dropped: frozenset[int] | None = None
    """The generations of rows that nobody goes on with from now on; None: they stay as they are."""
    blocked: BlockingRecord | None = None
    needs: str | None = None
    """A key of which bodies are needed that are not in memory: what needs them waits, and so does what is behind it."""
    handled: int = 0
    """Inbox records, timers and calls that were handled."""
    taken: int = 0
    """Inbox records that were handled."""
    answered: int = 0
    """Call results that were handled."""
    raised: list[tuple[str, str]] = field(default_factory=list)
    """Key and traceback of each handler that raised, for the circuit breaker and the log."""

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
