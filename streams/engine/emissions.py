"""Emissions of an event as inbox records: checked, with derived ids and the cause's time (law 5)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from streams.data import EventData, namespace_of
from streams.engine.changes import PendingTimer
from streams.engine.envelope import CONTENT_TYPE, caused_by
from streams.engine.identity import emitted_id
from streams.engine.records import PLAIN_KEY, EmittedRecord, Header, Headers
from streams.engine.times import checked_time, from_micros, iso_text, to_micros
from streams.engine.wire_format import WireFormat, too_large
from streams.errors import UndeclaredEmission
from streams.event import Event
from streams.outcome import Emission, Scheduled

A_WHILE = 1_000_000
"""A timer at least this long (µs) starts its event's hop count at 0: waiting events form no fast loop, and may recur for ever."""


Around = tuple[int, bytes | None]
"""What goes from a cause to its emissions beside the event: its hops, and its trace."""


class EmissionRecords(NamedTuple):
    """`emissions` has the data of both, in this order, as a reader decodes it."""

    now: list[EmittedRecord]
    later: list[PendingTimer]
    emissions: list[Emission]


class EmittedType(NamedTuple):
    """What all emissions of one type have in common; `settle` checks and encodes one."""

    name: str
    namespace: str
    header: Header
    key_field: str
    settle: Callable[[EventData], tuple[EventData, bytes]]


class Emissions:
    """Makes records of what the events of one namespace emit; `source` is theirs."""

    def __init__(self, source: str, wire: WireFormat) -> None:
        self._wire = wire
        self._first: Headers = [("ce_specversion", b"1.0"), ("ce_source", source.encode()), ("content-type", CONTENT_TYPE)]
        self._types: dict[type[EventData], EmittedType] = {}

    def of(
        self, cause: Event[Any], around: Around, recorded: int, emit: Iterable[Emission], declared: frozenset[type[EventData]]
    ) -> EmissionRecords:
        """The records of `emit`; the cause was recorded at `recorded` (µs).

        Raises UndeclaredEmission or InvalidEvent: then the cause is parked.
        """
        following, scheduled, emitted_by = EmissionRecords([], [], []), list[Emission](), cause.data.event_type
        ordinals: dict[tuple[str, str], int] = {}
        reference = cause.reference
        common = self._common(cause, reference, around, recorded)
        happened = "ce_time", iso_text(cause.time).encode()
        for emission in emit:
            if not isinstance(emission, Scheduled):
                check_emission(emitted_by, emission, declared)
                data, emitted, _ = self._record(emission, reference, ordinals, common, happened)
                following.now.append(emitted)
                following.emissions.append(data)
                continue
            check_emission(emitted_by, emission.data, declared)
            at = checked_time(f"{emission.data.event_type} is scheduled at", emission.at)
            due, its_time = to_micros(at), ("ce_time", iso_text(at).encode())
            if due >= to_micros(cause.time) + A_WHILE:  # by the events' time, so that a replay counts alike
                data, emitted, event_id = self._record(emission.data, reference, ordinals, _without_hops(common), its_time)
            else:
                data, emitted, event_id = self._record(emission.data, reference, ordinals, common, its_time)
            own = emitted.namespace == namespace_of(emitted_by) and data.key == cause.key
            following.later.append(PendingTimer(due, emitted, event_id, cause.key, own, overdue=due <= recorded))
            scheduled.append(Scheduled(data, from_micros(due)))
        following.emissions.extend(scheduled)
        return following

    def _common(self, cause: Event[Any], reference: str, around: Around, recorded: int) -> Headers:
        """The headers that all emissions of one cause have."""
        hops, trace = around
        common = [*self._first, *caused_by(cause, recorded, hops, reference)]
        if trace is not None:
            common.append(("traceparent", trace))
        return common

    def _record(
        self, data: EventData, cause: str, ordinals: dict[tuple[str, str], int], common: Headers, time: Header
    ) -> tuple[EventData, EmittedRecord, str]:
        """The data as a reader decodes it, its record and its id. `cause` is a reference."""
        name, namespace, type_header, key_field, settle = self._types.get(type(data)) or self._meet(data)
        data, value = settle(data)
        key: str = getattr(data, key_field)
        if not (0 < len(key) < PLAIN_KEY and key[0] > "\x01"):
            self._wire.codec.encode_frozen_event(data)  # which says what is wrong with it
        if len(value) > self._wire.limits.event_bytes:
            raise too_large(f"{name}, emitted for {key[:100]!r},", value, self._wire.limits)
        ordinal = ordinals.get((name, key), 0)
        ordinals[name, key] = ordinal + 1
        event_id = emitted_id(cause, name, key, ordinal)
        headers = [*common, ("ce_id", event_id.encode()), type_header, time]
        if ordinal:
            headers.append(("ce_ordinal", b"%d" % ordinal))
        return data, EmittedRecord(namespace, key.encode(), value, headers), event_id

    def _meet(self, data: EventData) -> EmittedType:
        name = data.event_type
        settle = self._wire.codec.settler(type(data))
        found = self._types[type(data)] = EmittedType(
            name, namespace_of(name), ("ce_type", name.encode()), data.key_field, settle
        )
        return found


def check_emission(event_type: str, data: object, declared: frozenset[type[EventData]]) -> None:
    """Raises UndeclaredEmission for what the handler of `event_type` may not emit."""
    if not isinstance(data, EventData):
        raise UndeclaredEmission(f"{event_type} emitted {str(data)[:100]!r}; expected the data of an event")
    if type(data) not in declared:
        raise UndeclaredEmission(f"{event_type} emitted {data.event_type}; add {type(data).__name__} to its emits=[…]")


def _without_hops(headers: Headers) -> Headers:
    return [(name, b"0" if name == "ce_hops" else value) for name, value in headers]
