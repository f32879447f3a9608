"""Stored events as a verification reads them, and emissions as a cause's handler says them: in a form that can be compared."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any, NamedTuple

from streams.codec import PREFIX, AvroCodec, prefix_of
from streams.data import EventData, namespace_of
from streams.engine.emissions import A_WHILE
from streams.engine.envelope import CONTENT_TYPE, Envelope, event_and_request
from streams.engine.event_handlers import EventHandler
from streams.engine.times import checked_time, from_micros, iso_text, iso_text_of, to_micros
from streams.engine.wire_format import WireFormat, too_large
from streams.errors import UndeclaredEmission
from streams.event import Event, is_unique
from streams.history.application_handlers import ApplicationHandlers, DecidedEvent
from streams.history.verification_records import identity_of
from streams.outcome import Scheduled


class StoredEvent(NamedTuple):
    """`id` is the event's identity, `cause` its cause's if it derives from one, `request` is set if it is an answer."""

    event: Event[Any]
    envelope: Envelope
    id: int
    cause: int | None
    request: str | None


class Saying(NamedTuple):
    """An emission. `lineage` finds it: a hash of its cause, type, key and ordinal; `content` is one of all the rest.

    `data` is a hash of its value alone. `own`: it is a timer that is handled in place.
    """

    lineage: int
    content: int
    data: int
    event_type: str
    key: str
    at_once: bool
    own: bool


class EventReader:
    """Reads events as the application does whose past is verified."""

    def __init__(self, handlers: ApplicationHandlers, codec: AvroCodec) -> None:
        self.wire: WireFormat = handlers.wire
        self._codec = codec
        self._newest = {prefix_of(codec.newest_id(cls)) for cls in handlers.app.event_types().values()}
        self._sources = {name: handlers.source for name, handlers in handlers.spaces.items()}

    def read(self, value: bytes, envelope: Envelope, own_id: str | None, own_time: int | None) -> StoredEvent:
        """`own_id` and `own_time` (µs) are the event's if its headers have none. Raises as the codec's `decode` does."""
        data: EventData = self._codec.decode(value)
        time: datetime = envelope.time or from_micros(own_time or 0)
        event, request = event_and_request(data, envelope, envelope.id or own_id or "", time)
        cause = None if event.cause is None else identity_of(envelope.cause_source, event.cause)
        return StoredEvent(event, envelope, identity_of(envelope.source, event.id), cause, request)

    def recorded_saying(self, stored: StoredEvent, value: bytes, *, in_place: bool = False) -> Saying:
        """A derived event as its cause would say it today: of an older schema, the data are compared and not the bytes."""
        event, envelope = stored.event, stored.envelope
        data = event.data
        if value[:PREFIX] not in self._newest:
            value = self._codec.encode_frozen_event(data)[1]
        content = hash((
            value, event.time, envelope.cause_time, event.correlation, envelope.hops, envelope.trace, envelope.source,
            len(envelope.carried),
        ))  # fmt: skip
        lineage = hash((stored.cause, data.event_type, data.key, envelope.ordinal, envelope.revision))
        return Saying(lineage, content, hash(value), data.event_type, data.key, at_once=not in_place, own=in_place)

    def sayings(self, handler: EventHandler, stored: StoredEvent, recorded: int, decided: DecidedEvent) -> Iterator[Saying]:
        """What a cause says that was recorded at `recorded` (µs): as streams/engine/emissions.py writes it, without the headers.

        Raises UndeclaredEmission or InvalidEvent.
        """
        cause, envelope, wire = stored.event, stored.envelope, self.wire
        ordinals = dict[tuple[str, str], int]()
        namespace = namespace_of(cause.data.event_type)
        source, correlation = self._sources[namespace], cause.correlation or cause.id
        hops, trace = envelope.hops + 1, envelope.trace
        headers = 10 + (trace is not None) + bool(cause.source and not is_unique(cause.source, cause.id))
        for emission in decided.emissions:
            timer = isinstance(emission, Scheduled)
            data = emission.data if isinstance(emission, Scheduled) else emission
            if type(data) not in handler.emits:
                raise UndeclaredEmission(f"{cause.data.event_type} emitted {data!r:.100}, which its emits does not declare")
            time = checked_time("scheduled at", emission.at) if isinstance(emission, Scheduled) else cause.time
            away = 0 if timer and to_micros(time) >= to_micros(cause.time) + A_WHILE else hops
            event_type, key = data.event_type, data.key
            _, value = self._codec.encode_frozen_event(data)
            if len(value) > wire.limits.event_bytes:
                raise too_large(f"{event_type}, emitted for {key[:100]!r},", value, wire.limits)
            ordinal = ordinals.get((event_type, key), 0)
            ordinals[event_type, key] = ordinal + 1
            content = hash((value, time, recorded, correlation, away, trace, source, headers + (ordinal > 0)))
            own = timer and key == cause.key and namespace_of(event_type) == namespace
            yield Saying(hash((stored.id, event_type, key, ordinal, "")), content, hash(value), event_type, key, not timer, own)


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
