"""What a server reads from Kafka itself, since its file has not got it."""

from __future__ import annotations

import pytest

from streams.config import Config
from streams.kafka.clients import TRANSACTION
from streams.server.readmodel.archive import KafkaArchive
from tests.applications.probe.events import EchoHear
from tests.support.inbox import Foreign, of_probe


@pytest.fixture
def foreign(config: Config, broker: str) -> Foreign:
    return of_probe(config, broker)


def test_the_event_of_an_inbox_record_is_read_from_kafka(foreign: Foreign) -> None:
    """Of the partition and offset that are asked for; none where there is no event, or none that reads here."""
    archive = KafkaArchive(foreign.clients, foreign.config.prefix, foreign.codec, ["echo"])
    events = [EchoHear(name=name) for name in ("a", "b", "c")]
    for number, data in enumerate(events):
        foreign.write("echo", foreign.codec.encode(data), data.key.encode(), number % 2)
    foreign.write("echo", b"no event", b"a", 0)
    foreign.write("echo", None, b"a", 0)
    assert [archive.data(("echo", 0), offset) for offset in range(5)] == [events[0], events[2], None, None, None]
    assert [archive.data(("echo", 1), offset) for offset in (-1, 0, 1)] == [None, events[1], None]


def test_what_a_transaction_left_is_no_event(foreign: Foreign) -> None:
    """Neither the record of one that was aborted, nor Kafka's own record of its end; what follows is told at its own offset."""
    archive = KafkaArchive(foreign.clients, foreign.config.prefix, foreign.codec, ["echo"])
    data = EchoHear(name="a")
    name = f"{foreign.config.prefix}writer"
    producer = foreign.clients.transactional_producer(name, "writer", lambda *_: None, timeout=TRANSACTION)
    producer.init_transactions(20)
    inbox = f"{foreign.config.prefix}echo"
    for end in (producer.abort_transaction, producer.commit_transaction):
        producer.begin_transaction()
        producer.produce(inbox, foreign.codec.encode(data), b"a", 0)
        producer.flush(20)
        end(20)
    foreign.write("echo", foreign.codec.encode(data), b"a", 0)
    committed = [it.offset() for it in foreign.read("echo")]
    [aborted] = {it.offset() for it in foreign.read("echo", isolated=False)}.difference(committed)
    assert (len(committed), aborted) == (2, 0)
    found = {offset: archive.data(("echo", 0), offset) for offset in range(6)}
    assert {offset: it for offset, it in found.items() if it is not None} == dict.fromkeys(committed, data)
