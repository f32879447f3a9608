"""Decoding inbox records into events, within the limits."""

from __future__ import annotations

from streams.data import EventData
from streams.engine.envelope import Envelope
from streams.engine.envelope_reader import EnvelopeReader
from streams.engine.event_handlers import Limits
from streams.engine.records import Codec, InboxRecord
from streams.errors import InvalidEvent, UndecodableRecord


class WireFormat:
    """A namespace's codec with its limits, and the reader of its headers."""

    def __init__(self, codec: Codec, limits: Limits) -> None:
        self.codec, self.limits, self.envelopes = codec, limits, EnvelopeReader()

    def read(self, record: InboxRecord) -> tuple[Envelope, EventData]:
        """Raises InvalidEvent, UndecodableRecord or UnsupportedSchema."""
        value = record[2]
        if value is None:
            raise UndecodableRecord("it has no value; expected an event in Confluent's wire format")
        if len(value) > self.limits.event_bytes:
            raise too_large("it", value, self.limits)
        return self.envelopes.read(record[3]), self.codec.decode(value)


def too_large(what: str, value: bytes, limits: Limits) -> InvalidEvent:
    """The error for an event that is larger than allowed; `what` begins the sentence."""
    return InvalidEvent(f"{what} holds {len(value)} bytes; an event may hold {limits.event_bytes}")
