"""An event of the recorded past, and where it stands in the order of all."""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from streams.data import namespace_of
from streams.engine.envelope import event_and_request, log_header
from streams.engine.records import ACCEPTED, CORRECTED, Headers
from streams.engine.times import from_micros
from streams.engine.wire_format import WireFormat
from streams.event import Event, reference_of

ROOT, EMITTED, TIMER, ANSWER = "root", "emitted", "timer", "answer"
"""Kinds: published by somebody; emitted by a handler; fired in place by its key's clock; given by a gateway."""
STEP = "step"
"""The kind of a correction's step, which is no event: it sets its row. Its data is a CorrectionStep."""
HANDLER, VERSION = "handler", "version"
"""Who rejected an event: its handler, or nobody, because its row was not at the expected version."""
UNHANDLED = "unhandled"
"""Of an event that the other code has no handler for: in a replay alone, the row stays and nothing follows."""
PARKED = "parked"
"""Instead of who rejected it: of an event that a branch has not handled, since its handler raised, or that of one before it."""


Place = tuple[str, str]
"""Namespace and key of a row."""
NamespacePartition = tuple[str, int]
"""Namespace and partition: of a log, an inbox or a table."""
LogPlace = tuple[str, int, int]
"""Namespace, partition and sequence of a record in a log."""


class OrderKey(NamedTuple):
    """Where an event stands in the total order of all events (rule 18). `recorded` in µs since 1970.

    `depth` and `turn` are 0 for a record of a log; an event that only a branch has stands behind the record that led to it.
    """

    recorded: int
    namespace: str
    partition: int
    sequence: int
    depth: int = 0
    turn: int = 0


def position_name(namespace: str, partition: int, sequence: int) -> str:
    """A position in a log as people write it: `user-3:7`. An inbox offset is written `user-3@1042`."""
    return f"{namespace}-{partition}:{sequence}"


class RecordedEvent(msgspec.Struct, frozen=True):
    """An event that was handled.

    Attributes:
        order: Where it stands among all events.
        event: The event itself: its data, id, time and source.
        reference: Identifies it, also where publishers choose equal ids. Several events may have one: an id that was given to two
            keys, or again after more events than a worker remembers. Each has a place (`order`) of its own.
        kind: How it came about: `root` (published), `emitted`, `timer`, `answer` (a gateway's), or `step` (a correction's).
        accepted: Whether it was accepted.
        value: The bytes of its data.
        cause: The reference of the event that led to it; None for a root.
        ordinal: Which of its cause's emissions with its type and key it is, from 0 on.
        by: Who rejected it: `handler`, `version`, `operator` or `retold`; `parked`, in a branch alone, of one that is not
            handled, since its handler raised or that of one before it; None if it was accepted.
        reason: Why it was rejected; None if it was accepted.
        expected: The version that its publisher expected of its row; None: any.
        high: Its high-water time, the latest time that it depends on, in µs since 1970; None: it is not known yet.
        latest: If events are not kept that it may depend on, `high` may be too early, but no later than this (µs); else None.

    """

    order: OrderKey
    event: Event[Any]
    reference: str
    kind: str
    accepted: bool
    value: bytes
    cause: str | None = None
    ordinal: int = 0
    by: str | None = None
    reason: str | None = None
    expected: int | None = None
    high: int | None = None
    latest: int | None = None

    @property
    def namespace(self) -> str:
        """The event's own namespace; in a branch it may stand behind a record of another one."""
        return namespace_of(self.event_type)

    @property
    def key(self) -> str:
        """The key of its row."""
        key: str = self.event.data.key
        return key

    @property
    def place(self) -> Place:
        """Namespace and key of its row."""
        return self.namespace, self.key

    @property
    def event_type(self) -> str:
        """Its name, such as `user.signup`."""
        event_type: str = self.event.data.event_type
        return event_type

    @property
    def is_parked(self) -> bool:
        """Whether a branch has it aside."""
        return self.by == PARKED

    @property
    def has_position(self) -> bool:
        """Whether it is in a log, or was: what only a branch has stands nowhere."""
        return self.order.depth == 0 and self.order.turn == 0

    @property
    def version(self) -> int:
        """Of its row, behind it: its sequence. What only a branch has gives none that a publisher can have seen."""
        return self.order.sequence if self.has_position else -1

    @property
    def outcome(self) -> tuple[bool, str | None]:
        """Whether it was accepted, and why not."""
        return self.accepted, self.reason

    @property
    def name(self) -> str:
        """Its position as people write it, such as `user-3:7`; of an event that only a branch has, the one that it stands by."""
        return position_name(*self.order[1:4])

    @property
    def exact_name(self) -> str:
        """What a Change names it by: its reference, and behind it its position if it has one, since several may have the first."""
        return f"{self.reference}@{self.name}" if self.has_position else self.reference


def read_recorded(wire: WireFormat, namespace: str, partition: int, value: bytes, headers: Headers) -> RecordedEvent:
    """The event of a log record. Raises UnsupportedSchema, or UndecodableRecord if no worker wrote it."""
    header, envelope = log_header(headers), wire.envelopes.read(headers)
    data = wire.codec.decode(value)
    time = envelope.time or from_micros(header.time or 0)
    event, request = event_and_request(data, envelope, envelope.id or header.id or "", time)
    cause = None if event.cause is None else reference_of(envelope.cause_source, event.cause)
    accepted = header.outcome in (ACCEPTED, CORRECTED)
    return RecordedEvent(
        OrderKey(header.recorded, namespace, partition, header.sequence),
        event,
        event.reference,
        STEP if header.outcome == CORRECTED
        else TIMER if header.timer else ROOT if cause is None else EMITTED if request is None else ANSWER,
        accepted,
        value,
        cause,
        envelope.ordinal,
        None if accepted else VERSION if header.wrong_version else header.by or HANDLER,
        header.reason,
        envelope.expected_version,
    )
