"""Rounds of a rebalance, on a real broker."""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import pytest
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from streams.kafka.clients import Clients
from streams.kafka.group_membership import join
from tests.support.client_lines import debugging
from tests.support.kafka_proxy import KafkaProxy, LostQuestion
from tests.support.workers import until

STATE = re.compile(r"^%7\|([0-9.]+)\|CGRPJOINSTATE\|new#.* changed join state (\S+) -> (\S+) ")
SOON = 0.15
"""s, where librdkafka alone waits some 0.4 s here."""
TRIES = 5


class Member:
    """A consumer that joins a group when it is made."""

    def __init__(self, clients: Clients, group: str, name: str, topic: str) -> None:
        self.owned: set[int] = set()
        self.consumer = clients.group_consumer(group, name)
        self._ask = join(self.consumer, topic, self._assigned, self._revoked)

    def has(self, count: int) -> bool:
        self.consumer.poll(0.01)
        self._ask()
        self.consumer.consumer_group_metadata()  # as a worker does: heartbeats are sent in time then
        return len(self.owned) == count

    def _assigned(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        consumer.incremental_assign([TopicPartition(it.topic, it.partition, 0) for it in partitions])
        self.owned |= {it.partition for it in partitions}

    def _revoked(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        consumer.incremental_unassign(partitions)
        self.owned -= {it.partition for it in partitions}


@contextmanager
def member(clients: Clients, group: str, name: str, topic: str) -> Iterator[Member]:
    found = Member(clients, group, name, topic)
    try:
        yield found
    finally:
        found.consumer.close()


def share(clients: Clients, topic: str) -> None:
    """A second member joins, and gets one of two partitions."""
    group = uuid.uuid4().hex
    with member(clients, group, "old", topic) as old:
        until(partial(old.has, 2), "the first member has not all partitions")
        with member(clients, group, "new", topic) as new:
            until(lambda: [old.has(1), new.has(1)] == [True, True], "the partitions are not shared")


def waited(log: str) -> float:
    """How long it took, in s, from the moment that the new member heard of the second round until it joined it."""
    changes = [(float(found[1]), found[2], found[3]) for line in log.splitlines() if (found := STATE.match(line))]
    heard = next(at for at, before, after in changes if (before, after) == ("steady", "init"))
    return next(at for at, _, after in changes if at >= heard and after == "wait-join") - heard


def test_the_second_round_of_a_rebalance_does_not_wait(broker: str, prefix: str, capfd: pytest.CaptureFixture[str]) -> None:
    """A new member joins again as soon as it hears that the others have let go of its partitions."""
    topic, admin = f"{prefix}shared", AdminClient({"bootstrap.servers": broker})
    admin.create_topics([NewTopic(topic, 2, 1)])[topic].result(30)
    clients, waits = Clients(broker, make=debugging("cgrp")), list[float]()
    for _ in range(TRIES):
        capfd.readouterr()
        share(clients, topic)
        time.sleep(0.05)  # the lines of the last moment
        waits.append(waited(capfd.readouterr().err))
    assert sorted(waits)[1] < SOON, waits  # a busy machine may hold some up; without a question, one alone may be quick by chance


def test_a_member_whose_question_for_its_topic_is_lost_joins_all_the_same(broker: str, prefix: str) -> None:
    """As where a broker ends at that moment: librdkafka alone waits for 300 s, and reports nothing."""
    topic, admin = f"{prefix}asked", AdminClient({"bootstrap.servers": broker})
    admin.create_topics([NewTopic(topic, 2, 1)])[topic].result(30)
    lost = LostQuestion(topic)
    with KafkaProxy(broker, lost) as proxy, member(Clients(proxy.address), uuid.uuid4().hex, "only", topic) as only:
        until(partial(only.has, 2), "it does not join", seconds=30)
    assert lost.asked > 1
