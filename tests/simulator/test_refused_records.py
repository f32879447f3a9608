"""A transaction that was aborted for a record that the broker refused does not take the next one along."""

from __future__ import annotations

from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, Producer

from streams.kafka.coordinator_connection import CoordinatorConnection
from streams.kafka.producer import (
    BY_KEY,
    LATE,
    YOUNG,
    OnDelivery,
    ProducerLost,
    RecordRefused,
    TransactionAborted,
    TransactionalProducer,
)
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


def test_a_key_that_is_too_large_by_itself_does_not_have_producers_replaced_for_ever(broker: MemoryBroker) -> None:
    """The record that is to end what the first one left open has that key, and is refused, too: nothing was left open there."""

    def make(on_delivery: OnDelivery, _: CoordinatorConnection) -> Any:
        return MemoryProducer(broker, {"transactional.id": "order.here.0", "on_delivery": on_delivery})

    broker.largest["order-log"] = -1  # it counts no keys, so this refuses what has nothing else
    producer = TransactionalProducer(make, "order.here.0", "order", clock=broker.clock)
    producer.ready()
    producer.begin()
    producer.put("order-log", b"", b"a key that is far too large", 0, None)
    with pytest.raises(TransactionAborted):
        producer.commit([], None)
    for _ in range(2):
        producer.ready()
    assert producer.begin()


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


@pytest.mark.parametrize(
    ("first", "quiet"), [(KafkaError.INVALID_TXN_STATE, LATE), (KafkaError._FENCED, YOUNG)], ids=["after a loss", "just started"]
)
def test_a_young_transaction_that_is_fenced_after_a_loss_is_no_other_worker(
    broker: MemoryBroker, first: int, quiet: float
) -> None:
    """The broker was still ending what was left open, or the process before was. It ended the namespace of a worker for good."""
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

    fail(first)
    assert [fail(KafkaError._FENCED).late for _ in range(3)] == [True] * 3, "how many requests are late is not known"
    broker.clock.sleep(quiet + 1)
    last = fail(KafkaError._FENCED)
    assert (last.fenced, last.late) == (True, False), "another worker of this name is found out"


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


class SmallQueue(MemoryProducer):
    """Its queue takes two records, until it is polled."""

    waiting = polls = 0

    def produce(self, *args: Any, **kwargs: Any) -> None:
        if self.waiting == 2:
            raise BufferError("Local: Queue full")
        self.waiting += 1
        super().produce(*args, **kwargs)

    def poll(self, timeout: float) -> int:
        self.waiting, self.polls = 0, self.polls + 1
        return super().poll(timeout)


def test_records_that_find_the_queue_full_are_not_lost(broker: MemoryBroker) -> None:
    """Each is produced again once there is space, in its place."""
    broker.largest["order-log"] = 100
    made = list[SmallQueue]()

    def make(on_delivery: OnDelivery, _: CoordinatorConnection) -> Any:
        made.append(SmallQueue(broker, {"transactional.id": "order.here.0", "on_delivery": on_delivery}))
        return made[-1]

    producer = TransactionalProducer(make, "order.here.0", "order", clock=broker.clock)
    producer.ready()
    producer.begin()
    before = made[0].polls
    producer.put_all("order-log", 0, [(b"k@%d" % number, b"%d" % number, None) for number in range(7)])
    assert made[0].polls > before, "the queue was full"
    producer.commit([], None)
    assert [it.value for _, it in broker.partition(("order-log", 0)).committed()] == [b"%d" % number for number in range(7)]


def test_a_record_that_the_client_does_not_take_is_named_with_its_partition() -> None:
    """Whether it is produced alone or with others, it says so, and its transaction may not be committed."""
    client = Producer({"bootstrap.servers": "127.0.0.1:1", "log_level": 0})
    producer = TransactionalProducer(lambda *_: client, "x", "order")
    producer._producer = client
    for produce in (
        lambda: producer.put("order-log", b"value", b"key", 3, [("name", 5)]),
        lambda: producer.put_all("order-log", 3, [(b"key", b"value", []), (b"key", b"value", [("name", 5)])]),
    ):
        with pytest.raises(RecordRefused, match="a record for order-log-3 is not taken by the Kafka client"):
            produce()


def test_a_partition_that_was_written_to_in_one_go_is_kept_in_mind(broker: MemoryBroker) -> None:
    """A new producer ends there what hangs, as in one that was written to by single records."""
    broker.largest["order-log"] = 100
    client = MemoryProducer(broker, {"transactional.id": "order.here.0"})
    producer = TransactionalProducer(lambda *_: client, "order.here.0", "order", clock=broker.clock)
    producer.ready()
    producer.begin()
    producer.put_all("order-log", 0, [(b"k@1", b"1", None)])
    client.abort_transaction(1)
    assert producer._written.write_again(client, 1)


def test_each_key_whose_partition_is_chosen_by_it_is_kept_in_mind(broker: MemoryBroker) -> None:
    """Of records for another inbox nobody here knows the partition, so a new producer writes to each of their keys'."""
    client = MemoryProducer(broker, {"transactional.id": "order.here.0"})
    producer = TransactionalProducer(lambda *_: client, "order.here.0", "order", clock=broker.clock)
    producer.ready()
    producer.begin()
    producer.put_all("order", BY_KEY, [(b"a", b"1", None), (b"b", b"2", None)])
    client.abort_transaction(1)
    assert producer._written._keys == {("order", b"a"), ("order", b"b")}
    assert not producer._written._partitions
