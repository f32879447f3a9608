"""Restores one partition: rows, parked queues, timers and calls, duplicate window; up to ends that no open transaction hides."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import NamedTuple

import structlog
from confluent_kafka import Consumer, Message

from streams.engine import marker
from streams.engine.changes import PendingTimer, SetAsideRecord
from streams.engine.engine import Engine
from streams.engine.envelope import due_header, without_packed
from streams.engine.image import Image
from streams.engine.records import PARKED, Headers, QueuePosition
from streams.engine.stored import pending_of, set_aside_of
from streams.errors import NamespaceTaken, TopicMismatch, UnsupportedSchema
from streams.kafka.bounded_read import headers_of, polls
from streams.kafka.cancellable_steps import Cancelled, Steps
from streams.kafka.committed import CommittedOffsets
from streams.kafka.messages import parked_message, table_record
from streams.kafka.offsets import TopicAndPartition, ends, stable_ends, starts
from streams.kafka.renewed_client import Admin
from streams.kafka.topics import TopicNames, after_recreation, after_repartition
from streams.worker.log_tail import LogTail

log = structlog.get_logger("retold.worker")

FARTHEST = 8
"""The next part of a log is at most this many times as wide as the last one."""

SETTLE, PAUSE = 5.0, 0.2
"""s that a group's committed offset may be ahead of the marker, since a commit's control records arrive one by one; and s
between two attempts."""


class RestoredImage(NamedTuple):
    """`inbox_end` is the inbox's end at that time: answers of gateways may lie before it."""

    image: Image
    inbox_end: int


@dataclass
class RestoreProgress:
    """The progress of one partition's restore, in records; other threads read it.

    `held`: it waits for an open transaction that has sent the group's offset.
    """

    partition: int
    done: int = 0
    total: int = 0
    held: bool = False

    def hold(self, held: bool) -> None:
        self.held = held


