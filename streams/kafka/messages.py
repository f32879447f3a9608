"""The reading port: decodes the messages of each topic. Every reader of a topic uses it.

So a restore, `retold get`, `tail` and `status`, and the server all see the same records.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple, Protocol

import msgspec
from confluent_kafka import Message

from streams.data import EventData
from streams.engine import marker
from streams.engine.envelope import VERSION_HEADER, DueHeader, Envelope, LogHeader, due_header, log_header
from streams.engine.envelope_reader import EnvelopeReader
from streams.engine.fold import read_logged
from streams.engine.generations import BUILT_TO, LATER, BuiltTo, decode_built_to, row_key_of
from streams.engine.records import NO_OFFSET, UNREADABLE, Headers, InboxRecord, QueuePosition
from streams.engine.times import from_micros
from streams.errors import UndecodableRecord
from streams.event import Event
from streams.kafka.bounded_read import all_headers_of, headers_of
from streams.namespace import FIRST

POSITION = re.compile(rb"(\d{1,18})(?:-(\d{1,9}))?")
"""The key of a record in the parked topic."""


class LogEvent(msgspec.Struct, frozen=True):
    """A record of an event log: what was handled, when (`recorded`), and with which outcome."""

    namespace: str
    partition: int
    offset: int
    sequence: int
    recorded: datetime
    outcome: str
    reason: str | None
    event: Event[Any]
    wrong_version: bool = False

    def members(self) -> dict[str, Any]:
        """The members of its JSON object in `retold tail --json` and in the server's streams."""
        event = self.event
        return {
            "namespace": self.namespace,
            "partition": self.partition,
            "sequence": self.sequence,
            "recorded": self.recorded,
            "outcome": self.outcome,
            "reason": self.reason,
            "type": event.data.event_type,
            "key": event.key,
            "id": event.id,
            "time": event.time,
            "cause": event.cause,
            "correlation": event.correlation,
            "data": event.data,
        }


class LoggedMessage(NamedTuple):
    """A log record with what only the worker and the server need: retold's header and the publisher's envelope."""

    event: LogEvent
    header: LogHeader
    envelope: Envelope


class StoredRow(NamedTuple):
    """A row as stored in its table topic: Avro, empty if the row was deleted. `version` is 0 if the record has none.

    A `built` one was made beside those that workers write (`streams.engine.generations.counts`).
    """

    key: str
    value: bytes
    version: int
    generation: int = FIRST
    built: bool = False


class ParkedMessage(NamedTuple):
    """A record of the parked topic. A tombstone (no `value`) ends its event's being set aside."""

    position: QueuePosition
    value: bytes | None
    headers: Headers

    @property
    def offset(self) -> int:
        """The event's inbox offset; -1 for a timer's event, which has none."""
        return NO_OFFSET if self.position.timer else self.position.offset


class Decoder(Protocol):
    """A codec. `LearningCodec` is one that looks up schemas that it does not know yet."""

    def decode(self, value: bytes) -> EventData: ...

    def decode_row(self, row_type: type[Any], value: bytes) -> Any: ...


class SchemaDecoder(Decoder, Protocol):
    """One that also has the texts of the schemas that it has met."""

    def schema_text(self, schema_id: int) -> str: ...


class LogEntry(NamedTuple):
    """A log record whose event is not decoded: retold's header, and the record's own by name."""

    namespace: str
    message: Message
    header: LogHeader
    headers: Mapping[str, bytes]

    def text(self, name: str) -> str:
        """A header's text; empty if there is none."""
        return (self.headers.get(name) or b"").decode(errors="replace")


def log_entry(namespace: str, message: Message) -> LogEntry:
    """Raises UndecodableRecord if no worker wrote it."""
    headers = headers_of(message)
    return LogEntry(namespace, message, log_header(headers), dict(headers))


