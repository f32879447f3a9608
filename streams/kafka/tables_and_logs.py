"""Reading tables and event logs directly from Kafka, without a worker."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from confluent_kafka import Consumer, KafkaException, Message, TopicPartition, murmur2
from msgspec.structs import replace

from streams.codec import AvroCodec
from streams.data import Record
from streams.engine import marker
from streams.engine.generations import BuiltTo, RowsThere, counts, rows_to
from streams.errors import BrokerError, TopicMismatch
from streams.kafka.cancellable_steps import Cancelled, never_cancelled
from streams.kafka.clients import OVERDUE, TRANSACTION, Clients
from streams.kafka.messages import LogEntry, LogEvent, LogReader, StoredRow, log_entry, table_record, topic_partition_of
from streams.kafka.offsets import TopicAndPartition, stable_ends, starts
from streams.kafka.renewed_client import Admin
from streams.kafka.schemas_topic import LearningCodec
from streams.kafka.topic_contents import Spans, read_spans, read_whole
from streams.kafka.topics import TopicNames, describe, topic_names
from streams.namespace import FIRST

R = TypeVar("R", bound=Record)
OPEN_TRANSACTION = TRANSACTION + OVERDUE
"""s that reading to an end waits for a dead worker's transaction, which the broker aborts after its timeout."""


@dataclass(frozen=True)
class TableState(Generic[R]):
    """`rows` has (row, version) by key; `positions` has each partition's marker, whose `last` is the position of these rows.

    `there` says of each partition whether there are any of their generation.
    """

    rows: Mapping[str, tuple[R, int]]
    positions: Mapping[int, marker.Marker]
    there: Mapping[int, RowsThere]


def partitions_of(admin: Admin, topic: str, cancelled: Cancelled = never_cancelled) -> int:
    """How many partitions a topic has. Raises TopicMismatch if it is missing."""
    found = describe(admin, [topic], cancelled=cancelled)
    if topic not in found:
        raise TopicMismatch(f"the topic {topic} is missing: start a worker, or make it with `retold topics --create`")
    return found[topic].partitions


def _keep(stored: dict[str, StoredRow], record: StoredRow) -> None:
    if not record.value and not record.version:  # its generation was dropped
        stored.pop(record.key, None)
        return
    known = stored.get(record.key)
    if counts(record.version, 0 if known is None else known.version, built=record.built):
        stored[record.key] = record


def read_table(
    clients: Clients, prefix: str, namespace: str, codec: AvroCodec, row_type: type[R], key: str | None = None,
    generation: int = FIRST,
) -> TableState[R]:  # fmt: skip
    """The rows that are committed when it is called; with `key`, that row alone, and only its partition is read.

    Raises BrokerError if a transaction stays open for 25 s, TopicMismatch if there is no such table.
    """
    topic = topic_names(prefix, namespace).table
    count = partitions_of(clients.admin(), topic)
    chosen = range(count) if key is None else [murmur2(key.encode(), count)]
    partitions = [(topic, partition) for partition in chosen]
    learning = LearningCodec(codec, clients, prefix)
    stored: dict[str, StoredRow] = {}
    positions: dict[int, marker.Marker] = {}
    built: dict[int, BuiltTo] = {}
    there = {partition: RowsThere(of=generation) for partition in chosen}
    for message in read_whole(clients, "retold-table", partitions, timeout=OPEN_TRANSACTION):
        record, at = table_record(message), message.partition() or 0
        if isinstance(record, marker.Marker):
            positions[at], there[at] = record, there[at].behind(record)
        elif isinstance(record, BuiltTo):
            built |= {at: record} if record.generation == generation else {}
            there[at] = there[at].behind(record)
        elif record.generation == generation and key in (None, record.key):
            _keep(stored, record)
    # Decoded once a key and not once a record: a table holds old versions until Kafka compacts it.
    rows = {
        name: (learning.decode_row(row_type, record.value), record.version)
        for name, record in stored.items()
        if record.value
    }
    reached = {at: replace(last, last=rows_to(last, built.get(at), generation)) for at, last in positions.items()}
    return TableState(rows, reached, there)


