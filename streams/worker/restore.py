"""Restores one partition: rows, parked queues, timers and calls, duplicate window; up to ends that no open transaction hides."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from operator import length_hint
from typing import NamedTuple

import structlog
from confluent_kafka import Consumer, KafkaException, Message

from streams.engine.changes import DueReference
from streams.engine.engine import Engine
from streams.engine.image import Image
from streams.errors import (
    BrokerError,
    NamespaceTaken,
    PartitionLost,
    TopicMismatch,
    UndecodableRecord,
    UnsupportedSchema,
)
from streams.kafka.bounded_read import polls
from streams.kafka.cancellable_steps import Cancelled, Steps
from streams.kafka.committed import CommittedOffsets, nothing_to_end
from streams.kafka.messages import placed
from streams.kafka.offsets import TopicAndPartition, ends, starts
from streams.kafka.renewed_client import Admin
from streams.kafka.topics import TopicNames, describe
from streams.worker.code_here import CodeHere
from streams.worker.due_bodies import IN_MEMORY
from streams.worker.elsewhere_checks import ElsewhereChecks
from streams.worker.generation_restore import LastCorrection, fold_into, is_all, rest_of
from streams.worker.image_reader import ImageReader
from streams.worker.log_tail import LogTail
from streams.worker.partition_copy import NO_COPIES, Copies, PartitionCopy, Spans
from streams.worker.restore_checks import RestoreChecks
from streams.worker.restore_progress import RestoreProgress

log = structlog.get_logger("retold.worker")

FARTHEST = 8
"""The next part of a log is at most this many times as wide as the last one."""

SETTLE, PAUSE = 5.0, 0.2
"""s that a group's committed offset may be ahead of the marker, since a commit's control records arrive one by one; and s
between two attempts."""


class RestoredImage(NamedTuple):
    """`inbox_end` is the inbox's end at that time: answers of gateways may lie before it.

    `parked_end` and `due_end`: up to where those topics were read. `places` are of the timers and calls whose bodies it has.
    """

    image: Image
    inbox_end: int
    parked_end: int = 0
    due_end: int = 0
    places: Sequence[DueReference] = ()


@dataclass(frozen=True)
class Restorer:
    """`consumer` makes a read_committed consumer without a group that reports ends of partitions.

    `copies` has partitions that were kept up to date before they are assigned. `end_dead` ends what dead workers left open there,
    unless it is cancelled.

    The `committed` offsets are only compared: the marker says where handling starts. `learn` adds every published schema to
    the engine's codec, unless it is cancelled. `last_correction` reads which one was begun last. `code` does not go over to
    rows that other code has built. Timers and calls of a partition take `due_bytes` in memory with their bodies, about.
    """

    consumer: Callable[[], Consumer]
    committed: Callable[..., CommittedOffsets]
    admin: Admin
    names: TopicNames
    group: str
    engine: Engine
    checks: RestoreChecks
    learn: Callable[[Cancelled], None]
    last_correction: Callable[[], LastCorrection]
    code: CodeHere
    copies: Copies = NO_COPIES
    end_dead: Callable[[Sequence[TopicAndPartition], Cancelled], Steps[None]] = nothing_to_end
    due_bytes: int = IN_MEMORY

    @property
    def _elsewhere(self) -> ElsewhereChecks:
        return ElsewhereChecks(self.consumer, self.admin, self.names, self.checks)

    def restore(self, partition: int, cancelled: Cancelled, progress: RestoreProgress) -> Steps[RestoredImage]:
        """Restore a partition. Raises PartitionLost when cancelled, NamespaceTaken or TopicMismatch for a wrong table, BrokerError.

        Raises UnsupportedSchema for a row or a request that only another version of the application reads. A copy that does not
        fit its topics is no reason to stop: then everything is read.
        """
        copy = self._warm_copy(partition, cancelled)
        if copy is not None:
            try:
                return (yield from self._restored(copy, cancelled, progress))
            except (NamespaceTaken, TopicMismatch, UndecodableRecord) as error:
                log.warning("a copy does not fit; reading all", table=self.names.table, partition=partition, error=str(error))
        return (yield from self._restored(self.empty(partition), cancelled, progress))

    def empty(self, partition: int) -> PartitionCopy:
        """A copy into which nothing was read."""
        return PartitionCopy(self.engine, self.names, partition, self.admin.clock.now(), self.due_bytes)

    def _warm_copy(self, partition: int, cancelled: Cancelled) -> PartitionCopy | None:
        """A copy that was kept up to date; None if there is none, or its topics were made again.

        A broker that starts may not know its topics for a moment. Raises BrokerError then: the copy is kept.
        """
        copy = self.copies.take(partition)
        if copy is None:
            return None
        topics = [topic for topic, _ in copy.partitions]
        try:
            described = describe(self.admin, topics, cancelled=cancelled)
            if missing := [topic for topic in topics if topic not in described]:
                raise BrokerError(f"the broker does not know the topic {missing[0]} now")
        except (BrokerError, KafkaException):  # among them PartitionLost
            self.copies.put_back(copy)
            raise
        return copy if all(described[topic].id == self.checks.topic_ids[topic] for topic in topics) else None

    def _restored(self, copy: PartitionCopy, cancelled: Cancelled, progress: RestoreProgress) -> Steps[RestoredImage]:
        try:
            yield from self.end_dead(copy.partitions, cancelled)
            with closing(self.committed()) as committed:
                return (yield from self._settled(copy, committed, cancelled, progress))
        except (GeneratorExit, PartitionLost, BrokerError, KafkaException):
            self.copies.put_back(copy)  # the next restore, here or after a while, reads on from there
            raise

    def _settled(
        self, copy: PartitionCopy, committed: CommittedOffsets, cancelled: Cancelled, progress: RestoreProgress
    ) -> Steps[RestoredImage]:
        """Read on until no transaction was open between two reads of the committed offset.

        The records of an open one may not even be on the broker yet, if its worker was frozen before it flushed.
        """
        deadline, partition = None, copy.partition
        while True:
            before = (yield from committed.offset(partition, cancelled, progress.hold)).offset
            image = yield from self._image(copy, cancelled, progress)
            after = yield from committed.offset(partition, cancelled, progress.hold)
            if after.waited:
                continue
            if after.offset > image.inbox_next:
                if before <= image.inbox_next:  # a transaction was committed while we read
                    continue
                wrong = self.checks.ahead(self.group, partition, before, image.inbox_next)
            else:
                inbox = (self.names.inbox, partition)
                inbox_end = ends(self.admin, [inbox], cancelled=cancelled)[inbox]
                if image.inbox_next <= inbox_end:
                    yield from self._elsewhere.compare_inbox(copy.reading.log.origin, image, cancelled)
                    return RestoredImage(image, inbox_end, *copy.read_to, copy.reading.places())
                wrong = self.checks.short(partition, inbox_end, image.inbox_next)  # or what leads it has just begun to
            now = self.admin.clock.monotonic()
            deadline = deadline or now + SETTLE
            if now > deadline:
                raise wrong
            yield PAUSE

    def _image(self, copy: PartitionCopy, cancelled: Cancelled, progress: RestoreProgress) -> Steps[Image]:
        try:
            return (yield from self._read(copy, cancelled, progress))
        except UnsupportedSchema:  # a worker that was deployed after we started has published its schemas
            self.learn(cancelled)
            return (yield from self._read(copy, cancelled, progress))

    def _read(self, copy: PartitionCopy, cancelled: Cancelled, progress: RestoreProgress) -> Steps[Image]:
        """The image as of the ends that the topics have now. What the copy has already is not read again."""
        names, partition = self.names, copy.partition
        end = ends(self.admin, copy.partitions, cancelled=cancelled)
        start = starts(self.admin, [*copy.partitions, (names.inbox, partition)], cancelled=cancelled)
        self.checks.starts(start)
        if not copy.fits(start, end):
            log.warning("topics do not go on where a copy ends; reading everything", table=names.table, partition=partition)
            copy.clear()
        yield from self._take(copy, copy.rest(start, end), cancelled, progress)
        if copy.forget_stale():
            yield from self._take(copy, copy.rest(start, end), cancelled, progress)
        reading, log_at = copy.reading, (names.log, partition)
        look = (copy.log_from, end[log_at])
        while not reading.log.full and look[0] > start[log_at]:
            # Control records and records of aborted transactions have offsets too, so more of the log must be read.
            width = _width(look, reading.log.count, self.engine.limits.window)
            look = (max(start[log_at], look[0] - width), look[0])
            reading.log.put_before((yield from self._log_in(log_at, look, cancelled, progress)))
            copy.log_from = look[0]
        if reading.marker is not None:
            self.checks.marker(reading.marker, partition)
        else:
            yield from self._elsewhere.check_siblings(partition, cancelled)
        image = reading.image()
        self.code.goes_on_with(image)
        self.checks.positions(image, reading.log, start[names.inbox, partition])
        if image.switches:
            yield from self._fold_rest(image, reading, (start[log_at], end[log_at]), cancelled, progress)
        return image

    def _fold_rest(
        self, image: Image, reading: ImageReader, log: tuple[int, int], cancelled: Cancelled, progress: RestoreProgress
    ) -> Steps[None]:
        """Its rows are of another generation than was kept last: fold what they do not have."""
        rest = rest_of(self.engine, image, reading, self.code.digest, self.last_correction())
        begin, end = log
        first, messages = end, list[Message]()
        while image.sequence > rest.sequence and first > begin and not is_all(rest, messages):
            first = max(begin, end - FARTHEST * max(100, end - first, image.sequence - rest.sequence))
            messages.clear()
            for some in self._messages_in((self.names.log, image.partition), (first, end), cancelled, progress):
                messages += some
                yield 0.0
        for _ in fold_into(image, rest, messages):
            yield 0.0

    def _log_in(
        self, partition: TopicAndPartition, look: tuple[int, int], cancelled: Cancelled, progress: RestoreProgress
    ) -> Steps[LogTail]:
        """The records between two offsets of the log: stops there, since `polls` would read on to the log's end."""
        tail = LogTail(self.engine.wire.envelopes, self.engine.limits.window)
        for messages in self._messages_in(partition, look, cancelled, progress):
            _take_into(tail, messages)
            yield 0.0
        return tail

    def _messages_in(
        self, partition: TopicAndPartition, look: tuple[int, int], cancelled: Cancelled, progress: RestoreProgress
    ) -> Iterator[list[Message]]:
        first, end = look
        progress.total += end - first
        with closing(self.consumer()) as consumer:
            for messages in polls(consumer, {partition: look}, cancelled=cancelled, clock=self.admin.clock):
                ours = [message for message in messages if (message.offset() or 0) < end]
                progress.done += len(ours)
                yield ours
                if len(ours) < len(messages):
                    break

    def _take(self, copy: PartitionCopy, rest: Spans, cancelled: Cancelled, progress: RestoreProgress) -> Steps[None]:
        """Read the rest of its topics."""
        progress.begin(rest, self.admin.clock.monotonic())
        if all(first >= end for first, end in rest.values()):
            return  # as in a new application: no consumer need connect
        with closing(self.consumer()) as consumer:
            for messages in polls(consumer, rest, cancelled=cancelled, clock=self.admin.clock):
                copy.take(messages)
                progress.reach(copy.position, self.admin.clock.monotonic())
                yield 0.0


def _take_into(tail: LogTail, messages: Sequence[Message]) -> None:
    left = iter(messages)
    try:
        tail.take(left)
    except UndecodableRecord as error:
        raise placed(error, messages[-1 - length_hint(left)]) from error


def _width(look: tuple[int, int], found: int, wanted: int) -> int:
    """How many offsets before `look` probably contain the missing records, at the density of those read so far."""
    span = look[1] - look[0]
    probably = (wanted - found) * span * 6 // (5 * max(1, found))
    return max(100, min(probably, FARTHEST * span))
