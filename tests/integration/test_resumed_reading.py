"""Reading a partition again that was paused, on a real broker."""

from __future__ import annotations

import time
import uuid
from typing import Any

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from streams.kafka.clients import Clients
from streams.kafka.resumed_reading import read_from
from tests.support.workers import until

QUIET = 0.7
"""s until the client has the answer to its last request, which waits for a record for 0.5 s, and sleeps."""
SOON, TRIES = 0.5, 4
"""s, where a resume alone takes 0.9 s here."""


class HeldUpConsumer(Consumer):
    """Other threads of Python run before each resume, while the client sleeps again."""

    def resume(self, partitions: list[TopicPartition]) -> None:
        time.sleep(0.05)
        super().resume(partitions)


def held_up(_kind: Any, options: dict[str, Any]) -> Any:
    return HeldUpConsumer(options)


def resume_alone(consumer: Consumer, at: TopicPartition) -> float:
    """How long it takes, in s, from the resume of the only partition until its record is there."""
    consumer.pause([at])
    time.sleep(QUIET)
    began = time.monotonic()
    read_from(consumer, at)
    until(lambda: (it := consumer.poll(0.05)) is not None and it.error() is None, "nothing is read")
    return time.monotonic() - began


def test_a_partition_is_read_as_soon_as_it_is_resumed(broker: str, prefix: str) -> None:
    """Also if no other one is read: then librdkafka's thread sleeps, and a resume alone does not wake it."""
    topic, admin = f"{prefix}resumed", AdminClient({"bootstrap.servers": broker})
    admin.create_topics([NewTopic(topic, 1, 1)])[topic].result(30)
    producer = Producer({"bootstrap.servers": broker})
    for _ in range(2):  # librdkafka treats the offset 0 in another way
        producer.produce(topic, b"a record")
    assert producer.flush(30) == 0
    consumer, at = Clients(broker, make=held_up).group_consumer(uuid.uuid4().hex, "reader"), TopicPartition(topic, 0, 1)
    consumer.assign([at])
    try:
        waits = sorted(resume_alone(consumer, at) for _ in range(TRIES))
    finally:
        consumer.close()
    assert waits[-2] < SOON, waits  # a busy machine may hold one up
