"""One Kafka transaction: log, emissions, rows, marker and inbox offsets become true together, or not at all (law 2).

The rules are those of docs/correctness: what each error inside a transaction means, and that nothing of a transaction in
doubt is ever undone locally.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NoReturn

from confluent_kafka import KafkaError, KafkaException, Producer, TopicPartition

from streams.engine import marker
from streams.engine.envelope import VERSION_HEADER
from streams.engine.image import Image
from streams.engine.pending import due_record
from streams.engine.records import Call, Changes, Due
from streams.errors import StreamsError
from streams.kafka.topics import Names

POISON = {KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.INVALID_RECORD}
FENCED = {KafkaError._FENCED, KafkaError.INVALID_PRODUCER_EPOCH, KafkaError.PRODUCER_FENCED}
SILENT = {KafkaError._TIMED_OUT, KafkaError._MSG_TIMED_OUT, KafkaError._TIMED_OUT_QUEUE, KafkaError._TRANSPORT}
PARTITION_BY_KEY = -1
"""The partitioner decides, however many partitions the other namespace has."""


class TransactionAborted(StreamsError):
    """Nothing of it happened. `poison`: the broker or the client refused a record for its size or shape, and only that.

    `stale`: no broker was heard. Such a producer may not find its coordinator again, ever: `open` another one (rule 35).
    """

    def __init__(self, message: str, *, poison: bool = False, stale: bool = False) -> None:
        super().__init__(message)
        self.poison, self.stale = poison, stale


class ProducerLost(StreamsError):
    """The producer is of no use any more and what happened is unknown: drop the images, make a new one, restore.

    `fenced`: another producer with the same transactional id took over, or the transaction outlived its time-out.
    """

    def __init__(self, message: str, *, fenced: bool, age: float) -> None:
        super().__init__(message)
        self.fenced, self.age = fenced, age


@dataclass(frozen=True)
class Destination:
    """Topics of one namespace, and what its markers say of the writer."""

    topics: Names
    inbox_of: Callable[[str], str]
    application: str
    topic_ids: Mapping[str, str]
    partitions: int
    transactional_id: str


class Transactions:
    """`make` builds a transactional producer, given the callback for failed deliveries; `timeout` in s."""

    def __init__(
        self, make: Callable[[Callable[..., None]], Producer], to: Destination, *, timeout: float = 10.0
    ) -> None:
        self._make, self._to, self._timeout = make, to, timeout
        self._failures: list[KafkaError] = []
        self._producer: Producer | None = None
        self._started = 0.0
        self._open = False
        self._sent: dict[int, tuple[int, int]] = {}

    def open(self) -> None:
        """Get a producer ready. It fences any other with the same transactional id and ends what that one left open."""
        self._producer, self._open = self._make(self._on_delivery), False
        deadline = time.monotonic() + 3 * self._timeout
        self._call(self._producer.init_transactions, deadline)

    def close(self) -> None:
        """A transaction left open would hide what others commit behind it until it times out: it is aborted."""
        if self._producer is not None and self._open:
            with suppress(KafkaException):
                self._producer.abort_transaction(5.0)
        self._producer = None

    def stream(self, changes: Changes) -> None:
        """Hand over what `changes` has by now for the log and the inboxes, so that it travels while handling goes on.

        Begins the transaction. Whatever it raises must reach `give_up`: the transaction may not be committed then.
        """
        producer = self._begun()
        log, emitted = self._sent.get(changes.partition, (0, 0))
        self._sent[changes.partition] = len(changes.log), len(changes.emitted)
        for key, value, headers in changes.log[log:]:
            self._put(producer, self._to.topics.log, value, key, changes.partition, headers)
        for record in changes.emitted[emitted:]:
            topic = self._to.inbox_of(record.namespace)
            self._put(producer, topic, record.value, record.key, PARTITION_BY_KEY, record.headers)

    def write(self, parts: Iterable[Changes], metadata: Any, before: Mapping[int, Image]) -> None:
        """Commit the changes of some partitions. `metadata` is what was captured with the batch (rule 4).

        `before` has each partition's image, whose counters the marker continues. Raises TransactionAborted or
        ProducerLost.
        """
        try:
            producer = self._begun()
            deadline = self._started + self._timeout * 0.9
            offsets = []
            for changes in parts:
                self.stream(changes)
                self._produce(producer, changes, before[changes.partition])
                offsets.append(TopicPartition(self._to.topics.inbox, changes.partition, changes.inbox_next))
            self._call(lambda wait: producer.send_offsets_to_transaction(offsets, metadata, wait), deadline)
        except (KafkaException, BufferError, ValueError, TypeError) as error:
            self.give_up(error)
        try:
            self._call(producer.commit_transaction, deadline)
        except KafkaException as error:
            if error.args[0].txn_requires_abort():
                self.give_up(error)
            raise self._lost(error) from error
        self._open = False

    def give_up(self, error: BaseException) -> NoReturn:
        """Abort what was begun, for `error`. Raises TransactionAborted, or ProducerLost if even that fails."""
        producer = self._producer
        assert producer is not None, "open() comes first"
        if isinstance(error, KafkaException) and error.args[0].fatal():
            raise self._lost(error) from error
        try:
            if self._open:
                self._call(producer.abort_transaction, time.monotonic() + self._timeout)
        except KafkaException as second:
            raise self._lost(second) from error
        self._open = False
        codes = {failure.code() for failure in self._failures} - {KafkaError._PURGE_QUEUE, KafkaError._PURGE_INFLIGHT}
        if isinstance(error, KafkaException) and not codes:
            codes = {error.args[0].code()}
        causes = "; ".join(sorted({failure.str() for failure in self._failures})) or str(error)
        raise TransactionAborted(
            f"a transaction of {self._to.topics.inbox} was aborted and is tried again: {causes}",
            poison=bool(codes) and codes <= POISON,
            stale=isinstance(error, BufferError) or (bool(codes) and codes <= SILENT),
        ) from error

    def _begun(self) -> Producer:
        producer = self._producer
        assert producer is not None, "open() comes first"
        if not self._open:
            self._failures.clear()
            self._sent.clear()
            self._started = time.monotonic()
            producer.begin_transaction()
            self._open = True
        return producer

    def _produce(self, producer: Producer, changes: Changes, image: Image) -> None:
        """All but what was streamed. The marker is the first record of the transaction in its table partition."""
        topics, partition = self._to.topics, changes.partition
        self._put(producer, topics.table, self._marker(changes, image), marker.KEY, partition, None)
        for name, value in changes.row_bytes.items():
            version = [(VERSION_HEADER, b"%d" % changes.rows[name][1])]
            self._put(producer, topics.table, value, name.encode(), partition, version)
        for record in changes.set_aside:
            self._put(producer, topics.parked, record.value, b"%d" % record.offset, partition, record.headers)
        for offset in changes.unparked:
            self._put(producer, topics.parked, None, b"%d" % offset, partition, None)
        pendings: list[Due | Call] = [*changes.due, *changes.calls.values()]
        for pending in pendings:
            key, value, headers = due_record(topics.namespace, pending)
            self._put(producer, topics.due, value, key, partition, headers)
        for settled in changes.settled:
            self._put(producer, topics.due, None, settled.encode(), partition, None)

    def _put(
        self, producer: Producer, topic: str, value: bytes | None, key: bytes, partition: int, headers: Any
    ) -> None:
        while True:
            try:
                return producer.produce(topic, value, key, partition, headers=headers)
            except BufferError:
                self._make_room(producer)

    def _make_room(self, producer: Producer) -> None:
        if time.monotonic() - self._started > self._timeout * 0.9:
            raise BufferError("the producer's queue stayed full")
        producer.poll(0.05)

    def _marker(self, changes: Changes, image: Image) -> bytes:
        calls, timers = image.pending_after(changes)
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
                duplicates=[(it.offset, it.sequence, it.outcome) for it in changes.duplicates],
                calls=calls,
                timers=timers,
            )
        )

    def _on_delivery(self, error: KafkaError | None, _message: Any) -> None:
        if error is not None and len(self._failures) < 100:
            self._failures.append(error)

    def _call(self, call: Callable[[float], Any], deadline: float) -> None:
        """Again while the client says that this helps: a commit whose answer was lost is asked for again too."""
        while True:
            try:
                call(max(0.1, deadline - time.monotonic()))
            except KafkaException as error:
                if not error.args[0].retriable() or time.monotonic() >= deadline:
                    raise
            else:
                return

    def _lost(self, error: KafkaException) -> ProducerLost:
        self._producer = None
        age = time.monotonic() - self._started
        fenced = error.args[0].code() in FENCED
        return ProducerLost(
            f"the producer {self._to.transactional_id} was lost: {error.args[0].str()}", fenced=fenced, age=age
        )
