"""What Kafka has committed, but not in all partitions, is committed there before anything else is decided."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
from aiokafka.client import AIOKafkaClient
from aiokafka.protocol.produce import ProduceRequest
from aiokafka.protocol.transaction import TxnOffsetCommitRequest
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from streams.config import Config
from streams.kafka.active_producers import with_client
from streams.kafka.commit_completion import CommitCompletion
from streams.kafka.offsets import TopicAndPartition, group_offsets_partition, held_up
from streams.kafka.producer import TransactionalProducer
from streams.kafka.topics import group_of
from streams.kafka.transaction_protocol import DescribeTransactions, plain
from tests.applications import probe
from tests.applications.probe.events import EchoHear
from tests.support.group_offsets import committed
from tests.support.inbox import Foreign, of_probe
from tests.support.workers import Running, settings, until

VERIFIES = "transaction.partition.verification.enable"


@pytest.fixture
def config(tmp_path: Path, prefix: str) -> Config:
    return settings(tmp_path, prefix)


@pytest.fixture
def foreign(config: Config, broker: str) -> Iterator[Foreign]:
    """The broker takes records of a transaction that its coordinator does not know, as it does not by default."""
    admin = AdminClient({"bootstrap.servers": broker})

    def verify(value: str) -> None:
        entry = ConfigEntry(VERIFIES, value, incremental_operation=AlterConfigOpType.SET)
        [done] = admin.incremental_alter_configs([ConfigResource(ResourceType.BROKER, "1", incremental_configs=[entry])]).values()
        done.result(20)

    verify("false")
    yield of_probe(config, broker)
    verify("true")


@dataclass(frozen=True)
class Transaction:
    """The last one of this id, by its coordinator."""

    name: str
    producer_id: int
    epoch: int
    state: str


class Left:
    """Kafka's state where it has ended a transaction without some partitions: records of it are open there."""

    def __init__(self, foreign: Foreign, name: str) -> None:
        self.foreign, self.name = foreign, name
        self.group = group_of(foreign.config.prefix, "echo")
        self.admin = foreign.clients.admin()
        topics = [f"{foreign.config.prefix}echo-{kind}" for kind in ("table", "log", "parked")]
        self.partitions = [(topic, number) for topic in topics for number in range(2)]

    def commit(self) -> Producer:
        """A transaction of this id."""
        producer = self.foreign.clients.transactional_producer(self.name, "gone", lambda *_: None, timeout=60.0)
        producer.init_transactions(20)
        producer.begin_transaction()
        producer.produce(self.partitions[0][0], b"", b"\x00none", 0)
        producer.commit_transaction(20)
        until(lambda: self.last().state == "CompleteCommit", "the commit is not complete")
        return producer

    def last(self) -> Transaction:
        async def ask(client: AIOKafkaClient) -> Transaction:
            [broker] = client.cluster.brokers()
            [found] = plain(await client.send(broker.nodeId, DescribeTransactions([self.name])))["transaction_states"]
            return Transaction(self.name, found["producer_id"], found["producer_epoch"], found["transaction_state"])

        return with_client(self.foreign.clients, set(), ask, 20)

    def record(self, of: Transaction, at: TopicAndPartition, key: bytes = b"\x00late") -> None:
        """A record of it that no end has reached."""
        batch = DefaultRecordBatchBuilder(2, 0, 1, of.producer_id, of.epoch, 0, 10_000)
        assert batch.append(0, int(time.time() * 1000), key, None, []) is not None
        topic, number = at

        async def ask(client: AIOKafkaClient) -> int:
            [broker] = client.cluster.brokers()
            request = ProduceRequest(of.name, -1, 10_000, [(topic, [(number, bytes(batch.build()))])])
            answer = await client.send(broker.nodeId, request)
            return int(answer.topics[0][1][0][1])

        assert with_client(self.foreign.clients, {topic}, ask, 20) == 0

    def offset(self, of: Transaction, offset: int) -> None:
        """The group's offset, in the same way."""
        inbox = f"{self.foreign.config.prefix}echo"

        async def ask(client: AIOKafkaClient) -> int:
            [broker] = client.cluster.brokers()
            request = TxnOffsetCommitRequest(of.name, self.group, of.producer_id, of.epoch, [(inbox, [(0, offset, "")])])
            answer = await client.send(broker.nodeId, request)
            return int(answer.errors[0][1][0][1])

        self.committed()  # so that the group has a coordinator
        until(lambda: with_client(self.foreign.clients, set(), ask, 20) == 0, "the group's coordinator does not take the offset")

    def committed(self, partition: int = 0) -> int:
        return committed(self.foreign.clients.address, self.group, f"{self.foreign.config.prefix}echo", partition)

    def held(self) -> Sequence[TopicAndPartition]:
        offsets = group_offsets_partition(self.admin, self.group)
        assert offsets is not None
        return sorted(held_up(self.admin, [*self.partitions, offsets]))

    def complete(self) -> None:
        CommitCompletion(self.foreign.clients, self.admin, self.group, self.partitions).complete(self.name)


