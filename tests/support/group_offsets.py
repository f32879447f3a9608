"""A group's offsets by a consumer: an admin client that is told of another coordinator ends the process (librdkafka 2.16)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from confluent_kafka import Consumer, KafkaException, TopicPartition

from tests.support.workers import until


@contextmanager
def _member_of(group: str, address: str) -> Iterator[Consumer]:
    """It subscribes to nothing, and so never joins. Offsets of transactions that are open are left out, and not waited for."""
    consumer = Consumer({"bootstrap.servers": address, "group.id": group, "isolation.level": "read_uncommitted"})
    try:
        yield consumer
    finally:
        consumer.close()


def committed(address: str, group: str, topic: str, partition: int) -> int:
    """Negative if there is none. The first group that a broker has waits until the topic of offsets is made."""
    found: list[TopicPartition] = []

    def is_known() -> bool:
        try:
            found[:] = consumer.committed([TopicPartition(topic, partition)], timeout=5)
        except KafkaException:
            return False
        return True

    with _member_of(group, address) as consumer:
        until(is_known, f"the offsets of {group} are not known")
    return int(found[0].offset)


def commit(address: str, group: str, offsets: Sequence[TopicPartition]) -> None:
    """Of a group without members, which has a coordinator."""
    with _member_of(group, address) as consumer:
        done = consumer.commit(offsets=list(offsets), asynchronous=False)
    assert all(each.error is None for each in done or [])
