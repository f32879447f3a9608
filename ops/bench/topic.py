"""What the benchmark asks of topics: make them, see their stable offsets, read them whole as committed."""

from __future__ import annotations

import contextlib
import time
import zlib
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
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

from ops.bench.measure import Place
from ops.bench.work import HEADER_NAMES, PARTITIONS

QUIET = {"log_level": 2}
"""For every client of the benchmark: a client that connects again would say so in the midst of a table."""
LEADER_SECONDS = 20.0
NO_LEADER = (
    KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.LEADER_NOT_AVAILABLE, KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._NOENT,
)  # fmt: skip
HEADERS_CHECKED = 1_000
"""The headers of one in so many records are looked at."""


def create(admin: AdminClient, *topics: str) -> None:
    """With Kafka's own settings and the number of partitions that everyone works with."""
    for future in admin.create_topics([NewTopic(topic, PARTITIONS, 1) for topic in topics]).values():
        future.result(30)


def tidy(broker: str, prefixes: Collection[str], keep: Collection[str] = ()) -> None:
    """Delete the topics that begin with one of these, but those to keep: a full run writes gigabytes."""
    admin = AdminClient({"bootstrap.servers": broker, **QUIET})
    there = [name for name in admin.list_topics(timeout=30).topics if name.startswith(tuple(prefixes)) and name not in keep]
    for future in (admin.delete_topics(there) if there else {}).values():
        with contextlib.suppress(KafkaException):  # it is being deleted already, or its contestant has just made it
            future.result(30)


def stable_offsets(admin: AdminClient, topics: Sequence[str]) -> dict[Place, int]:
    """Up to where a read_committed reader may read. Cheap: one request, no record is moved.

    A topic that was just made has no leader yet, so it asks again for some seconds.
    """
    asked = {TopicPartition(topic, partition): OffsetSpec.latest() for topic in topics for partition in range(PARTITIONS)}
    deadline = time.monotonic() + LEADER_SECONDS
    while True:
        answers = admin.list_offsets(asked, isolation_level=IsolationLevel.READ_COMMITTED)
        try:
            return {(where.topic, where.partition): future.result(10).offset for where, future in answers.items()}
        except KafkaException as error:
            if (not error.args[0].retriable() and error.args[0].code() not in NO_LEADER) or time.monotonic() > deadline:
                raise
            time.sleep(0.1)


class Reader:
    """A read_committed reader from the beginning, that stops at the end."""

    def __init__(self, broker: str, topics: Sequence[str]) -> None:
        self.consumer = Consumer(
            {
                "bootstrap.servers": broker,
                "group.id": "benchmark-reader",
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
                "enable.partition.eof": True,
                **QUIET,
            }
        )
        self.topics = topics
        self.places: list[Place] = [(topic, partition) for topic in topics for partition in range(PARTITIONS)]
        self.ended: set[Place] = set()
        self.consumer.assign([TopicPartition(*place, OFFSET_BEGINNING) for place in self.places])

    def to_the_end(self, seconds: float = 60) -> Iterable[Message]:
        """The records up to the end of every partition as it was last met; ask again for what came later.

        An end is told once, so it is remembered until its partition gives another record. Raises TimeoutError.
        """
        ended = self.ended
        deadline = time.monotonic() + seconds
        first = True
        while first or len(ended) < len(self.places):
            first = False
            if time.monotonic() > deadline:
                raise TimeoutError(f"{', '.join(self.topics)} was not read to its end in {seconds:.0f} s")
            for message in self.consumer.consume(5000, 0.1):
                place = (message.topic(), message.partition())
                if (error := message.error()) is None:
                    ended.discard(place)
                    yield message
                elif error.code() == KafkaError._PARTITION_EOF:
                    ended.add(place)
                else:
                    raise KafkaException(error)

    def close(self) -> None:
        self.consumer.close()


@dataclass
class LogContent:
    """What logs hold: offsets by partition, and a sum over all values that is the same in any order.

    `without_headers`: of those that were looked at, how many lack headers that their events had.
    """

    offsets: dict[Place, list[int]] = field(default_factory=lambda: defaultdict(list))
    count: int = 0
    checksum: int = 0
    without_headers: int = 0

    def take(self, messages: Iterable[Message]) -> None:
        for message in messages:
            self.offsets[message.topic(), message.partition()].append(message.offset())
            if self.count % HEADERS_CHECKED == 0 and not HEADER_NAMES <= {name for name, _ in message.headers() or ()}:
                self.without_headers += 1
            self.count += 1
            self.checksum += zlib.crc32(message.value() or b"")

    def of(self, topic: str) -> int:
        """How many records of that one."""
        return sum(len(found) for (name, _), found in self.offsets.items() if name == topic)
