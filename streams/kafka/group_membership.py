"""Joins a consumer group so that the second round of a cooperative rebalance does not wait for a new member.

librdkafka (2.16) sends a JoinGroup at most once a second. A new member is told in the first round that it has no partition yet.
It hears soon that the second round has begun, and waits for the rest of that second: so long the partitions that the others have
let go of belong to nobody. Any answer about topics ends the wait.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from confluent_kafka import Consumer, KafkaException, TopicPartition

ANSWER = 0.5
"""s for an answer about a topic. Without one, the next round begins later, and nothing else happens."""

Told = Callable[[Consumer, list[TopicPartition]], None]


def join(consumer: Consumer, topic: str, assigned: Told, revoked: Told) -> None:
    """Subscribe to a topic. The callbacks run while the consumer is polled; `revoked` is also told of lost partitions.

    Only a member without any partition asks about the topic: another one's question would wait behind what it reads.
    """
    owned = set[int]()

    def told(it: Consumer, partitions: list[TopicPartition]) -> None:
        assigned(it, partitions)
        owned.update(at.partition for at in partitions)
        if not owned:
            with suppress(KafkaException):
                it.list_topics(topic, timeout=ANSWER)

    def let_go(it: Consumer, partitions: list[TopicPartition]) -> None:
        owned.difference_update(at.partition for at in partitions)
        revoked(it, partitions)

    consumer.subscribe([topic], on_assign=told, on_revoke=let_go, on_lost=let_go)
