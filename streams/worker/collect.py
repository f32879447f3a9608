"""Taking what is there in an inbox: records by partition, what the group knew at that moment, and where partitions end."""

from __future__ import annotations

import time
from typing import Any, NamedTuple

import structlog
from confluent_kafka import Consumer, KafkaError, Message

from streams.engine.records import InboxRecord
from streams.errors import BrokerError
from streams.kafka.read import headers_of
from streams.worker.pace import BYTES, CHUNK, Pace
from streams.worker.partitions import Partitions
from streams.worker.waiting import Waiting

log = structlog.get_logger("retold.worker")

IDLE = 0.1


class Collected(NamedTuple):
    """`records` are of partitions that are ours and do not wait; `ends` the offsets at which partitions ended."""

    records: dict[int, list[InboxRecord]]
    ends: dict[int, int]
    metadata: Any


class Collector:
    """Used by the poll thread alone."""

    def __init__(self, inbox: str, pace: Pace, partitions: Partitions, waiting: Waiting) -> None:
        self._inbox, self._pace, self._partitions, self._waiting = inbox, pace, partitions, waiting

    def collect(self, consumer: Consumer) -> Collected | None:
        """What is there, up to the pace's limits. The metadata is taken right after the records (rule 4).

        Raises BrokerError if the inbox cannot be read at all.
        """
        pace = self._pace
        began = time.monotonic()
        first = consumer.poll(IDLE)
        if first is None:
            return None
        messages, limit = [first], pace.limit()
        until = time.monotonic() + pace.linger(time.monotonic() - began)
        size = 0
        while len(messages) < limit and size < BYTES:
            more = consumer.consume(min(CHUNK, limit - len(messages)), max(0.0, until - time.monotonic()))
            messages += more
            size += sum(map(len, more))
            if not more or (len(more) < CHUNK and time.monotonic() >= until):
                break
        metadata = consumer.consumer_group_metadata()
        return self._sorted(messages, metadata)

    def _sorted(self, messages: list[Message], metadata: Any) -> Collected:
        """Without those that a rebalance took away while we gathered, or that wait for a schema."""
        images, blocked = self._partitions.images, self._waiting.blocked
        found: dict[int, list[InboxRecord]] = {partition: [] for partition in images if partition not in blocked}
        ends: dict[int, int] = {}
        for message in messages:
            error = message.error()
            if error is not None:
                if error.code() == KafkaError._PARTITION_EOF:
                    ends[message.partition() or 0] = message.offset() or 0
                else:
                    self._complain(error)
                continue
            records = found.get(message.partition())  # type: ignore[arg-type]  # None only for errors
            if records is not None:
                it = (message.offset(), message.key(), message.value(), headers_of(message), message.timestamp()[1])
                records.append(it)  # type: ignore[arg-type]  # it has an offset
        records_by_partition = {
            partition: kept
            for partition, records in found.items()
            if (kept := [record for record in records if record[0] >= images[partition].inbox_next] if records else [])
        }
        return Collected(records_by_partition, ends, metadata)

    def _complain(self, error: KafkaError) -> None:
        if error.fatal() or error.code() in (KafkaError._AUTO_OFFSET_RESET, KafkaError.TOPIC_AUTHORIZATION_FAILED):
            raise BrokerError(f"reading {self._inbox} failed: {error.str()}")
        log.warning("the broker complains", inbox=self._inbox, error=error.str())
