"""The plan of a correction: what it changes, and all that would be otherwise, shown before anything happens.

It is a JSON document with a digest. What is applied is the change alone: by then the rows may have moved, and are planned again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from hashlib import sha256
from typing import Any, Protocol

import msgspec
from msgspec.structs import replace

from streams.data import EventData, Record, namespace_of
from streams.engine.records import Codec
from streams.engine.times import from_micros, to_micros
from streams.errors import UNREADABLE_JSON, HistoryError, StalePlan, StreamsError
from streams.history.branch.branch_change import events_in_change
from streams.history.branch.change import Change, InsertedEvent
from streams.history.past import Past, cause_of
from streams.history.recorded_event import OrderKey, RecordedEvent

FORMAT = 3
DIGITS = 18
"""Of a sequence, at most."""


class StoredInsertion(msgspec.Struct, frozen=True):
    """An event that is put in: its bytes, when it happened (µs since 1970), and where it stands."""

    value: bytes
    time: int
    id: str
    source: str
    reference: str
    place: OrderKey


class StoredChange(msgspec.Struct, frozen=True):
    """A change as it is kept: with bytes in place of data. `end` is where the past ended that it was planned on.

    `again` has events that are decided again, since newer code decides them otherwise than was recorded. `assumed` has requests to
    gateways by their references, with the data for which the answer counts that was recorded to other data; it is not written
    where there are none, so that the digest of a plan without stays what it was.
    """

    insert: tuple[StoredInsertion, ...] = ()
    remove: tuple[str, ...] = ()
    replace: dict[str, bytes] = {}
    end: OrderKey | None = None
    again: tuple[str, ...] = ()
    assumed: dict[str, bytes] | msgspec.UnsetType = msgspec.UNSET

    @property
    def schema_ids(self) -> set[int]:
        """Those of its events: only newer code may have them by itself."""
        put_in, assumed = (it.value for it in self.insert), (self.assumed or {}).values()
        return {int.from_bytes(value[1:5], "big") for value in (*put_in, *self.replace.values(), *assumed)}

    def read(self, codec: Codec) -> Change:
        """Raises HistoryError for events that do not read here."""
        try:
            return self._read(codec)
        except StreamsError as error:
            raise HistoryError(f"an event of a correction does not read here: {error}") from error

    def _read(self, codec: Codec) -> Change:
        inserted = [InsertedEvent(codec.decode(it.value), from_micros(it.time), it.id, None, it.source) for it in self.insert]
        replaced = {name: codec.decode(value) for name, value in self.replace.items()}
        places = {it.reference: it.place for it in self.insert}
        assumed = {name: codec.decode(value) for name, value in (self.assumed or {}).items()}
        return Change(inserted, frozenset(self.remove), replaced, places, self.end, again=frozenset(self.again), assumed=assumed)


def schema_ids_of(changes: Iterable[StoredChange]) -> set[int]:
    """The schemas of their events: code that is older than one of them has these from Kafka, or from an exported past, alone."""
    return {schema_id for change in changes for schema_id in change.schema_ids}


class PlannedEvent(msgspec.Struct, frozen=True):
    """An event that is taken out, put in, or becomes otherwise; `what` of it.

    `name` is its position in the log; empty: it is not there. `because` names the event that it follows from; empty: none.
    `before` is the data that it had, if that becomes otherwise.
    """

    type: str
    key: str
    id: str
    name: str
    outcome: str
    what: tuple[str, ...] = ()
    data: Any = None
    time: datetime | None = None
    because: str = ""
    before: Any = None


class PlannedRow(msgspec.Struct, frozen=True):
    """A row that is to be set: at which version it was seen, what it is and what it becomes; null: there is none.

    `timers_added` and `timers_dropped` count the timers that are scheduled for it, or not any more.
    """

    namespace: str
    key: str
    version: int
    before: Any
    after: Any
    timers_added: int = 0
    timers_dropped: int = 0


class PlannedCall(msgspec.Struct, frozen=True):
    """A gateway's call that should not have been made, is missing, or differs; `undo` is the event that takes back what was."""

    kind: str
    type: str
    key: str
    id: str
    undo: str | None = None


class CorrectionPlan(msgspec.Struct, frozen=True):
    """What a correction would do. Nothing has happened yet.

    Attributes:
        application: Whose past is corrected.
        correction: The correction's id.
        by: Who corrects.
        why: Why.
        change: What is put in, taken out and replaced.
        first: The first event of the past that was planned on; None: it was empty. By it the log is known again.
        rows: The rows that are set.
        missing: Events that would not have happened.
        surplus: Events that would have happened.
        changed: Events that would have become otherwise.
        calls: What gateways should not have been asked, or should have been.
        open: How many events wait for answers that nobody has given.
        projections: Projections that fold some of these events. Each server folds them again.
        digest: Of all the rest. A plan that was edited has another one, and is refused.

    """

    application: str
    correction: str
    by: str
    why: str
    change: StoredChange
    first: str | None = None
    rows: tuple[PlannedRow, ...] = ()
    missing: tuple[PlannedEvent, ...] = ()
    surplus: tuple[PlannedEvent, ...] = ()
    changed: tuple[PlannedEvent, ...] = ()
    calls: tuple[PlannedCall, ...] = ()
    open: int = 0
    projections: tuple[str, ...] = ()
    digest: str = ""
    format: int = FORMAT

    @property
    def is_empty(self) -> bool:
        """Whether nothing would be otherwise."""
        return not (self.rows or self.missing or self.surplus or self.changed or self.calls)

    @property
    def touches(self) -> tuple[str, ...]:
        """The namespaces of which something would be otherwise: rows, events or calls."""
        return touched(self.rows, (*self.missing, *self.surplus, *self.changed, *self.calls))


