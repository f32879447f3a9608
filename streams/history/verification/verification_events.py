"""Stored events as a verification reads them, and emissions as a cause's handler says them: in a form that can be compared."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec

from streams.codec import PREFIX, AvroCodec, prefix_of
from streams.data import EventData, namespace_of
from streams.engine.emissions import A_WHILE
from streams.engine.envelope import CONTENT_TYPE, Envelope, event_and_request, is_emitted
from streams.engine.event_handlers import EventHandler
from streams.engine.times import checked_time, from_micros, iso_text, iso_text_of, to_micros
from streams.engine.wire_format import WireFormat, too_large
from streams.errors import UndeclaredEmission
from streams.event import OURS, Event, is_unique, reference_of
from streams.history.code.application_handlers import ApplicationHandlers
from streams.history.verification.verification_records import identity_of
from streams.outcome import Emission, Scheduled


class StoredEvent(msgspec.Struct, gc=False):
    """`id` is the event's identity, `cause` its cause's if it derives from one, `request` is set if it is an answer.

    `is_unique`: its id alone identifies it.
    """

    event: Event[Any]
    envelope: Envelope
    id: int
    is_unique: bool
    cause: int | None = None
    request: str | None = None


Content = tuple[int, datetime, int | None, str | None, int, bytes | None, str, int]
"""All of an emission that its lineage does not say: a hash of its value, its time, its cause's recorded time, correlation, hops,
trace, source, and how many headers it has."""


class Saying(msgspec.Struct, gc=False):
    """An emission. `lineage` finds it: a hash of its cause, type, key and ordinal; `content` is all the rest.

    `own`: it is a timer that is handled in place.
    """

    lineage: int
    content: Content
    event_type: str
    key: str
    at_once: bool
    own: bool


class EventReader:
    """Reads events as the application does whose past is verified."""

    def __init__(self, handlers: ApplicationHandlers, codec: AvroCodec) -> None:
        self.wire: WireFormat = handlers.wire
        self._codec = codec
        newest = [prefix_of(codec.newest_id(cls)) for cls in handlers.app.event_types().values()]
        self.newest = {prefix: codec.fingerprint(prefix) for prefix in newest}
        """The fingerprints of the newest schemas, by the first bytes of their values."""
        self._sources = {it.event_type: space.source for space in handlers.spaces.values() for it in space.by_event.values()}

    def read(self, value: bytes, envelope: Envelope, own_id: str | None, own_time: int | None) -> StoredEvent:
        """`own_id` and `own_time` (µs) are the event's if its headers have none. Raises as the codec's `decode` does."""
        data = self._codec.decode(value)
        event_id, source = envelope.id or own_id or "", envelope.source
        time = envelope.time or from_micros(own_time or 0)
        cause = envelope.cause
        if cause is not None:
            reference = reference_of(envelope.cause_source, cause)
            if not is_emitted(data, envelope, event_id, reference):
                return self._read_other(data, envelope, event_id, time)
            event = Event(data, event_id, time, cause, envelope.correlation, source)
            ours = not source or source.startswith(OURS)  # so its id, which derives from its cause, is unique
            caused_by = hash(cause if reference is cause else (envelope.cause_source, cause))
            return StoredEvent(event, envelope, hash(event_id if ours else (source, event_id)), ours, caused_by)
        event = Event(data, event_id, time, None, event_id, source)
        alone = is_unique(source, event_id)
        return StoredEvent(event, envelope, hash(event_id if alone else (source, event_id)), alone)

    def _read_other(self, data: EventData, envelope: Envelope, event_id: str, time: datetime) -> StoredEvent:
        """An answer, or an event whose id does not derive from the cause that it names."""
        event, request = event_and_request(data, envelope, event_id, time)
        cause = None if event.cause is None else identity_of(envelope.cause_source, event.cause)
        alone = is_unique(envelope.source, event_id)
        return StoredEvent(event, envelope, identity_of(envelope.source, event_id), alone, cause, request)

    def recorded_saying(self, stored: StoredEvent, value: bytes, *, in_place: bool = False) -> Saying:
        """A derived event as its cause would say it today: of an older schema, the data are compared and not the bytes."""
        event, envelope = stored.event, stored.envelope
        data = event.data
        if value[:PREFIX] not in self.newest:
            value = self._codec.encode_frozen_event(data)[1]
        content = (
            hash(value), event.time, envelope.cause_time, event.correlation, envelope.hops, envelope.trace, envelope.source,
            len(envelope.carried),
        )  # fmt: skip
        event_type, key = data.event_type, data.key
        lineage = hash((stored.cause, event_type, key, envelope.ordinal, envelope.revision))
        return Saying(lineage, content, event_type, key, not in_place, in_place)

    def sayings(
        self, handler: EventHandler, stored: StoredEvent, recorded: int, emissions: Sequence[Emission]
    ) -> list[Saying]:
        """What a cause says that was recorded at `recorded` (µs): as streams/engine/emissions.py writes it, without the headers.

        Raises UndeclaredEmission or InvalidEvent.
        """
        cause, envelope, declared = stored.event, stored.envelope, handler.emits
        ordinals, found = None if len(emissions) == 1 else Counter[tuple[str, str]](), list[Saying]()
        correlation, trace, hops = cause.correlation or cause.id, envelope.trace, envelope.hops + 1
        source, identity = self._sources[handler.event_type], stored.id
        headers = 10 + (trace is not None) + bool(cause.source and not stored.is_unique)
        for emission in emissions:
            time, away, own, timer = cause.time, hops, False, type(emission) not in declared
            if timer:
                data, time = _scheduled(handler, emission)
                away = 0 if to_micros(time) >= to_micros(cause.time) + A_WHILE else hops
                own = data.key == cause.key and namespace_of(data.event_type) == namespace_of(handler.event_type)
            else:
                data = emission  # type: ignore[assignment]  # the type of an event is declared, never Scheduled
            event_type, key = data.event_type, data.key
            value = self._codec.encode_frozen_event(data)[1]
            if len(value) > self.wire.limits.event_bytes:
                raise too_large(f"{event_type}, emitted for {key[:100]!r},", value, self.wire.limits)
            ordinal = 0
            if ordinals is not None:
                ordinal = ordinals[event_type, key]
                ordinals[event_type, key] = ordinal + 1
            content = (hash(value), time, recorded, correlation, away, trace, source, headers + (ordinal > 0))
            found.append(Saying(hash((identity, event_type, key, ordinal, "")), content, event_type, key, not timer, own))
        return found


def _scheduled(handler: EventHandler, emission: object) -> tuple[EventData, datetime]:
    """A timer's data and time. Raises UndeclaredEmission or InvalidEvent."""
    data = emission.data if isinstance(emission, Scheduled) else emission
    if not isinstance(emission, Scheduled) or type(data) not in handler.emits:
        raise UndeclaredEmission(f"{handler.event_type} emitted {data!r:.100}, which its emits does not declare")
    return emission.data, checked_time("scheduled at", emission.at)


def is_as_written(stored: StoredEvent) -> bool:
    """Whether a timer's headers are the very texts that a worker writes: no inbox has them a second time."""
    found, envelope, event = dict(stored.envelope.carried), stored.envelope, stored.event
    texts = {
        "ce_specversion": b"1.0",
        "content-type": CONTENT_TYPE,
        "ce_time": iso_text(event.time).encode(),
        "ce_causetime": iso_text_of(envelope.cause_time or 0).encode(),
        "ce_hops": b"%d" % envelope.hops,
    }
    if envelope.ordinal or "ce_ordinal" in found:
        texts["ce_ordinal"] = b"%d" % envelope.ordinal
    return all(found.get(name) == text for name, text in texts.items())
