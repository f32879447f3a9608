"""Restoring one partition: rows, parked queues, what is pending, known ids; to an end that no open transaction hides."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, KafkaError, KafkaException, Message, TopicPartition
from confluent_kafka.admin import AdminClient

from streams.engine import marker
from streams.engine.duplicates import Remembered
from streams.engine.engine import Engine
from streams.engine.envelope import VERSION_HEADER, due_header, log_header, parked_header, without_packed
from streams.engine.image import Image
from streams.engine.pending import pending_of
from streams.engine.records import PARKED, Due, Headers, SetAside
from streams.errors import NamespaceTaken, PartitionLost, SchemaNotFound, TopicMismatch
from streams.kafka.offsets import ends, starts
from streams.kafka.read import headers_of, read_to
from streams.kafka.topics import Names

SETTLE = 5.0
"""How long a group's committed offset may be ahead of the marker: a commit's control records arrive one by one."""


class Restored(NamedTuple):
    """`inbox_end` is where the inbox ended meanwhile: answers of gateways may lie before it."""

    image: Image
    inbox_end: int


@dataclass
class Progress:
    """Of one partition's restore, in records; read by others while it runs.

    `held`: an open transaction has sent the group's offset.
    """

    partition: int
    done: int = 0
    total: int = 0
    started: float = field(default_factory=time.monotonic)
    held: bool = False


@dataclass(frozen=True)
class Restorer:
    """`consumer` makes a read_committed consumer without a group that tells of partition ends.

    `learn` gives the engine's codec every schema that is published.
    """

    consumer: Callable[[], Consumer]
    admin: AdminClient
    names: Names
    group: str
    engine: Engine
    application: str
    topic_ids: dict[str, str]
    partitions: int
    learn: Callable[[], None]

    def restore(self, partition: int, cancelled: Callable[[], bool], progress: Progress) -> Restored:
        """Raises PartitionLost when cancelled, NamespaceTaken or TopicMismatch if this is not our table, BrokerError.

        Raises SchemaNotFound for a row or a request that only another version of the application reads.
        """
        deadline = time.monotonic() + SETTLE
        while True:
            # Before we look where the topics end, and once more afterwards: no transaction may be open in between.
            image = None if self._committed(partition) is None else self._image(partition, cancelled, progress)
            committed = None if image is None else self._committed(partition)
            progress.held = committed is None
            if image is None or committed is None:
                self._wait(cancelled)
                deadline = time.monotonic() + SETTLE
                continue
            if committed <= image.inbox_next:
                inbox = (self.names.inbox, partition)
                return Restored(image, ends(self.admin, [inbox])[inbox])
            if time.monotonic() > deadline:
                raise TopicMismatch(
                    f"the group {self.group} committed {self.names.inbox}-{partition}@{committed}, and the table's marker "
                    f"says {image.inbox_next}: events were handled by something that is not this namespace's worker. "
                    "Find it, and stop it; the table is right, so reset the group's offset to the marker's"
                )

    def _image(self, partition: int, cancelled: Callable[[], bool], progress: Progress) -> Image:
        try:
            return self._read(partition, cancelled, progress)
        except SchemaNotFound:  # written by a worker that was deployed after we started: its schemas are published
            self.learn()
            return self._read(partition, cancelled, progress)

    def _read(self, partition: int, cancelled: Callable[[], bool], progress: Progress) -> Image:
        names = self.names
        places = [(topic, partition) for topic in (names.table, names.parked, names.due, names.log)]
        end, start = ends(self.admin, places), starts(self.admin, [*places, (names.inbox, partition)])
        log = (names.log, partition)
        start[log] = max(start[log], end[log] - self.engine.limits.window)
        progress.done, progress.total = 0, sum(end[place] - start[place] for place in places)
        reading = Reading(self.engine, partition)
        take = {
            names.table: reading.row,
            names.parked: reading.parked,
            names.due: reading.due,
            names.log: reading.logged,
        }
        consumer = self.consumer()
        try:
            for message in read_to(consumer, {at: (start[at], end[at]) for at in places}, cancelled=cancelled):
                progress.done += 1
                take[message.topic() or ""](message)
        finally:
            consumer.close()
        if reading.marker is not None:
            self._check(reading.marker, partition)
        image = reading.image()
        self._check_positions(image, reading, start[names.inbox, partition])
        return image

    def _check_positions(self, image: Image, reading: Reading, inbox_start: int) -> None:
        if image.inbox_next < inbox_start:
            raise TopicMismatch(
                f"handling of {self.names.inbox}-{image.partition} should go on at offset {image.inbox_next}, and the "
                f"topic begins at {inbox_start}: events were deleted before they were handled. Look at its retention"
            )
        if reading.sequence > image.sequence:
            raise TopicMismatch(
                f"{self.names.log}-{image.partition} goes to sequence {reading.sequence}, and the table's marker to "
                f"{image.sequence}: the log was written by something that is not this namespace's worker"
            )

    def _check(self, last: marker.Marker, partition: int) -> None:
        where = f"{self.names.table}-{partition}"
        if last.application != self.application:
            raise NamespaceTaken(
                f"the namespace of {where} belongs to the application {last.application!r}; this is {self.application!r}. "
                "An event is handled in one way: give one of them another namespace or another RETOLD_PREFIX"
            )
        if last.partitions != self.partitions:
            raise TopicMismatch(
                f"{where} was written with {last.partitions} partitions and the topics have {self.partitions} now: "
                "keys would move between partitions. Partition counts are fixed"
            )
        for topic, topic_id in last.topic_ids.items():
            if self.topic_ids.get(topic, topic_id) != topic_id:
                raise TopicMismatch(
                    f"{topic} was deleted and made again since {where} was written (its id was {topic_id}, now "
                    f"{self.topic_ids[topic]}): offsets mean something else. Delete the namespace's other topics too, or restore"
                )

    @staticmethod
    def _wait(cancelled: Callable[[], bool]) -> None:
        if cancelled():
            raise PartitionLost("a restore was given up: its partition has moved")
        time.sleep(0.2)

    def _committed(self, partition: int) -> int | None:
        """The group's committed offset, or -1; it serves fencing and lag only, the marker says where handling starts.

        None while an open transaction has sent one: its records may not even be on the broker yet, if its worker was
        frozen before it flushed. It commits or times out before we go on (KIP-447).
        """
        asked = ConsumerGroupTopicPartitions(self.group, [TopicPartition(self.names.inbox, partition)])
        try:
            answer = self.admin.list_consumer_group_offsets([asked], require_stable=True)[self.group].result()
        except KafkaException as error:
            if error.args[0].code() == KafkaError.UNSTABLE_OFFSET_COMMIT:
                return None
            raise
        for at in answer.topic_partitions:
            if at.error is not None and at.error.code() == KafkaError.UNSTABLE_OFFSET_COMMIT:
                return None
        return max(int(at.offset) for at in answer.topic_partitions)


class Reading:
    """One partition's topics being read, in whatever order their records come in."""

    def __init__(self, engine: Engine, partition: int) -> None:
        self._engine, self._image = engine, engine.image(partition)
        self._aside: dict[int, SetAside] = {}
        self._pending: dict[str, tuple[bytes, Headers]] = {}
        self._remembered: dict[bytes, Remembered] = {}
        self.marker: marker.Marker | None = None
        self.sequence = 0

    def row(self, message: Message) -> None:
        key, value = message.key() or b"", message.value() or b""
        if key == marker.KEY:
            self.marker = marker.decode(value)
            return
        version = int(next((v for name, v in headers_of(message) if name == VERSION_HEADER), b"0"))
        row = self._engine.codec.decode_row(self._engine.row_type, value) if value else None
        self._image.rows[key.decode()] = (row, version)

    def parked(self, message: Message) -> None:
        """Queues in order; a record without a value takes an earlier one out."""
        offset, value, headers = int(message.key() or b"0"), message.value(), headers_of(message)
        if value is None:
            self._aside.pop(offset, None)
        else:
            self._aside[offset] = SetAside(offset, value, headers, parked_header(headers).key)

    def due(self, message: Message) -> None:
        """Timers and calls; a record without a value takes an earlier one out."""
        key, value, headers = (message.key() or b"").decode(), message.value(), headers_of(message)
        if value is None:
            self._pending.pop(key, None)
        else:
            self._pending[key] = (value, headers)

    def logged(self, message: Message) -> None:
        """What a duplicate is recognised by."""
        headers = headers_of(message)
        header = log_header(headers)
        self.sequence = header.sequence
        digest = self._digest(headers)
        if digest is not None:
            self._remembered[digest] = (header.sequence, hash(message.value()), header.outcome)

    def image(self) -> Image:
        image, last = self._image, self.marker
        if last is not None:
            image.sequence, image.recorded, image.inbox_next = last.last, last.recorded, last.inbox_next
            image.counters = last.counters
        image.window.add(self._remembered)
        for key, (value, headers) in self._pending.items():
            pending = pending_of(self._engine, key, value, without_packed(headers), due_header(headers))
            if isinstance(pending, Due):
                image.due.add(pending)
            else:
                image.calls.add(pending)
        for record in sorted(self._aside.values(), key=lambda it: it.offset):  # compaction keeps the last copy's place
            image.set_aside(record)
            parked = record.entity is not None and parked_header(record.headers).status == PARKED
            digest = self._digest(record.headers) if parked else None
            if digest is not None:
                image.parked_ids[digest] = hash(record.value)
        return image

    def _digest(self, headers: Headers) -> bytes | None:
        return self._engine.envelopes.read(without_packed(headers)).digest
