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


def join(consumer: Consumer, topic: str, assigned: Told, revoked: Told) -> Callable[[], bool]:
    """Subscribe to a topic. The callbacks run while the consumer is polled; `revoked` is also told of lost partitions.

    What is returned is to be called after each poll: it asks about the topic if a round left the member without a partition.
    One that has a partition asks nothing: its question would wait behind what it reads. Nor may a callback ask: a call of
    confluent-kafka (2.16) that waits, made in a callback, leaves the poll without its state, and the next callback in it ends
    the process (`CallState_get: Assertion failed`; seen). It tells whether a round has ended since it was called last: librdkafka
    pauses all partitions in a round, and those that stay may be read again late (`streams.kafka.resumed_reading`).
    """
    owned, asks, ended = set[int](), False, False

    def told(it: Consumer, partitions: list[TopicPartition]) -> None:
        nonlocal asks, ended
        assigned(it, partitions)
        owned.update(at.partition for at in partitions)
        asks, ended = not owned, True

    def let_go(it: Consumer, partitions: list[TopicPartition]) -> None:
        owned.difference_update(at.partition for at in partitions)
        revoked(it, partitions)

    def ask() -> bool:
        nonlocal asks, ended
        if asks:
            asks = False
            with suppress(KafkaException):
                consumer.list_topics(topic, timeout=ANSWER)
        since, ended = ended, False
        return since

    consumer.subscribe([topic], on_assign=told, on_revoke=let_go, on_lost=let_go)
    return ask