@dataclass(frozen=True)
class Restorer:
    """`consumer` makes a read_committed consumer without a group that reports ends of partitions.

    The `committed` offsets are only compared: the marker says where handling starts. `learn` adds every published schema to
    the engine's codec, unless it is cancelled.
    """

    consumer: Callable[[], Consumer]
    committed: Callable[[], CommittedOffsets]
    admin: Admin
    names: TopicNames
    group: str
    engine: Engine
    application: str
    topic_ids: dict[str, str]
    partitions: int
    learn: Callable[[Cancelled], None]

    def restore(self, partition: int, cancelled: Cancelled, progress: RestoreProgress) -> Steps[RestoredImage]:
        """Restore a partition. Raises PartitionLost when cancelled, NamespaceTaken or TopicMismatch for a wrong table, BrokerError.

        Raises UnsupportedSchema for a row or a request that only another version of the application reads.
        """
        with closing(self.committed()) as committed:
            return (yield from self._settled(partition, committed, cancelled, progress))

    def _settled(
        self, partition: int, committed: CommittedOffsets, cancelled: Cancelled, progress: RestoreProgress
    ) -> Steps[RestoredImage]:
        """Read again until no transaction was open between two reads of the committed offset.

        The records of an open one may not even be on the broker yet, if its worker was frozen before it flushed.
        """
        deadline = None
        while True:
            before = (yield from committed.offset(partition, cancelled, progress.hold)).offset
            image = yield from self._image(partition, cancelled, progress)
            after = yield from committed.offset(partition, cancelled, progress.hold)
            if after.waited:
                continue
            if after.offset <= image.inbox_next:
                inbox = (self.names.inbox, partition)
                return RestoredImage(image, ends(self.admin, [inbox], cancelled=cancelled)[inbox])
            if before <= image.inbox_next:  # a transaction was committed while we read
                continue
            now = self.admin.clock.monotonic()
            deadline = deadline or now + SETTLE
            if now > deadline:
                raise TopicMismatch(
                    f"the group {self.group} committed {self.names.inbox}-{partition}@{before}, and the table's marker "
                    f"says that handling stands at {image.inbox_next}. Both are written in one transaction, so either "
                    f"another program commits for this group, or what a transaction wrote was lost. {self._save()}"
                )
            yield PAUSE

    def _image(self, partition: int, cancelled: Cancelled, progress: RestoreProgress) -> Steps[Image]:
        try:
            return (yield from self._read(partition, cancelled, progress))
        except UnsupportedSchema:  # a worker that was deployed after we started has published its schemas
            self.learn(cancelled)
            return (yield from self._read(partition, cancelled, progress))

    def _read(self, partition: int, cancelled: Cancelled, progress: RestoreProgress) -> Steps[Image]:
        names = self.names
        partitions = [(topic, partition) for topic in (names.table, names.parked, names.due, names.log)]
        end = ends(self.admin, partitions, cancelled=cancelled)
        start = starts(self.admin, [*partitions, (names.inbox, partition)], cancelled=cancelled)
        spans = {each: (start[each], end[each]) for each in partitions}
        tail = (names.log, partition)
        spans[tail] = self._before(start[tail], end[tail], self.engine.limits.window)
        progress.done, progress.total = 0, sum(last - first for first, last in spans.values())
        reading = ImageReader(self.engine, partition)
        yield from self._take(spans, reading, cancelled, progress)
        window, look = self.engine.limits.window, spans[tail]
        while reading.log.count < window and look[0] > start[tail]:
            # Control records and records of aborted transactions have offsets too, so more of the log must be read.
            look = self._before(start[tail], look[0], _width(look, reading.log.count, window))
            found = yield from self._log_in(tail, look, cancelled, progress)
            reading.log.put_before(found, window)
        if reading.marker is not None:
            self._check(reading.marker, partition)
        else:
            yield from self._check_siblings(partition, cancelled)
        image = reading.image()
        self._check_positions(image, reading.log, start[names.inbox, partition])
        return image

    def _log_in(
        self, partition: TopicAndPartition, look: tuple[int, int], cancelled: Cancelled, progress: RestoreProgress
    ) -> Steps[LogTail]:
        """The records between two offsets of the log: stops there, since `polls` would read on to the log's end."""
        tail, (_, end) = LogTail(self.engine.wire.envelopes), look
        progress.total += end - look[0]
        with closing(self.consumer()) as consumer:
            for messages in self._polls(consumer, {partition: look}, cancelled):
                ours = [message for message in messages if (message.offset() or 0) < end]
                for message in ours:
                    progress.done += 1
                    tail.take(message)
                if len(ours) < len(messages):
                    break
                yield 0.0
        return tail

    @staticmethod
    def _before(first: int, end: int, width: int) -> tuple[int, int]:
        return max(first, end - width), end

    def _take(
        self,
        spans: Mapping[TopicAndPartition, tuple[int, int]],
        reading: ImageReader,
        cancelled: Cancelled,
        progress: RestoreProgress,
    ) -> Steps[None]:
        names = self.names
        take = {
            names.table: reading.row,
            names.parked: reading.parked,
            names.due: reading.due,
            names.log: reading.log.take,
        }
        with closing(self.consumer()) as consumer:
            for messages in self._polls(consumer, spans, cancelled):
                for message in messages:
                    progress.done += 1
                    take[message.topic() or ""](message)
                yield 0.0

    def _polls(
        self, consumer: Consumer, spans: Mapping[TopicAndPartition, tuple[int, int]], cancelled: Cancelled
    ) -> Iterator[list[Message]]:
        return polls(consumer, spans, cancelled=cancelled, clock=self.admin.clock)

    def _check_positions(self, image: Image, tail: LogTail, inbox_start: int) -> None:
        if image.inbox_next < inbox_start:
            raise TopicMismatch(
                f"handling of {self.names.inbox}-{image.partition} should go on at offset {image.inbox_next}, and the "
                f"topic begins at {inbox_start}: events were deleted before they were handled. Look at its retention"
            )
        if tail.sequence != image.sequence:
            raise TopicMismatch(
                f"{self.names.log}-{image.partition} ends at sequence {tail.sequence}, and the table's marker says "
                f"{image.sequence}. Both are written in one transaction, so records were lost or added: by Kafka, by a copy "
                f"of one topic that was put back, by another program, or by a fault of retold. {self._save()}"
            )
        if tail.gap is not None:
            log.warning(
                "event log has a gap: sequences were deleted or lost",
                log=f"{self.names.log}-{image.partition}",
                first=tail.gap[0],
                last=tail.gap[1],
            )

    def _save(self) -> str:
        names = self.names
        return (
            f"Nothing was changed. Stop this namespace's workers and copy the topics {names.inbox}, {names.log}, "
            f"{names.table}, {names.parked} and {names.due} before anything is written; docs/troubleshooting.md says "
            "how to compare them, and how to go on"
        )

    def _check_siblings(self, partition: int, cancelled: Cancelled) -> Steps[None]:
        """A partition without a marker may have been added to others: the smallest of those that were written says so (rule 14)."""
        siblings = [(self.names.table, number) for number in range(self.partitions) if number != partition]
        if not siblings:
            return
        start = starts(self.admin, siblings, cancelled=cancelled)
        end = stable_ends(self.admin, siblings, cancelled=cancelled)  # what is open there is no reason to wait
        spans = {each: (start[each], end[each]) for each in siblings if end[each] > start[each]}
        for each in sorted(spans, key=lambda it: spans[it][1] - spans[it][0])[:1]:
            with closing(self.consumer()) as consumer:
                for messages in self._polls(consumer, {each: spans[each]}, cancelled):
                    for record in map(table_record, messages):
                        if isinstance(record, marker.Marker):
                            self._check(record, each[1])
                            return
                    yield 0.0

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
                f"keys would move between partitions. {after_repartition(self.names)}"
            )
        for topic, topic_id in last.topic_ids.items():
            if self.topic_ids.get(topic, topic_id) != topic_id:
                raise TopicMismatch(
                    f"{topic} was deleted and made again since {where} was written (its id was {topic_id}, now "
                    f"{self.topic_ids[topic]}): offsets mean something else. {after_recreation(self.names, topic)}"
                )


