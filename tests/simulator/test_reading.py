"""Reading to an end, in virtual time."""

from __future__ import annotations

from typing import Any

import pytest
from confluent_kafka import KafkaError, Message

from streams.errors import BrokerError
from streams.kafka.bounded_read import first_records, polls, read_to
from tests.simulator.broker import OPEN, MemoryBroker, Transaction
from tests.simulator.clients import MemoryConsumer, MuteConsumer, clients
from tests.simulator.time import VirtualClock


def broker(*values: bytes) -> MemoryBroker:
    it = MemoryBroker(VirtualClock())
    it.create(["t"], 1)
    for value in values:
        it.append(("t", 0), b"k", value, None, None)
    return it


def test_a_slow_reader_reports_no_slow_broker() -> None:
    """A reader may look at a page for as long as they like."""
    there = broker(*[b"a"] * 6_000)  # more than one poll gives
    found = []
    for message in read_to(clients(there).consumer(), {("t", 0): (0, 6_000)}, clock=there.clock, timeout=25):
        found.append(message.value())
        there.clock.sleep(100)
    assert len(found) == 6_000


def test_an_end_behind_an_open_transaction_is_waited_for_as_long_as_it_may_be() -> None:
    """And then the sentence says what it may be."""
    there = broker(b"a")
    there.append(("t", 0), b"k", b"b", None, Transaction(None, 0.0, OPEN))
    reading = polls(clients(there).consumer(), {("t", 0): (0, 2)}, clock=there.clock, timeout=25)
    with pytest.raises(BrokerError, match="t-0 to 2: not readable for 25 s"):
        list(reading)
    assert there.clock.monotonic() < 30


class Failing(MemoryConsumer):
    """Its first answer is an error."""

    def __init__(self, kafka: MemoryBroker, error: KafkaError) -> None:
        super().__init__(kafka, {"group.id": "g", "isolation.level": "read_committed", "enable.partition.eof": True})
        self._error: KafkaError | None = error

    def consume(self, count: int, timeout: float) -> list[Any]:
        error, self._error = self._error, None
        return super().consume(count, timeout) if error is None else [Message(topic="t", partition=0, offset=0, error=error)]


def firsts(there: MemoryBroker, consumer: Any) -> list[bytes | None]:
    return [message.value() for message in first_records(consumer, {("t", 0): 0}, clock=there.clock, timeout=10)]


def test_the_first_records_are_read_where_there_are_any() -> None:
    """Where an end comes first there is none. What passes by itself is waited for."""
    there = broker(b"a", b"b")
    assert firsts(there, clients(there).consumer()) == [b"a"]
    assert firsts(there, Failing(there, KafkaError(KafkaError._TRANSPORT, retriable=True))) == [b"a"]
    empty = broker()
    assert firsts(empty, clients(empty).consumer()) == []


def test_a_first_record_that_cannot_be_read_is_not_taken_for_none() -> None:
    """A status without lag would be wrong while events wait."""
    there = broker(b"a")
    with pytest.raises(BrokerError, match="reading t failed"):
        firsts(there, Failing(there, KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED)))
    with pytest.raises(BrokerError, match="t-0 at 0: not readable for 10 s"):
        firsts(there, clients(there, MuteConsumer).consumer())
