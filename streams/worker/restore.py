"""Restoring one partition: its rows, its parked queues and the ids it knows, to an end that no open transaction hides (rule 1)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, Message, TopicPartition
from confluent_kafka.admin import AdminClient

from streams.engine import marker
from streams.engine.engine import Engine
from streams.engine.envelope import VERSION_HEADER, log_header, parked_header, without_packed
from streams.engine.identity import fingerprint_of
from streams.engine.image import Image
from streams.engine.records import SetAside
from streams.errors import NamespaceTaken, TopicMismatch
from streams.kafka.read import ends, headers_of, read_to, starts
from streams.kafka.topics import Names

SETTLE = 15.0
"""How long a group's committed offset may be ahead of the marker: a commit's control records arrive one by one."""


@dataclass
class Progress:
    """Of one partition's restore, in records; read by others while it runs."""

    partition: int
    done: int = 0
    total: int = 0
    started: float = field(default_factory=time.monotonic)


@dataclass(frozen=True)
class Restorer:
    """`consumer` makes a read_committed consumer without a group that tells of partition ends."""

    consumer: Callable[[], Consumer]
    admin: AdminClient
    names: Names
    group: str
    engine: Engine
    application: str
    topic_ids: dict[str, str]
    partitions: int

    def restore(self, partition: int, cancelled: Callable[[], bool], progress: Progress) -> Image:
        """Raises PartitionLost when cancelled, NamespaceTaken or TopicMismatch if this is not our table, BrokerError."""
        deadline = time.monotonic() + SETTLE
        while True:
            image = self._read(partition, cancelled, progress)
            committed = self._committed(partition)
            if committed <= image.inbox_next:
                return image
            if time.monotonic() > deadline:
                raise TopicMismatch(
                    f"the group {self.group} committed {self.names.inbox}-{partition}@{committed}, and the table's marker "
                    f"says {image.inbox_next}: events were handled by something that is not this namespace's worker. "
                    "Find it, and stop it; the table is right, so reset the group's offset to the marker's"
                )

    def _read(self, partition: int, cancelled: Callable[[], bool], progress: Progress) -> Image:
        names = self.names
        places = [(topic, partition) for topic in (names.table, names.parked, names.log)]
        end, start = ends(self.admin, places), starts(self.admin, [*places, (names.inbox, partition)])
        tail = max(start[names.log, partition], end[names.log, partition] - self.engine.limits.window)
        first = {**start, (names.log, partition): tail}
        progress.done, progress.total = 0, sum(end[place] - first[place] for place in places)
        image = self.engine.image(partition)
        consumer = self.consumer()

        def records(topic: str) -> Iterator[Message]:
            place = (topic, partition)
            for message in read_to(consumer, topic, partition, first[place], end[place], cancelled=cancelled):
                progress.done += 1
                yield message

        try:
            self._rows(image, records(names.table), start[names.inbox, partition])
            self._parked(image, records(names.parked))
            self._ids(image, records(names.log))
        finally:
            consumer.close()
        return image

    def _rows(self, image: Image, records: Iterator[Message], inbox_start: int) -> None:
        engine, last = self.engine, None
        for message in records:
            key, value = message.key() or b"", message.value() or b""
            if key == marker.KEY:
                last = marker.decode(value)
                continue
            version = int(next((v for name, v in headers_of(message) if name == VERSION_HEADER), b"0"))
            row = engine.codec.decode_row(engine.row_type, value) if value else None
            image.rows[key.decode()] = (row, version)
        if last is not None:
            self._check(last, image.partition)
            image.sequence, image.recorded, image.inbox_next = last.last, last.recorded, last.inbox_next
            image.counters = last.counters
        if image.inbox_next < inbox_start:
            raise TopicMismatch(
                f"handling of {self.names.inbox}-{image.partition} should go on at offset {image.inbox_next}, and the topic "
                f"begins at {inbox_start}: events were deleted before they were handled. Look at its retention settings"
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

    def _parked(self, image: Image, records: Iterator[Message]) -> None:
        """The queues in order; a record without a value takes an earlier one out."""
        kept: dict[int, SetAside] = {}
        for message in records:
            offset, value, headers = int(message.key() or b"0"), message.value(), headers_of(message)
            if value is None:
                kept.pop(offset, None)
            else:
                kept[offset] = SetAside(offset, value, headers, parked_header(headers).key)
        for record in kept.values():
            image.set_aside(record)
            if record.entity is not None:
                envelope = self.engine.envelopes.read(without_packed(record.headers))
                if envelope.id is not None:
                    image.parked_ids[fingerprint_of(envelope.source, envelope.id)] = hash(record.value)

    def _ids(self, image: Image, records: Iterator[Message]) -> None:
        """Of the log's tail: what a duplicate is recognised by."""
        remembered, sequence = {}, 0
        for message in records:
            headers = headers_of(message)
            header = log_header(headers)
            sequence = header.sequence
            envelope = self.engine.envelopes.read(without_packed(headers))
            if envelope.id is not None:
                digest = fingerprint_of(envelope.source, envelope.id)
                remembered[digest] = (header.sequence, hash(message.value()), header.outcome)
        image.window.add(remembered)
        if sequence > image.sequence:
            raise TopicMismatch(
                f"{self.names.log}-{image.partition} goes to sequence {sequence}, and the table's marker to {image.sequence}: "
                "the log was written by something that is not this namespace's worker"
            )

    def _committed(self, partition: int) -> int:
        """The group's committed offset, or -1; it serves fencing and lag only, the marker says where handling starts."""
        asked = ConsumerGroupTopicPartitions(self.group, [TopicPartition(self.names.inbox, partition)])
        answer = self.admin.list_consumer_group_offsets([asked])[self.group].result()
        return max(int(at.offset) for at in answer.topic_partitions)