def _width(look: tuple[int, int], found: int, wanted: int) -> int:
    """How many offsets before `look` probably contain the missing records, at the density of those read so far."""
    span = look[1] - look[0]
    probably = (wanted - found) * span * 6 // (5 * max(1, found))
    return max(100, min(probably, FARTHEST * span))


class ImageReader:
    """Builds an image from one partition's topics, in whatever order their records arrive."""

    def __init__(self, engine: Engine, partition: int) -> None:
        self._engine, self._image = engine, engine.image(partition)
        self._aside: dict[QueuePosition, SetAsideRecord] = {}
        self._pending: dict[str, tuple[bytes, Headers]] = {}
        self.log = LogTail(engine.wire.envelopes)
        self.marker: marker.Marker | None = None

    def row(self, message: Message) -> None:
        record = table_record(message)
        if isinstance(record, marker.Marker):
            self.marker = record
            return
        row = self._engine.codec.decode_row(self._engine.row_type, record.value) if record.value else None
        self._image.rows[record.key] = (row, record.version)

    def parked(self, message: Message) -> None:
        """Read a parked record; a tombstone removes an earlier one."""
        record = parked_message(message)
        if record.value is None:
            self._aside.pop(record.position, None)
        else:
            self._aside[record.position] = set_aside_of(record.position, record.value, record.headers)

    def due(self, message: Message) -> None:
        """Read a timer or a call; a tombstone removes an earlier one."""
        key, value, headers = (message.key() or b"").decode(), message.value(), headers_of(message)
        if value is None:
            self._pending.pop(key, None)
        else:
            self._pending[key] = (value, headers)

    def image(self) -> Image:
        image, last = self._image, self.marker
        if last is not None:
            image.sequence, image.recorded, image.inbox_next = last.last, last.recorded, last.inbox_next
            image.counters, image.imports = last.counters, dict(last.imports)
        image.window.add(self.log.remembered())
        for key, (value, headers) in self._pending.items():
            header = due_header(headers)
            pending = pending_of(self._engine.wire, key, value, without_packed(headers), header, self._is_own)
            if isinstance(pending, PendingTimer):
                image.due.add(pending)
            else:
                image.calls.add(pending)
        for record in sorted(self._aside.values(), key=lambda it: it.position.order):  # after compaction they are not in order
            image.set_aside(record)
            parked = record.entity is not None and record.header.status == PARKED
            digest = self._digest(record.carried) if parked else None
            if digest is not None:
                image.parked_ids[digest] = hash(record.value)
        return image

    def _is_own(self, namespace: str, key: bytes) -> bool:
        inbox = self._engine.inbox
        ours = inbox.partition_of is None or inbox.partition_of(key) == self._image.partition
        return ours and namespace == self._engine.namespace

    def _digest(self, headers: Headers) -> bytes | None:
        return self._engine.wire.envelopes.read(without_packed(headers)).digest
