"""What the benchmark asks of topics: make them, see their stable offsets, read them whole as committed."""

from __future__ import annotations

import time
import zlib
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from confluent_kafka import (
    OFFSET_BEGINNING,
    Consumer,
    IsolationLevel,
    KafkaError,
    KafkaException,
    Message,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, NewTopic, OffsetSpec

from ops.bench.work import PARTITIONS


def create_plain(admin: AdminClient, prefix: str) -> None:
    """The inbox and the log, with Kafka's own settings and the number of partitions that everyone works with."""
    wanted = [NewTopic(prefix + name, PARTITIONS, 1) for name in ("bench", "bench-log")]
    for future in admin.create_topics(wanted).values():
        future.result(30)


def stable_offsets(admin: AdminClient, topic: str) -> dict[int, int]:
    """Up to where a read_committed reader may read, by partition. Cheap: one request, no record is moved."""
    asked = {TopicPartition(topic, partition): OffsetSpec.latest() for partition in range(PARTITIONS)}
    answers = admin.list_offsets(asked, isolation_level=IsolationLevel.READ_COMMITTED)
    return {where.partition: future.result(10).offset for where, future in answers.items()}


class Reader:
    """A read_committed reader from the beginning, that stops at the end."""

    def __init__(self, broker: str, topic: str, partitions: int = PARTITIONS) -> None:
        self.consumer = Consumer(
            {
                "bootstrap.servers": broker,
                "group.id": "benchmark-reader",
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
                "enable.partition.eof": True,
            }
        )
        self.topic, self.partitions = topic, partitions
        self.ended: set[int] = set()
        self.consumer.assign([TopicPartition(topic, partition, OFFSET_BEGINNING) for partition in range(partitions)])

    def to_the_end(self, seconds: float = 20) -> Iterable[Message]:
        """The records up to the end of every partition as it was last met; ask again for what came later.

        An end is told once, so it is remembered until its partition gives another record. Raises TimeoutError.
        """
        ended = self.ended
        deadline = time.monotonic() + seconds
        first = True
        while first or len(ended) < self.partitions:
            first = False
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self.topic} was not read to its end in {seconds:.0f} s")
            for message in self.consumer.consume(5000, 0.1):
                if (error := message.error()) is None:
                    ended.discard(message.partition())
                    yield message
                elif error.code() == KafkaError._PARTITION_EOF:
                    ended.add(message.partition())
                else:
                    raise KafkaException(error)

    def close(self) -> None:
        self.consumer.close()


@dataclass
class LogContent:
    """What a log holds: offsets by partition, and a sum over all values that is the same in any order."""

    offsets: dict[int, list[int]] = field(default_factory=lambda: defaultdict(list))
    count: int = 0
    checksum: int = 0

    def take(self, messages: Iterable[Message]) -> None:
        for message in messages:
            self.offsets[message.partition()].append(message.offset())
            self.count += 1
            self.checksum += zlib.crc32(message.value() or b"")
