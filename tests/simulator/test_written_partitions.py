"""A new producer ends, in each partition that the lost transaction wrote to, what may hang there."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from confluent_kafka import KafkaError, murmur2

from streams.errors import BrokerError
from streams.kafka.coordinator_connection import CoordinatorConnection
from streams.kafka.producer import HeldUp, OnDelivery, ProducerLost, TransactionAborted, TransactionalProducer
from tests.simulator.broker import ABORTED, MemoryBroker
from tests.simulator.memory_producer import MemoryProducer
from tests.simulator.time import VirtualClock

NAME = "order.here.0"


@pytest.fixture
def broker() -> MemoryBroker:
    it = MemoryBroker(VirtualClock())
    it.create(["order-log", "payment", "untouched"], 4)
    return it


def made(
    broker: MemoryBroker, connections: list[CoordinatorConnection], held_up: HeldUp = tuple
) -> TransactionalProducer:
    def make(_: OnDelivery, connection: CoordinatorConnection) -> Any:
        connections.append(connection)
        return MemoryProducer(broker, {"transactional.id": NAME})

    return TransactionalProducer(make, NAME, "order", clock=broker.clock, held_up=held_up)


def lose(producer: TransactionalProducer, broker: MemoryBroker) -> None:
    """In a transaction that has written to a partition of the log: its coordinator has given it up."""
    producer.ready()
    producer.begin()
    producer.put("order-log", b"1", b"o1@1", 2, None)
    broker.producers[NAME] = None
    with pytest.raises(ProducerLost):
        producer.commit([], None)


def records(broker: MemoryBroker) -> dict[tuple[str, int], int]:
    """How many records of transactions that were aborted each partition has."""
    found = Counter[tuple[str, int]]()
    for topic, partitions in broker.topics.items():
        for number, kept in enumerate(partitions):
            for it in kept.entries:
                found[topic, number] += not it.control and it.transaction is not None and it.transaction.state == ABORTED
    return {at: count for at, count in found.items() if count}


def test_a_producer_whose_transaction_outlived_its_timeout_is_replaced(broker: MemoryBroker) -> None:
    """Its process stood still: the broker has ended it, and fences the next one of this producer."""
    producer = made(broker, [])
    producer.ready()
    for seconds, replaced in ((9.0, 0), (10.0, 1)):
        producer.begin()
        broker.clock.sleep(seconds)
        with pytest.raises(TransactionAborted):
            producer.give_up(BrokerError("it is refused"))
        producer.ready()
        assert producer.replaced == replaced
    broker.clock.sleep(10.0)
    with pytest.raises(TransactionAborted):
        producer.give_up(BrokerError("there is nothing to refuse"))
    producer.ready()
    assert producer.replaced == 1


def test_a_new_producer_ends_what_may_hang(broker: MemoryBroker) -> None:
    """The same partitions get another transaction of this id, and its end; nobody reads a record of it, and others get none."""
    connections: list[CoordinatorConnection] = []
    producer = made(broker, connections)
    producer.ready()
    producer.begin()
    producer.put("order-log", b"1", b"o1@1", 2, None)
    producer.put("order-log", b"2", b"o1@2", 2, None)
    producer.put("payment", b"3", b"o1", -1, None)
    broker.producers[NAME] = None  # its coordinator has given it up
    with pytest.raises(ProducerLost):
        producer.commit([], None)
    before = records(broker)
    producer.ready()
    after = records(broker)
    written = {("order-log", 2), ("payment", int(murmur2(b"o1", 4)))}
    assert {at for at in after if after[at] > before.get(at, 0)} == written
    connections[-1].on_statistics('{"brokers": {"1": {"req": {"EndTxn": 1}}}}')
    assert not connections[-1].disturbed, "the client has sent one end more than anybody knows of"
    assert producer.begin()


@pytest.mark.parametrize("code", [KafkaError._MSG_TIMED_OUT, KafkaError.UNKNOWN])
def test_a_producer_whose_empty_transaction_may_hang_itself_is_replaced(broker: MemoryBroker, code: int) -> None:
    """A record of it that was not delivered in time may come behind its end, and be committed with the next (a seed found it).

    One that was refused, as by a broker whose disk is full, is no end there: what hangs would hang for good.
    """

    class Slow(MemoryProducer):
        def __init__(self, on_delivery: OnDelivery) -> None:
            super().__init__(broker, {"transactional.id": NAME})
            self._on_delivery = on_delivery

        def flush(self, _timeout: float) -> int:
            self._on_delivery(KafkaError(code), None)  # type: ignore[arg-type]  # nobody looks at it
            return 0

    kinds = iter([MemoryProducer, Slow, MemoryProducer])

    def make(on_delivery: OnDelivery, _: CoordinatorConnection) -> Any:
        return Slow(on_delivery) if next(kinds) is Slow else MemoryProducer(broker, {"transactional.id": NAME})

    producer = TransactionalProducer(make, NAME, "order", clock=broker.clock)
    lose(producer, broker)
    producer.ready()
    with pytest.raises(TransactionAborted, match="replaced first"):
        producer.begin()
    before = records(broker)
    producer.ready()
    assert records(broker)["order-log", 2] > before["order-log", 2], "what the lost one wrote to is forgotten"
    assert producer.begin()


def test_a_producer_that_stood_still_in_its_empty_transaction_is_replaced(broker: MemoryBroker) -> None:
    """The broker ended it, being too old; that is no other worker of the same name, which would end this one (a seed found it)."""

    class Still(MemoryProducer):
        def flush(self, _timeout: float) -> int:
            broker.clock.sleep(11)
            broker.producers[NAME] = None
            return 0

    kinds = iter([MemoryProducer, Still, MemoryProducer])
    producer = TransactionalProducer(
        lambda *_: next(kinds)(broker, {"transactional.id": NAME}), NAME, "order", clock=broker.clock
    )
    lose(producer, broker)
    producer.ready()
    with pytest.raises(TransactionAborted, match="replaced first"):
        producer.begin()
    producer.ready()
    assert producer.begin()


def test_a_first_producer_ends_what_an_earlier_process_left(broker: MemoryBroker) -> None:
    """It knows only what is held up; of another's transaction there this is no end."""
    other = MemoryProducer(broker, {"transactional.id": "another"})
    other.init_transactions(1)
    other.begin_transaction()
    other.produce("order-log", b"1", b"o1@1", 0)
    producer = made(broker, [], lambda: [("order-log", 0), ("order-log", 1)])
    producer.ready()
    assert records(broker) == {("order-log", 0): 1, ("order-log", 1): 1}
    assert broker.partition(("order-log", 0)).stable == 0
    other.commit_transaction(1)
    assert broker.partition(("order-log", 0)).stable == 4


def test_a_first_producer_has_nothing_to_end(broker: MemoryBroker) -> None:
    """A start writes no record."""
    made(broker, []).ready()
    assert records(broker) == {}