def touched(rows: Iterable[PlannedRow], told: Iterable[PlannedEvent | PlannedCall]) -> tuple[str, ...]:
    """The namespaces of rows, and of events and calls."""
    return tuple(sorted({it.namespace for it in rows} | {namespace_of(it.type) for it in told}))


def stored_change(codec: Codec, change: Change) -> StoredChange:
    """Of a change that says where each event stands."""
    inserted = tuple(
        StoredInsertion(codec.encode(it.data), to_micros(it.time), it.id or "", it.source, reference, place)
        for it, (reference, place) in zip(change.insert, change.places.items(), strict=True)
    )
    replaced = {name: codec.encode(data) for name, data in sorted(change.replace.items())}
    assumed = {name: codec.encode(data) for name, data in sorted(change.assumed.items())}
    again = tuple(sorted(change.again))
    return StoredChange(inserted, tuple(sorted(change.remove)), replaced, change.end, again, assumed or msgspec.UNSET)


def planned_event(past: Past, it: RecordedEvent, what: Sequence[str] = (), was: RecordedEvent | None = None) -> PlannedEvent:
    """Of an event that `past` has; `was`: the event as it was before."""
    outcome = "accepted" if it.accepted else f"rejected: {it.reason}"
    cause = cause_of(past, it)
    return PlannedEvent(
        it.event_type, it.key, it.event.id, it.name if it.has_position else "", outcome, tuple(what), plain(it.event.data),
        it.event.time, "" if cause is None else f"{cause.event_type} {cause.key}",
        None if was is None or was.event.data == it.event.data else plain(was.event.data),
    )  # fmt: skip


def plain(data: EventData | Record | None) -> Any:
    """As JSON has it."""
    return None if data is None else msgspec.to_builtins(data, str_keys=True, enc_hook=_mapping)


def _mapping(value: Any) -> Any:
    return dict(value)


def sealed(plan: CorrectionPlan) -> CorrectionPlan:
    return replace(plan, digest=_digest(plan))


def encode_plan(plan: CorrectionPlan) -> bytes:
    return msgspec.json.format(msgspec.json.encode(plan), indent=2) + b"\n"


def decode_plan(text: bytes) -> CorrectionPlan:
    """Raises StalePlan for what is no plan, or not as it was written."""
    try:
        plan = msgspec.json.decode(text, type=CorrectionPlan)
    except UNREADABLE_JSON as error:
        raise StalePlan(f"this is no plan of a correction: {error}. What `retold correct plan` wrote was expected") from error
    if plan.format != FORMAT:
        raise StalePlan(f"the plan has the format {plan.format}; {FORMAT} was expected: make it with this version of retold")
    refuse_edited(plan)
    return plan


def refuse_edited(plan: CorrectionPlan) -> None:
    """Raises StalePlan unless a plan is as it was written."""
    if plan.digest != _digest(plan):
        raise StalePlan(
            f"the plan of the correction {plan.correction} is not as it was written: its digest is {plan.digest[:16]!r}…, and "
            f"{_digest(plan)[:16]}… was expected. Make another plan of what is to be changed"
        )


class PlannedOn(Protocol):
    """A plan, or a correction that was begun: which log it was planned on."""

    @property
    def application(self) -> str: ...

    @property
    def first(self) -> str | None: ...

    @property
    def change(self) -> StoredChange: ...


class Planned(PlannedOn, Protocol):
    """The same, with its id, who corrects, and why."""

    @property
    def correction(self) -> str: ...

    @property
    def by(self) -> str: ...

    @property
    def why(self) -> str: ...


def refuse_other_log(plan: PlannedOn, application: str, log: Past) -> None:
    """Raises StalePlan for a plan of another application, or of a log that never had the events that it was made of."""
    if plan.application != application:
        raise StalePlan(f"the plan is of the application {plan.application!r}, and this one is {application}")
    end = log.end()
    if plan.first is not None and not events_in_change(log, plan.first) and not _may_be_gone(log, plan.first):
        raise StalePlan(
            f"the plan was made of another log: its first event, {plan.first}, is not in this one. Make a plan of this log"
        )
    if plan.first is not None and plan.change.end is not None and (end is None or end < plan.change.end):
        raise StalePlan("the plan was made of a log that went on further than this one. Make a plan of this log")


def _may_be_gone(log: Past, name: str) -> bool:
    """Whether the event at the position in a name was erased, or is too old to be kept, as far as the log tells."""
    place, _, sequence = name.rpartition("@")[2].rpartition(":")
    namespace = place.rpartition("-")[0]
    if not (sequence.isascii() and sequence.isdigit() and len(sequence) <= DIGITS):
        return False
    number = int(sequence)
    found = (log.first_erased((namespace, key)) for key in log.erased_keys(namespace))
    return any(it is not None and (number <= it.until if it.is_old else it.sequence <= number) for it in found)


def _digest(plan: CorrectionPlan) -> str:
    return sha256(msgspec.json.encode(replace(plan, digest=""), order="deterministic")).hexdigest()
