"""Emissions of an event as inbox records: checked, with derived ids and the cause's time (law 5)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from streams.data import EventData, namespace_of
from streams.engine.changes import PendingTimer
from streams.engine.envelope import CONTENT_TYPE, Envelope, caused_by
from streams.engine.identity import emitted_id
from streams.engine.records import EmittedRecord, Headers
from streams.engine.times import checked_time, from_micros, iso_text, to_micros
from streams.engine.wire_format import WireFormat, too_large
from streams.errors import UndeclaredEmission
from streams.event import Event
from streams.outcome import Emission, Scheduled

A_WHILE = 1_000_000
"""A timer at least this long (µs) starts its event's hop count at 0: waiting events form no fast loop, and may recur for ever."""


class EmissionRecords(NamedTuple):
    """`emissions` has the data of both, in this order, as a reader decodes it."""

    now: list[EmittedRecord]
    later: list[PendingTimer]
    emissions: list[Emission]


class Emissions:
    """The emissions of one cause, which was recorded at `recorded` (µs)."""

    def __init__(
        self, source: str, wire: WireFormat, cause: Event[Any], envelope: Envelope, recorded: int
    ) -> None:
        self.wire, self.cause, self.recorded = wire, cause, recorded
        self.namespace = namespace_of(cause.data.event_type)
        self.reference = cause.reference
        self.ordinals: dict[tuple[str, str], int] = {}
        self.common = [
            ("ce_specversion", b"1.0"),
            ("ce_source", source.encode()),
            ("content-type", CONTENT_TYPE),
            *caused_by(cause, recorded, envelope.hops),
        ]
        if envelope.trace is not None:
            self.common.append(("traceparent", envelope.trace))

    def of(self, emit: Iterable[Emission], declared: frozenset[type[EventData]]) -> EmissionRecords:
        """The records of `emit`. Raises UndeclaredEmission or InvalidEvent: then the cause is parked."""
        following, scheduled = EmissionRecords([], [], []), list[Emission]()
        happened = iso_text(self.cause.time)
        for emission in emit:
            data = emission.data if isinstance(emission, Scheduled) else emission
            check_emission(self.cause.data.event_type, data, declared)
            if not isinstance(emission, Scheduled):
                data, emitted, _ = self._record(data, happened)
                following.now.append(emitted)
                following.emissions.append(data)
                continue
            at = checked_time(f"{data.event_type} is scheduled at", emission.at)
            due = to_micros(at)
            data, emitted, event_id = self._record(data, iso_text(at))
            if due >= to_micros(self.cause.time) + A_WHILE:  # by the events' time, so that a replay counts alike
                emitted = emitted._replace(headers=_without_hops(emitted.headers))
            own = emitted.namespace == self.namespace and data.key == self.cause.key
            following.later.append(PendingTimer(due, emitted, event_id, self.cause.key, own, overdue=due <= self.recorded))
            scheduled.append(Scheduled(data, from_micros(due)))
        following.emissions.extend(scheduled)
        return following

    def _record(self, data: EventData, time: str) -> tuple[EventData, EmittedRecord, str]:
        """The data as a reader decodes it, its record and its id."""
        name, key = data.event_type, data.key
        data, value = self.wire.codec.encode_frozen_event(data)
        if len(value) > self.wire.limits.event_bytes:
            raise too_large(f"{name}, emitted for {key[:100]!r},", value, self.wire.limits)
        ordinal = self.ordinals.get((name, key), 0)
        self.ordinals[name, key] = ordinal + 1
        event_id = emitted_id(self.reference, name, key, ordinal)
        headers = [
            *self.common,
            ("ce_id", event_id.encode()),
            ("ce_type", name.encode()),
            ("ce_time", time.encode()),
        ]
        if ordinal:
            headers.append(("ce_ordinal", b"%d" % ordinal))
        return data, EmittedRecord(namespace_of(name), key.encode(), value, headers), event_id


def check_emission(event_type: str, data: object, declared: frozenset[type[EventData]]) -> None:
    """Raises UndeclaredEmission for what the handler of `event_type` may not emit."""
    if not isinstance(data, EventData):
        raise UndeclaredEmission(f"{event_type} emitted {str(data)[:100]!r}; expected the data of an event")
    if type(data) not in declared:
        raise UndeclaredEmission(f"{event_type} emitted {data.event_type}; add {type(data).__name__} to its emits=[…]")


def _without_hops(headers: Headers) -> Headers:
    return [(name, b"0" if name == "ce_hops" else value) for name, value in headers]
