"""A step of a correction: one row of the present is set to what the corrected past makes of it (rule 29).

It comes through the inbox like an operator's command, in order with its key's events, and its bytes are in the event log: so its
row has a version of its own, and who reads the log sees what was set, by whom and why.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import msgspec

from streams.data import EventData, Record
from streams.engine.control import PREFIX
from streams.engine.readable import shortened
from streams.engine.records import Codec
from streams.errors import UNREADABLE_JSON, InvalidEvent
from streams.event import derived_id

NAME = "correction-step"
"""No event has such a name: `-` is none of Avro's letters."""


class StepTimer(msgspec.Struct, frozen=True):
    """A timer that a step schedules; `at` in µs since 1970. `own`: it is an event of the step's very key."""

    event_id: str
    at: int
    namespace: str
    key: str
    value: bytes
    headers: tuple[tuple[str, bytes], ...]
    own: bool


class DroppedTimer(msgspec.Struct, frozen=True):
    """A timer that a step takes away, with id and source of the event that had scheduled it."""

    event_id: str
    cause: str
    source: str


class CorrectionStep(EventData, frozen=True, kw_only=True):
    """A step of the correction `correction`, to one row. It is accepted if the row's version is `expected`; 0: there was none.

    So one that is sent twice does nothing the second time. `row` is Avro behind a schema id, empty if there is to be no row.
    `dropped` are timers that are not to fire; one that is in `added` too gets another time. `generation` is that of the row, which
    no other one has; 0: an earlier version wrote it, and did not say. `after` is the recorded time (µs) of the last event of
    the log that it was decided on: the step is recorded later, as after a cause. 0: an earlier version wrote it.
    """

    key_field: ClassVar[str] = "entity"
    command: Literal["step"]
    namespace: str
    entity: str
    correction: str
    number: int
    expected: int
    row: bytes
    added: tuple[StepTimer, ...] = ()
    dropped: tuple[DroppedTimer, ...] = ()
    generation: int = 0
    after: int = 0

    who: str = ""
    why: str = ""

    @property
    def event_type(self) -> str:  # type: ignore[override]  # an event's type says its namespace, and a step is of any
        """Of no event: `user.correction-step`."""
        return step_type(self.namespace)

    @property
    def event_id(self) -> str:
        """Of its log record: the same for a step that is sent again."""
        return derived_id("step", self.correction, self.namespace, self.entity, self.expected)

    def is_of(self, generation: int) -> bool:
        """Whether its row is one of this generation, as far as it is known."""
        return self.generation in (0, generation)

    def row_of(self, codec: Codec, row_type: type[Record]) -> Record | None:
        """Raises UndecodableRecord, or UnsupportedSchema if the row was written by a schema that is not known here."""
        return codec.decode_row(row_type, self.row) if self.row else None


_decoder = msgspec.json.Decoder(CorrectionStep)


def step_type(namespace: str) -> str:
    return f"{namespace}.{NAME}"


def encode_step(step: CorrectionStep) -> bytes:
    return PREFIX + msgspec.json.encode(step)


def step_of(value: bytes | None) -> CorrectionStep | None:
    """The step that a record holds; None for every other record, readable or not."""
    if value is None or value[:1] != PREFIX:
        return None
    try:
        return _decoder.decode(value[1:])
    except UNREADABLE_JSON:
        return None


def refuse_misplaced(step: CorrectionStep, namespace: str, record_key: bytes | None) -> None:
    """Raises InvalidEvent for a step of another namespace or key than the record that holds it."""
    if (step.namespace, step.entity.encode()) != (namespace, record_key):
        raise InvalidEvent(
            f"it is a step of a correction for {shortened(step.entity, 100)!r} of {shortened(step.namespace, 100)!r}, and came to "
            f"{namespace} under the key {(record_key or b'')[:100]!r}"
        )