class Tail:
    """Follows the event logs of some namespaces: records in order per partition, the past of several merged by time.

    Its start offsets are taken when it is made, so nothing committed after that is missed. Used by one thread.
    """

    def __init__(
        self,
        clients: Clients,
        prefix: str,
        namespaces: Iterable[str],
        codec: AvroCodec,
        *,
        types: Iterable[str] = (),
    ) -> None:
        """`types` are names of events to show; without any, all are shown."""
        self._clients, self._prefix, self._types = clients, prefix, frozenset(types)
        self._admin = clients.admin()
        self._logs: dict[str, TopicNames] = {topics.log: topics for topics in (topic_names(prefix, name) for name in namespaces)}
        self._reader = LogReader(LearningCodec(codec, clients, prefix))
        self._partitions = [
            (log, partition) for log in self._logs for partition in range(partitions_of(self._admin, log))
        ]
        self._now = stable_ends(self._admin, self._partitions)

    def beginning(self) -> Iterator[LogEvent]:
        """All that was committed when this was made, in order per partition."""
        first = starts(self._admin, self._partitions)
        return self._read({partition: (first[partition], self._now[partition]) for partition in self._partitions})

    def entries(self) -> Iterator[LogEntry]:
        """The same without the events, which `decoded` gives: the headers say what most counts need, in a fraction of the time."""
        first = starts(self._admin, self._partitions)
        spans = {partition: (first[partition], self._now[partition]) for partition in self._partitions}
        for message in self._messages(spans):
            if message.value() is not None:  # else it is an operator's tombstone
                yield log_entry(self._namespace_of(message), message)

    def decoded(self, entry: LogEntry) -> LogEvent:
        """Raises as `LogReader.event`."""
        event = self._reader.event(entry.namespace, entry.message)
        assert event is not None, "an entry is no tombstone"
        return event

    def last(self, count: int) -> list[LogEvent]:
        """The last `count` of them by recorded time, over all partitions."""
        if count <= 0:
            return []
        first = starts(self._admin, self._partitions)
        found: dict[TopicAndPartition, list[LogEvent]] = {}
        left, width = set(self._partitions), max(200, 4 * count)
        while left:
            spans = {partition: (max(first[partition], self._now[partition] - width), self._now[partition]) for partition in left}
            found |= {partition: [] for partition in left}
            for event in self._read(spans):
                found[topic_names(self._prefix, event.namespace).log, event.partition].append(event)
            left = {partition for partition in left if len(found[partition]) < count and spans[partition][0] > first[partition]}
            width *= 8
        merged = [event for events in found.values() for event in events]
        merged.sort(key=lambda event: (event.recorded, event.namespace, event.partition, event.sequence))
        return merged[-count:]

    def follow(self, stopped: Callable[[], bool]) -> Iterator[LogEvent]:
        """What is committed from then on, until `stopped()`, which is called five times a second."""
        consumer = self._clients.consumer("retold-tail", partition_eof=False)
        try:
            consumer.assign([TopicPartition(*partition, self._now[partition]) for partition in self._partitions])
            while not stopped():
                yield from self._shown(_records(consumer))
        finally:
            consumer.close()

    def _read(self, spans: Spans) -> Iterator[LogEvent]:
        return self._shown(self._messages(spans))

    def _messages(self, spans: Spans) -> Iterator[Message]:
        messages = read_spans(self._clients, "retold-tail", spans, timeout=OPEN_TRANSACTION)
        return (each for each in messages if (each.offset() or 0) < self._now[topic_partition_of(each)])

    def _namespace_of(self, message: Message) -> str:
        return self._logs[message.topic() or ""].namespace

    def _shown(self, messages: Iterable[Message]) -> Iterator[LogEvent]:
        for message in messages:
            event = self._reader.event(self._namespace_of(message), message)
            if event is not None and (not self._types or event.event.data.event_type in self._types):
                yield event


def _records(consumer: Consumer) -> Iterator[Message]:
    message = consumer.poll(0.2)
    if message is None:
        return
    error = message.error()
    if error is None:
        yield message
    elif not error.retriable():
        raise BrokerError(f"following {message.topic()} failed: {error.str()}") from KafkaException(error)
