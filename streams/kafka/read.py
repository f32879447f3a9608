"""Reading a partition to an end that was true when it was asked for."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from confluent_kafka import Consumer, IsolationLevel, KafkaError, Message, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]  # exported at run time only

from streams.engine.records import Headers
from streams.errors import BrokerError, PartitionLost

Places = list[tuple[str, int]]


def ends(admin: AdminClient, places: Places, *, timeout: float = 10.0) -> dict[tuple[str, int], int]:
    """The READ_UNCOMMITTED ends: past every record, also those of transactions still open (rule 1a).

    A read_committed consumer's watermark is the stable offset, which is not the end.
    """
    latest = OffsetSpec.latest()  # type: ignore[no-untyped-call]  # the client's own lack
    asked = {TopicPartition(topic, partition): latest for topic, partition in places}
    answers = admin.list_offsets(asked, isolation_level=IsolationLevel.READ_UNCOMMITTED, request_timeout=timeout)
    return {(at.topic, at.partition): answer.result().offset for at, answer in answers.items()}


def starts(admin: AdminClient, places: Places, *, timeout: float = 10.0) -> dict[tuple[str, int], int]:
    """The first offsets that are still kept."""
    earliest = OffsetSpec.earliest()  # type: ignore[no-untyped-call]  # the client's own lack
    asked = {TopicPartition(topic, partition): earliest for topic, partition in places}
    answers = admin.list_offsets(asked, request_timeout=timeout)
    return {(at.topic, at.partition): answer.result().offset for at, answer in answers.items()}


def headers_of(message: Message) -> Headers:
    """A consumed record's headers: a list of pairs, as they stand in the record."""
    return message.headers() or []  # type: ignore[return-value]  # the annotation covers what producers may pass too


def read_to(
    consumer: Consumer,
    topic: str,
    partition: int,
    start: int,
    end: int,
    *,
    timeout: float = 60.0,
    cancelled: Callable[[], bool] = lambda: False,
) -> Iterator[Message]:
    """Committed records from `start` until an end of partition at or past `end` (rule 1b).

    Control records leave gaps, so no record's offset is waited for. The consumer is read_committed and tells of
    partition ends; it is assigned to this partition alone. Raises BrokerError after `timeout` s without progress (an
    open transaction in the way lasts at most its own time-out) and PartitionLost when cancelled.
    """
    if start >= end:
        return
    consumer.assign([TopicPartition(topic, partition, start)])
    last_progress = time.monotonic()
    while True:
        if cancelled():
            raise PartitionLost(f"reading {topic}-{partition} was given up: the partition has moved")
        for message in consumer.consume(5000, 0.1):
            error = message.error()
            if error is None:
                last_progress = time.monotonic()
                yield message
            elif error.code() == KafkaError._PARTITION_EOF:
                if (message.offset() or 0) >= end:
                    return
            elif not error.retriable():
                raise BrokerError(f"reading {topic}-{partition} failed: {error.str()}")
        if time.monotonic() - last_progress > timeout:
            raise BrokerError(
                f"{topic}-{partition} did not become readable to its end {end} in {timeout:.0f} s: a transaction is open "
                "there, or the broker does not answer"
            )
