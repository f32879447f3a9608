"""One Kafka transaction: log, emissions, rows, marker and inbox offsets are committed together, or not at all (law 2)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any

from confluent_kafka import TopicPartition

from streams.engine import marker
from streams.engine.changes import Changes, PendingCall, PendingTimer
from streams.engine.envelope import version_header
from streams.engine.generations import row_key
from streams.engine.image import Image
from streams.engine.records import DuplicateRecord
from streams.engine.stored import due_record, log_records, parked_record
from streams.kafka.producer import UNFINISHED, TransactionalProducer
from streams.kafka.topics import TopicNames

PARTITION_BY_KEY = -1
"""The partitioner chooses, however many partitions the other namespace has."""


@dataclass(frozen=True)
class Destination:
    """Topics of one namespace, and what its markers say about the writer."""

    topics: TopicNames
    inbox_of: Callable[[str], str]
    application: str
    topic_ids: Mapping[str, str]
    partitions: int
    transactional_id: str


class TransactionWriter:
    """Writes the transactions of one namespace."""

    def __init__(self, producer: TransactionalProducer, to: Destination) -> None:
        self.producer, self._to = producer, to
        self._sent: dict[int, tuple[int, int]] = {}

    def stream(self, changes: Changes) -> None:
        """Produce the log records and emissions that `changes` has by now, so that they are sent while handling continues.

        Begins the transaction. What it raises must be passed to the producer's `give_up`, as the transaction may not be
        committed then.
        """
        self._begin()
        results, emitted = self._sent.get(changes.partition, (0, 0))
        self._sent[changes.partition] = len(changes.results), len(changes.emitted)
        if logged := list(log_records(changes.results[results:])):
            self.producer.put_all(self._to.topics.log, changes.partition, logged)
        put = self.producer.put
        for record in changes.emitted[emitted:]:
            put(self._to.inbox_of(record.namespace), record.value, record.key, PARTITION_BY_KEY, record.headers)

    def write(self, parts: Iterable[Changes], metadata: Any, before: Mapping[int, Image]) -> None:
        """Commit the changes of some partitions. `metadata` is the group metadata taken with the batch (rule 4).

        `before` has each partition's image, whose counters the marker continues. Raises TransactionAborted or
        ProducerLost.
        """
        offsets = []
        try:
            self._begin()
            for changes in parts:
                self.stream(changes)
                self._produce(changes, before[changes.partition])
                offsets.append(TopicPartition(self._to.topics.inbox, changes.partition, changes.inbox_next))
        except UNFINISHED as error:
            self.producer.give_up(error)
        self.producer.commit(offsets, metadata)

    def _begin(self) -> None:
        if self.producer.begin():
            self._sent.clear()

    def _produce(self, changes: Changes, image: Image) -> None:
        """Produce everything that was not streamed. The marker is the transaction's first record in its table partition."""
        topics, partition, put = self._to.topics, changes.partition, self.producer.put
        put(topics.table, self._marker(changes, image), marker.KEY, partition, None)
        generation = image.rows_generation
        unwritten = ((name, value, version) for name, (value, version) in image.unwritten.items() if name not in changes.rows)
        new = ((name, value, changes.rows[name][1]) for name, value in changes.row_bytes.items())
        rows = ((row_key(name, generation), value, [version_header(version)]) for name, value, version in chain(unwritten, new))
        self.producer.put_all(topics.table, partition, rows)
        for record in changes.set_aside:
            key, value, headers = parked_record(record)
            put(topics.parked, value, key, partition, headers)
        for position in changes.unparked:
            put(topics.parked, None, str(position).encode(), partition, None)
        pendings: list[PendingTimer | PendingCall] = [*changes.due, *changes.calls.values()]
        for pending in pendings:
            key, value, headers = due_record(topics.namespace, pending)
            put(topics.due, value, key, partition, headers)
        for settled in changes.settled:
            put(topics.due, None, settled.encode(), partition, None)

    def _marker(self, changes: Changes, image: Image) -> bytes:
        calls, timers = image.pending_after(changes)
        code, code_since = image.code_after()
        return marker.encode(
            marker.Marker(
                first=image.sequence + 1,
                last=changes.sequence,
                inbox_next=changes.inbox_next,
                recorded=changes.recorded,
                application=self._to.application,
                topic_ids=dict(self._to.topic_ids),
                partitions=self._to.partitions,
                transactional_id=self._to.transactional_id,
                counters=image.counters.plus(changes.counters),
                duplicates=[DuplicateRecord(it.offset, it.sequence, it.outcome) for it in changes.duplicates],
                calls=calls,
                timers=timers,
                producers_replaced=self.producer.replaced,
                imports=image.imports if changes.imports is None else changes.imports,
                generation=image.rows_generation,
                complete=image.complete_after(),
                corrections=image.corrections_after(),
                code=code,
                code_since=code_since,
                dropped=sorted(image.dropped if changes.dropped is None else changes.dropped),
            )
        )
