"""Collects a batch from an inbox: records by partition, the group metadata of that moment, and the ends of partitions."""

from __future__ import annotations

from itertools import groupby
from operator import methodcaller
from typing import Any

import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from streams.clock import Clock
from streams.engine.records import InboxRecord
from streams.errors import BrokerError
from streams.kafka.messages import inbox_records
from streams.worker.pace import BYTES, CHUNK, Pace
from streams.worker.polled_batch import PolledBatch
from streams.worker.task import PartitionTask
from streams.worker.tasks import Tasks

log = structlog.get_logger("retold.worker")


class Collector:
    """Polls the inbox of `tasks`; used by one thread."""

    def __init__(self, tasks: Tasks, pace: Pace, clock: Clock) -> None:
        self._tasks, self._pace, self._clock = tasks, pace, clock

    def collect(self, consumer: Consumer, timeout: float) -> PolledBatch:
        """The available records, up to the pace's limits; waits at most `timeout` s for a first record.

        The metadata is taken right after the records (rule 4). Raises BrokerError if the inbox cannot be read at all.
        """
        pace, clock = self._pace, self._clock
        began = clock.monotonic()
        first = consumer.poll(timeout)
        messages, limit = [first] if first is not None else [], pace.limit()
        until = clock.monotonic() + pace.linger(clock.monotonic() - began)
        size = 0
        while messages and len(messages) < limit and size < BYTES:
            more = consumer.consume(min(CHUNK, limit - len(messages)), max(0.0, until - clock.monotonic()))
            messages += more
            size += sum(map(len, more))
            if not more or (len(more) < CHUNK and clock.monotonic() >= until):
                break
        metadata = consumer.consumer_group_metadata()
        return self._sorted(messages, metadata)

    def has_more(self, consumer: Consumer, task: PartitionTask) -> bool:
        """Whether something of a partition waits, by the end that the client heard of last; it asks nobody."""
        try:
            _, end = consumer.get_watermark_offsets(TopicPartition(self._tasks.inbox, task.partition), cached=True)
        except KafkaException:  # it has heard of none yet
            return False
        return int(end) > task.handled_to

    def _sorted(self, messages: list[Message], metadata: Any) -> PolledBatch:
        """The records by task, without those of partitions that were revoked while we polled, or that are blocked."""
        found: dict[int, tuple[PartitionTask, list[InboxRecord]]] = {
            task.partition: (task, []) for task in self._tasks.running()
        }
        ends: dict[int, int] = {}
        if any(map(methodcaller("error"), messages)):
            messages = [message for message in messages if not self._is_told(message, ends)]
        for partition, some in groupby(messages, methodcaller("partition")):
            if (taken := found.get(partition)) is not None:
                taken[1].extend(inbox_records(list(some)))
        records = {task: kept for task, records in found.values() if (kept := _not_handled(task, records))}
        return PolledBatch(metadata, records, ends)

    def _is_told(self, message: Message, ends: dict[int, int]) -> bool:
        """Whether it is no record, but an end, which is noted, or an error."""
        error = message.error()
        if error is None:
            return False
        if error.code() == KafkaError._PARTITION_EOF:
            ends[message.partition() or 0] = message.offset() or 0
        else:
            self._complain(error)
        return True

    def _complain(self, error: KafkaError) -> None:
        if error.code() == KafkaError._AUTO_OFFSET_RESET:
            raise BrokerError(
                f"Kafka has other records of {self._tasks.inbox} than this worker has read ({error.str()}): records were deleted, "
                "or an older copy of Kafka's data was put back. Start the worker again: it compares all topics, and says what is "
                "missing, or goes on with what Kafka has. What was published since such a copy is to be published again"
            )
        if error.fatal() or error.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED:
            raise BrokerError(f"reading {self._tasks.inbox} failed: {error.str()}")
        log.warning("the consumer reports an error", inbox=self._tasks.inbox, error=error.str())


def _not_handled(task: PartitionTask, records: list[InboxRecord]) -> list[InboxRecord]:
    """Those from the image's position on; as a rule all of them."""
    if not records or records[0][0] >= (first := task.image.inbox_next):
        return records
    return [record for record in records if record[0] >= first]