class LogReader:
    """Decodes log records. Used by one thread.

    A record without a value is an operator's tombstone, which deletes an earlier record: there is no event to read.
    """

    def __init__(self, decoder: Decoder) -> None:
        self._decoder, self._envelopes = decoder, EnvelopeReader()

    def event(self, namespace: str, message: Message) -> LogEvent | None:
        """None for a tombstone. Raises UnsupportedSchema, or UndecodableRecord if no worker wrote it."""
        found = self.read(namespace, message)
        return None if found is None else found.event

    def read(self, namespace: str, message: Message) -> LoggedMessage | None:
        """The event with its headers; None for a tombstone. Raises as `event`."""
        value = message.value()
        if value is None:
            return None
        data = self._decoder.decode(value)
        (event, header), envelope = read_logged(self._envelopes, data, headers_of(message))
        logged = LogEvent(
            namespace,
            message.partition() or 0,
            message.offset() or 0,
            header.sequence,
            from_micros(header.recorded),
            header.outcome,
            header.reason,
            event,
            bool(header.wrong_version),
        )
        return LoggedMessage(logged, header, envelope)


def kept_marker(value: bytes) -> marker.Marker:
    """A marker that was kept elsewhere, as it was written. Raises UndecodableRecord."""
    return marker.decode(value)


def inbox_records(messages: Sequence[Message]) -> Iterator[InboxRecord]:
    """What the engine takes. C makes the calls: with a loop of Python's around them they take half as long again."""
    kind: Any = type(messages[0])
    times = [time for _, time in map(kind.timestamp, messages)]
    headers = all_headers_of(messages, kind)
    return zip(map(kind.offset, messages), map(kind.key, messages), map(kind.value, messages), headers, times, strict=True)


def topic_partition_of(message: Message) -> tuple[str, int]:
    return message.topic() or "", message.partition() or 0


def placed(error: UndecodableRecord, message: Message) -> UndecodableRecord:
    """The error, with where the record is that does not read."""
    return UndecodableRecord(f"{message.topic()}-{message.partition()} cannot be read at offset {message.offset()}: {error}")


def marker_of(message: Message) -> marker.Marker | None:
    """The marker that a table's record is; None for a row, which is not looked at."""
    return marker.decode(message.value() or b"") if message.key() == marker.KEY else None


def table_record(message: Message, headers: Headers | None = None) -> marker.Marker | BuiltTo | StoredRow:
    """Raises UndecodableRecord for a row whose key or version no worker wrote. `headers`: whoever asked for them gives them."""
    key, value = message.key() or b"", message.value() or b""
    if key == marker.KEY:
        return marker.decode(value)
    if key.startswith(BUILT_TO):
        return decode_built_to(value)
    version, given = b"0", headers_of(message) if headers is None else headers
    if given is UNREADABLE:
        raise UndecodableRecord(
            f"a row of {message.topic()} with the key {key[:80]!r} has a header whose name is not UTF-8: it was not written by a "
            "retold worker"
        )
    for name, text in given:
        if name == VERSION_HEADER:
            version = text or b"0"
            break
    try:
        if not key.startswith(LATER):  # as nearly all: of the first generation
            return StoredRow(key.decode(), value, int(version))
        entity, generation, built = row_key_of(key)
        return StoredRow(entity, value, int(version), generation, built)
    except ValueError:
        raise UndecodableRecord(
            f"a row of {message.topic()} has the key {key[:80]!r} and the version {version[:80]!r}; UTF-8 and a number were "
            "expected: it was not written by a retold worker"
        ) from None


def due_message(message: Message) -> tuple[str, DueHeader | None]:
    """The id of a timer's event, or a call's reference, and what is due; None: it is over.

    Raises UndecodableRecord if no worker wrote it.
    """
    name = (message.key() or b"").decode(errors="replace")
    return name, None if message.value() is None else due_header(headers_of(message))


def parked_message(message: Message) -> ParkedMessage:
    """Raises UndecodableRecord for a key that no worker wrote."""
    key = message.key() or b""
    found = POSITION.fullmatch(key)
    if found is None:
        raise UndecodableRecord(
            f"a record of {message.topic()} has the key {key[:80]!r}; the offset of an event in its inbox was expected, or "
            "for a timer the offset that it came before and a number, such as 1042-1: it was not written by a retold worker"
        )
    position = QueuePosition(int(found[1]), int(found[2] or 0))
    return ParkedMessage(position, message.value(), headers_of(message))
