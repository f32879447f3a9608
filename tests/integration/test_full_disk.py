"""A broker that has no room left for an index, which Kafka writes to behind the records themselves."""

from __future__ import annotations

import os
from pathlib import Path

from confluent_kafka import KafkaError
from confluent_kafka.admin import NewTopic

from streams.kafka.bounded_read import read_to
from streams.kafka.clients import Clients
from streams.kafka.offsets import ends
from streams.localbroker import embedded
from tests.support.full_indexes import no_room_for_indexes
from tests.support.workers import until

TOPIC = "full"
BEFORE = 7
"""Records after which the next one brings the topic's first entry of an index: Kafka makes one every 4,096 bytes."""


class Publisher:
    """Knows what the broker has confirmed."""

    def __init__(self, clients: Clients) -> None:
        self.confirmed, self._producer = list[bytes](), clients.producer(delivery=60.0)

    def publish(self, name: bytes, size: int = 600, wait: float = 30.0) -> None:
        def delivered(error: KafkaError | None, _: object) -> None:
            if error is None:
                self.confirmed.append(name)

        self._producer.produce(TOPIC, os.urandom(size), name, 0, on_delivery=delivered)
        self._producer.flush(wait)


def keys(clients: Clients) -> list[tuple[int, bytes]]:
    consumer = clients.consumer()
    try:
        spans = {at: (0, end) for at, end in ends(clients.admin(), [(TOPIC, 0)]).items()}
        return [(it.offset() or 0, it.key() or b"") for it in read_to(consumer, spans, clock=clients.clock, timeout=30)]
    finally:
        consumer.close()


def test_a_broker_without_room_for_an_index_ends_and_has_all_that_it_confirmed(tmp_path: Path) -> None:
    """One that went on would write the next records at the same offsets; started again, it would delete the topic's segment."""
    with embedded.start(tmp_path) as broker:
        broker.stopping = True  # else its end is reported
        clients = Clients(broker.address)
        admin = clients.admin()
        [made] = admin.client.create_topics([NewTopic(TOPIC, 1, 1)]).values()
        made.result(20)
        publisher = Publisher(clients)
        for number in range(BEFORE):
            publisher.publish(b"before-%d" % number)
        with no_room_for_indexes(tmp_path, TOPIC):
            publisher.publish(b"full", 20, wait=1.0)
            until(lambda: broker.process.poll() is not None, "it goes on", seconds=20)
    with embedded.start(tmp_path) as broker:
        publisher.publish(b"after")
        assert publisher.confirmed == [*(b"before-%d" % number for number in range(BEFORE)), b"full", b"after"]
        found = keys(Clients(broker.address))
    assert [offset for offset, _ in found] == [*range(len(found))]
    assert [key for _, key in found] == publisher.confirmed
