"""One Kafka transaction: log, emissions, rows, marker and inbox offsets are committed together, or not at all (law 2)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any

from confluent_kafka import TopicPartition

from streams.engine import marker
from streams.engine.changes import Changes
from streams.engine.envelope import version_header
from streams.engine.generations import row_key
from streams.engine.image import Image
from streams.engine.records import DuplicateRecord
from streams.engine.stored import call_records, due_record, log_records, parked_record
from streams.kafka.producer import BY_KEY, UNFINISHED, TransactionalProducer
from streams.kafka.topics import TopicNames
from streams.kafka.written_partitions import Keyed


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
        inboxes = defaultdict[str, list[Keyed]](list)
        for it in changes.emitted[emitted:]:
            inboxes[it.namespace].append(it[1:])
        for namespace, records in inboxes.items():
            self.producer.put_all(self._to.inbox_of(namespace), BY_KEY, records)

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
        if changes.due or changes.calls or changes.settled:
            self.producer.put_all(topics.due, partition, _due_records(topics.namespace, changes))

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


def _due_records(namespace: str, changes: Changes) -> Iterator[Keyed]:
    """What begins to wait, and then an end of what does not wait any more."""
    for timer in changes.due:
        yield due_record(namespace, timer)
    yield from call_records(namespace, changes.calls)
    for settled in changes.settled:
        yield settled.encode(), None, None