def keys(foreign: Foreign, topic: str) -> list[bytes | None]:
    """What a reader of committed records gets."""
    return [message.key() for message in foreign.read(topic)]


def test_what_was_left_out_of_a_commit_is_committed(config: Config, foreign: Foreign) -> None:
    """Records, and the group's offset: else the next end of this id would decide on them."""
    left = Left(foreign, f"{config.prefix}retold.probe.echo.gone.0")
    left.commit()
    last, at = left.last(), left.partitions[1]
    left.record(last, at)
    left.offset(last, 7)
    assert at in left.held()
    assert len(left.held()) == 2
    left.complete()
    assert left.held() == []
    assert b"\x00late" in keys(foreign, "echo-table")
    assert left.committed() == 7


def test_what_an_earlier_producer_left_is_not_committed(config: Config, foreign: Foreign) -> None:
    """The last commit was of another transaction: by its epoch the open one is told from it."""
    left = Left(foreign, f"{config.prefix}retold.probe.echo.gone.0")
    left.commit()
    first, at = left.last(), left.partitions[1]
    left.record(first, at)
    left.commit()
    assert left.last().epoch > first.epoch
    left.complete()
    assert left.held() == [at]


def test_an_offset_that_an_earlier_producer_left_open_is_aborted(config: Config, foreign: Foreign) -> None:
    """Seen after a full disk: restores of all who read the group's offsets waited for an end that never came."""
    left = Left(foreign, f"{config.prefix}retold.probe.echo.gone.0")
    left.commit()
    first = left.last()
    left.offset(first, 7)
    left.commit()
    assert left.last().epoch > first.epoch
    assert len(left.held()) == 1
    left.complete()
    assert left.held() == []
    assert left.committed() < 0, "nothing of it counts"


def test_an_offset_that_is_left_open_while_a_producer_takes_over_is_not_committed_by_it(config: Config, foreign: Foreign) -> None:
    """Kafka keeps such offsets by the number of a producer, which is the same in all epochs: the next commit would commit it, too.

    So a group's offset was ahead of its table's marker.
    """
    left, looks = Left(foreign, f"{config.prefix}retold.probe.echo.gone.0"), list[str]()
    left.commit()
    first = left.last()

    def complete(name: str) -> None:
        left.complete()
        if not looks:
            left.offset(first, 7)
        looks.append(name)

    make = partial(foreign.clients.transactional_producer, left.name, "next")
    producer = TransactionalProducer(make, left.name, "echo", complete=complete)
    producer.ready()
    member = foreign.clients.group_consumer(left.group, "next")
    producer.begin()
    producer.commit([TopicPartition(f"{config.prefix}echo", 1, 3)], member.consumer_group_metadata())
    until(lambda: left.held() == [], "the commit is not complete")
    assert (left.committed(0) < 0, left.committed(1)) == (True, 3)
    producer.close()
    member.close()


def test_a_transaction_that_is_open_is_left_to_its_producer(config: Config, foreign: Foreign) -> None:
    """Its end is not decided yet."""
    left = Left(foreign, f"{config.prefix}retold.probe.echo.busy.0")
    producer = left.commit()
    producer.begin_transaction()
    topic, number = left.partitions[1]
    producer.produce(topic, b"", b"\x00late", number)
    assert producer.flush(20) == 0
    left.complete()
    assert left.held() == [(topic, number)]
    producer.abort_transaction(20)
    until(lambda: left.held() == [], "the ends of the aborted transaction are not written")
    assert keys(foreign, "echo-table") == [b"\x00none"]


def test_a_worker_that_starts_commits_what_was_left_out(config: Config, broker: str, foreign: Foreign) -> None:
    """Else it would abort that: a part of its last transaction, whose other part is committed."""
    foreign.publish(*[EchoHear(name="k")] * 3)
    with Running(probe.app(), config, broker, ["echo"]) as worker:
        until(lambda: worker.counted("echo", "accepted") == 3, "not handled")
    left, at = Left(foreign, f"{config.prefix}retold.probe.echo.{config.instance}.0"), (f"{config.prefix}echo-parked", 0)
    left.record(left.last(), at, b"7")
    assert left.held() == [at]
    with Running(probe.app(), config, broker, ["echo"]) as worker:
        until(lambda: bool(worker.rows("echo")), "it does not start")
    assert left.held() == []
    assert keys(foreign, "echo-parked") == [b"7"]
