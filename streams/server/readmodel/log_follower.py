"""Reads records of event logs and parked topics into the model."""

from __future__ import annotations

from contextlib import suppress

from confluent_kafka import Message

from streams.engine.envelope import EnvelopeReader, event_again, parked_header, without_packed
from streams.engine.records import PARKED
from streams.errors import StreamsError
from streams.kafka.messages import Decoder, LogReader, parked_message
from streams.receipt import parked_outcome
from streams.server.readmodel.key_uses import has_key
from streams.server.readmodel.merge import LogMerger, time_order
from streams.server.readmodel.model import NamespacePartition, ReadModel
from streams.server.readmodel.recent import known_outcome


class LogFollower:
    """Follows all logs: past events merged by time, then new ones as they arrive."""

    def __init__(self, model: ReadModel, decoder: Decoder) -> None:
        self.merge = LogMerger(model.partitions())
        self._model, self._decoder = model, decoder
        self._envelopes, self._reader = EnvelopeReader(), LogReader(decoder)

    def take(self, partition: NamespacePartition, message: Message) -> None:
        """Take a log record, or a tombstone, which changes nothing. Raises UnsupportedSchema or UndecodableRecord."""
        found = self._reader.read(partition[0], message)
        if found is None:
            return
        logged, header, envelope = found
        event = logged.event
        if has_key(event.source, event.id):
            self._model.remember(event, partition, header.offset, envelope.expected_version)
        self.merge.add(partition, (logged, header.offset))

    def flush(self) -> None:
        for event, inbox_offset in sorted(self.merge.ready(), key=time_order):
            self._model.logged(event, inbox_offset)

    def take_parked(self, partition: NamespacePartition, message: Message) -> None:
        record = parked_message(message)
        if record.value is None:
            return
        header, found = parked_header(record.headers), dict(record.headers)
        event_type, event_id, source = (
            (found.get(name) or b"").decode(errors="replace") for name in ("ce_type", "ce_id", "ce_source")
        )
        became = known_outcome(parked_outcome(header), event_type or None, header.key, event_id or None)
        self._model.set_aside(partition, record.offset, became)
        if header.status == PARKED and has_key(source, event_id):
            with suppress(StreamsError):  # kept by reference, or unreadable here: then its use of a key is not known
                envelope = self._envelopes.read(without_packed(record.headers))
                event = event_again(self._decoder.decode(record.value), envelope, header)
                self._model.remember(event, partition, header.offset, envelope.expected_version)
