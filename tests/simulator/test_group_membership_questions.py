"""When a member of a group asks about its topic."""

from __future__ import annotations

from typing import Any, cast

from confluent_kafka import Consumer, TopicPartition

from streams.kafka.group_membership import join


class ToldConsumer:
    """Its rounds are made by the test."""

    def __init__(self) -> None:
        self.asked = 0

    def subscribe(self, _topics: list[str], *, on_assign: Any, on_revoke: Any, on_lost: Any) -> None:
        self.assign, self.revoke = on_assign, on_revoke

    def list_topics(self, _topic: str, *, timeout: float) -> None:
        self.asked += 1


def nothing(_consumer: Consumer, _partitions: list[TopicPartition]) -> None: ...


def test_a_member_without_a_partition_asks_once_and_never_in_a_callback() -> None:
    """In a callback the question would take the state of the poll that runs it: the next callback ends the process."""
    consumer = ToldConsumer()
    ask = join(cast("Consumer", consumer), "inbox", nothing, nothing)
    ask()
    consumer.assign(consumer, [])
    assert consumer.asked == 0
    ask()
    ask()
    assert consumer.asked == 1
    consumer.assign(consumer, [TopicPartition("inbox", 2)])
    ask()
    assert consumer.asked == 1


def test_a_round_is_told_once() -> None:
    """Partitions that stay are to be read again after each round of a rebalance, and only then."""
    consumer = ToldConsumer()
    ask = join(cast("Consumer", consumer), "inbox", nothing, nothing)
    assert not ask()
    consumer.assign(consumer, [TopicPartition("inbox", 2)])
    assert [ask(), ask()] == [True, False]
