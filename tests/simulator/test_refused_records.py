"""A transaction that was aborted for a record that the broker refused does not take the next one along."""

from __future__ import annotations

from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from streams.kafka.coordinator_connection import CoordinatorConnection
from streams.kafka.producer import OnDelivery, ProducerLost, TransactionAborted, TransactionalProducer
from tests.simulator.broker import MemoryBroker, Metadata
from tests.simulator.memory_producer import MemoryProducer
from tests.simulator.time import VirtualClock


class Member:
    """Of a group of one."""


@pytest.fixture
def broker() -> MemoryBroker:
    it = MemoryBroker(VirtualClock())
    it.create(["order", "order-log"], 1)
    it.largest["order-log"] = 5
    return it


def test_a_transaction_after_a_record_was_refused_is_committed(broker: MemoryBroker) -> None:
    """The client goes on counting behind the refused record, so a producer that was kept is refused once more.

    Then the search for what is too large would begin anew each time, since every other abort is for another reason.
    """

    def make(on_delivery: OnDelivery, _: CoordinatorConnection) -> Any:
        return MemoryProducer(broker, {"transactional.id": "order.here.0", "on_delivery": on_delivery})

    member = Member()
    broker.join("orders", member, 1)
    metadata = Metadata("orders", member, broker.groups["orders"].generation)
    producer = TransactionalProducer(make, "order.here.0", "order", clock=broker.clock)
    for value in (b"far too large", b"small"):
        producer.ready()
        producer.begin()
        producer.put("order-log", value, b"o1@1", 0, None)
        if value == b"small":
            producer.commit([], metadata)
        else:
            with pytest.raises(TransactionAborted) as refused:
                producer.commit([], metadata)
            assert refused.value.poison
    assert [it.value for _, it in broker.partition(("order-log", 0)).committed()] == [b"small"]


@pytest.mark.parametrize("fenced", [False, True], ids=["another error", "fenced"])
def test_a_producer_that_fails_between_transactions_is_replaced(broker: MemoryBroker, fenced: bool) -> None:
    """Its fatal error is told late, as after a full disk. It ended the worker; but one that another fenced must end it."""
    made = list[MemoryProducer]()

    def make(on_delivery: OnDelivery, _: CoordinatorConnection) -> Any:
        made.append(MemoryProducer(broker, {"transactional.id": "order.here.0", "on_delivery": on_delivery}))
        return made[-1]

    producer = TransactionalProducer(make, "order.here.0", "order", clock=broker.clock)
    producer.ready()
    made[0].fail(KafkaError(KafkaError._FENCED if fenced else KafkaError.INVALID_TXN_STATE, fatal=True))
    producer.ready()
    assert len(made) == (1 if fenced else 2)
    if fenced:
        with pytest.raises(KafkaException):
            producer.begin()
    else:
        assert producer.begin()


@pytest.mark.parametrize("lost", [True, False], ids=["after a loss", "out of the blue"])
def test_a_young_transaction_that_is_fenced_after_a_loss_is_no_other_worker(broker: MemoryBroker, lost: bool) -> None:
    """The broker was still ending what was left open. It ended the namespace of a worker whose broker had stood still thrice."""
    made = list[MemoryProducer]()

    def make(on_delivery: OnDelivery, _: CoordinatorConnection) -> Any:
        made.append(MemoryProducer(broker, {"transactional.id": "order.here.0", "on_delivery": on_delivery}))
        return made[-1]

    producer = TransactionalProducer(make, "order.here.0", "order", clock=broker.clock)

    def fail(code: int) -> ProducerLost:
        producer.ready()
        producer.begin()
        made[-1].fail(KafkaError(code, fatal=True))
        with pytest.raises(ProducerLost) as found:
            producer.give_up(KafkaException(KafkaError(code, fatal=True)))
        return found.value

    if lost:
        assert not fail(KafkaError.INVALID_TXN_STATE).fenced
        assert not fail(KafkaError._FENCED).fenced
    assert fail(KafkaError._FENCED).fenced, "another worker of this name is found out"


def test_a_client_that_is_kept_is_refused_once_more(broker: MemoryBroker) -> None:
    """As librdkafka is: the simulator's producer counts a record that was refused, too."""
    told: list[int] = []
    client = MemoryProducer(broker, {"transactional.id": "x", "on_delivery": lambda error, _: told.append(error.code())})
    client.init_transactions(1)
    for value in (b"far too large", b"small", b"small"):
        client.begin_transaction()
        client.produce("order-log", value, b"k", 0)
        client.flush(1)
        client.abort_transaction(1)
    assert told == [KafkaError.MSG_SIZE_TOO_LARGE, KafkaError._PURGE_QUEUE]
