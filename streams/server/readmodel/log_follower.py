"""Reads records of event logs, parked and due topics into the file."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from confluent_kafka import Message

from streams.codec import PREFIX
from streams.data import EventData
from streams.engine.control import PREFIX as CONTROL
from streams.engine.envelope import parked_header, sequence_of
from streams.engine.identity import short_fingerprint
from streams.engine.records import Headers
from streams.engine.step import CorrectionStep, step_type
from streams.errors import UndecodableRecord
from streams.event import Event
from streams.history.recorded_event import NamespacePartition
from streams.history.stored.kept_headers import packed
from streams.kafka.bounded_read import headers_of
from streams.kafka.messages import LogReader, SchemaDecoder, due_message, parked_message
from streams.server.readmodel.log_record import LogRecord, is_accepted, log_record
from streams.server.readmodel.merge import ArrivedRecord, LogMerger
from streams.server.readmodel.store_writer import StoreWriter


def cause_of(headers: Headers) -> int | None:
    """64 bits of the reference of the cause that headers name."""
    found = dict(headers)
    cause, source = ((found.get(name) or b"").decode(errors="replace") for name in ("ce_causationid", "ce_causationsource"))
    return short_fingerprint(source, cause) if cause else None


class LogFollower:
    """Follows all logs: past events merged by time, then new ones as they arrive."""

    def __init__(self, writer: StoreWriter, decoder: SchemaDecoder, partitions: Sequence[NamespacePartition]) -> None:
        self.merge = LogMerger(partitions)
        self._writer, self._decoder = writer, decoder
        self._reader = LogReader(decoder)
        self._types: dict[bytes, type[EventData]] = {}
        """The class by the schema that wrote it: only the first record of each is decoded, and what projections fold."""
        self._erased: set[tuple[str, int, int]] = set()
        self._folded, self._in_order = writer.folded_types, writer.in_order
        self._records: list[LogRecord] = []
        self._ends: dict[NamespacePartition, tuple[int, LogRecord]] = {}
        """Where nothing is folded or left out, the records that have come, and the last of each partition with its offset: their
        order says nothing."""
        if not self._in_order:
            for partition in partitions:
                self.merge.ended(partition)

    def take(self, partition: NamespacePartition, message: Message) -> None:
        """Take a log record, or a tombstone, by which an operator erases one. Raises UnsupportedSchema or UndecodableRecord."""
        value = message.value()
        if value is None:
            with suppress(UndecodableRecord):  # of no record that a worker wrote
                name = message.key() or b""
                self._erase(partition, sequence_of(name), name.rpartition(b"@")[0].decode(errors="replace"))
            return
        is_step = value[:1] == CONTROL  # a correction's, which has no schema of its own
        if is_step:
            self._writer.note_correction()
        of = CorrectionStep if is_step else self._types.get(value[:PREFIX])
        if of is None:
            of = self._types[value[:PREFIX]] = type(self._decoder.decode(value))
            schema_id = int.from_bytes(value[1:PREFIX], "big")
            self._writer.put_schema(schema_id, self._decoder.schema_text(schema_id))
        namespace, number = partition
        record = log_record(message, namespace, step_type(namespace) if is_step else of.event_type, value)
        if not self._in_order:
            self._records.append(record)
            self._ends[partition] = message.offset() or 0, record
            return
        event: Event[Any] | None = None
        if of in self._folded and is_accepted(record):
            logged = self._reader.event(namespace, message)
            event = None if logged is None else logged.event
        self.merge.add(partition, (record[0], namespace, number, record[3], message.offset() or 0, record, event))

    def _erase(self, partition: NamespacePartition, sequence: int, key: str) -> None:
        """Also of a record that still waits for earlier ones. What a projection has made of it stays."""
        self._erased.add((*partition, sequence))
        self._writer.erase_record(*partition, sequence, key)

    def flush(self) -> None:
        """Give what is in order of time."""
        if not self._in_order:
            self._writer.put_records(self._records)
            for partition, (offset, record) in self._ends.items():
                self._writer.reached(("log", *partition), offset + 1, record[3], record[0])
            self._records, self._ends = [], {}
            return
        ready, ends = self.merge.ready()
        kept = self._without_erased(ready) if self._erased else ready
        for _, namespace, part, sequence, _, _, event in kept:
            if event is not None:
                self._writer.fold(event, f"{namespace}-{part}:{sequence}")
        self._writer.put_records([record for *_, record, _ in kept])
        for recorded, namespace, part, sequence, offset, _, _ in ends:
            self._writer.reached(("log", namespace, part), offset + 1, sequence, recorded)

    def _without_erased(self, ready: Sequence[ArrivedRecord]) -> Sequence[ArrivedRecord]:
        for it in ready:
            if it[1:4] in self._erased:
                self._writer.note_erased(it[5])
        return [it for it in ready if it[1:4] not in self._erased]

    def take_parked(self, partition: NamespacePartition, message: Message) -> None:
        """Take a record of the parked topic. Raises UndecodableRecord."""
        record = parked_message(message)
        if record.value is None:
            self._writer.drop_aside(*partition, str(record.position))
        else:
            header, found = parked_header(record.headers), dict(record.headers)
            event_type, event_id, source = (
                (found.get(name) or b"").decode(errors="replace") for name in ("ce_type", "ce_id", "ce_source")
            )
            event_id = event_id or header.id or ""
            self._writer.put_aside((
                *partition, str(record.position), record.offset, header.status, header.recorded, header.key, event_type or None,
                event_id or None,
                short_fingerprint(source, event_id) if event_id else None, cause_of(record.headers), header.reason, record.value,
                packed(record.headers),
            ))  # fmt: skip
        self._writer.reached(("parked", *partition), (message.offset() or 0) + 1)

    def take_due(self, partition: NamespacePartition, message: Message) -> None:
        """Take a record of the due topic. Raises UndecodableRecord."""
        name, header = due_message(message)
        if header is None:
            self._writer.drop_due(*partition, name)
        else:
            headers = headers_of(message)
            self._writer.put_due((
                *partition, name, header.kind, header.at, header.namespace, header.key, cause_of(headers), message.value(),
                packed(headers),
            ))  # fmt: skip
        self._writer.reached(("due", *partition), (message.offset() or 0) + 1)
