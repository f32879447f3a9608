"""A consumer that asks for a group's offset, on a real broker."""

from __future__ import annotations

import re
import uuid
from contextlib import suppress

import pytest
from confluent_kafka import KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from streams.kafka.clients import Clients
from tests.support.client_lines import debugging

WAITS = re.compile(r"still suppressed for (\d+)ms")
MOST, TRIES = 12, 5
"""ms that it may wait; librdkafka alone waits up to 50."""


def test_a_new_consumer_asks_without_waiting_to_connect(broker: str, prefix: str, capfd: pytest.CaptureFixture[str]) -> None:
    """Each restore has a new one, and the events of its partition wait for the answer."""
    topic, admin = f"{prefix}asked", AdminClient({"bootstrap.servers": broker})
    admin.create_topics([NewTopic(topic, 1, 1)])[topic].result(30)
    clients = Clients(broker, make=debugging("broker"))
    for _ in range(TRIES):
        consumer = clients.asking_consumer(uuid.uuid4().hex)
        with suppress(KafkaException):  # a broker that has just started has no coordinator yet
            consumer.committed([TopicPartition(topic, 0)], timeout=10)
        consumer.close()
    waits = [int(found[1]) for found in WAITS.finditer(capfd.readouterr().err)]
    assert waits
    assert max(waits) <= MOST
