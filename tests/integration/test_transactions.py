"""The rules of docs/correctness about transactions, each on a real broker and each with the harm it guards against."""

from __future__ import annotations

import re
import secrets
import time
from collections import Counter
from functools import partial

import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from streams.clock import SYSTEM
from streams.config import Config
from streams.engine.engine import Engine
from streams.errors import NamespaceStopped
from streams.kafka.clients import Clients
from streams.kafka.commit import Destination, TransactionWriter
from streams.kafka.coordinator_connection import STATISTICS_SECONDS, CoordinatorConnection
from streams.kafka.producer import OnDelivery, TransactionAborted, TransactionalProducer
from streams.kafka.topics import TopicNames, ensure, group_of, topic_names
from tests.applications import probe
from tests.applications.probe.events import EchoHear, EchoRow, ProbeDo, ProbeRow
from tests.support.client_lines import debugging
from tests.support.inbox import Foreign
from tests.support.kafka_proxy import KafkaProxy, LostCommit, StaleMember
from tests.support.workers import Running, until


def nothing(*_: object) -> None:
    """For callbacks that a test has no use for."""


def test_a_member_that_left_cannot_commit_with_what_it_knew(config: Config, foreign: Foreign) -> None:
    """The metadata captured with a batch fences its transaction (rule 4): nothing of it is seen."""
    clients, topics = foreign.clients, topic_names(config.prefix, "echo")
    ensure(clients.admin(), config, ["echo"])
    metadata = left(foreign, group_of(config.prefix, "echo"))
    engine = Engine(probe.app(), "echo", foreign.codec)
    value = foreign.codec.encode(EchoHear(name="k"))
    changes = engine.handle(engine.image(0), [(0, b"k", value, None, 0)], 1)
    name = f"{config.prefix}leaver"
    producer = TransactionalProducer(partial(clients.transactional_producer, name, "leaver"), name, topics.inbox)
    transactions = TransactionWriter(producer, destination(topics))
    producer.ready()
    with pytest.raises(TransactionAborted):
        transactions.write([changes], metadata, {0: engine.image(0)})
    producer.close()
    assert foreign.read("echo-log") == []
    assert foreign.read("echo-table") == []


def destination(topics: TopicNames) -> Destination:
    return Destination(topics, lambda name: name, "probe", {}, 2, "leaver")


RETRIED = re.compile(r"Retrying AddOffsetsToTxnRequest .*, retry 1/.* in ([0-9]+)ms")


def test_a_transaction_does_not_wait_long_for_the_markers_of_the_one_before(
    broker: str, prefix: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """While Kafka writes them, it refuses the offsets of the next one. They are sent again soon, and not after 100 ms."""
    inbox, count, admin = f"{prefix}many", 50, AdminClient({"bootstrap.servers": broker})
    admin.create_topics([NewTopic(inbox, count, 1)])[inbox].result(30)
    clients = Clients(broker, make=debugging("protocol"))
    group = Clients(broker).group_consumer(f"{prefix}many", "many")
    producer = clients.transactional_producer(f"{prefix}many", "many", nothing)
    producer.init_transactions(20)

    def refused() -> bool:
        capfd.readouterr()
        for _ in range(2):
            producer.begin_transaction()
            producer.send_offsets_to_transaction([TopicPartition(inbox, 0, 1)], group.consumer_group_metadata(), 20)
            for partition in range(count):
                producer.produce(inbox, b"", b"k", partition)
            producer.commit_transaction(20)
        waits.extend(float(found[1]) for found in RETRIED.finditer(capfd.readouterr().err))
        return bool(waits)

    waits: list[float] = []
    until(refused, "no transaction began while the markers of the one before were written")
    group.close()
    assert max(waits) < 20, waits


@pytest.mark.parametrize("told", [True, False], ids=["ended once", "ended more often than told"])
def test_statistics_of_a_real_client_tell_how_many_ends_were_sent(
    config: Config, foreign: Foreign, told: bool
) -> None:
    """The second net of rule 31: it would be torn if librdkafka gave its numbers other names."""
    connection = CoordinatorConnection()
    ensure(foreign.clients.admin(), config, ["echo"])
    producer = foreign.clients.transactional_producer(f"{config.prefix}net", "net", nothing, connection)
    producer.init_transactions(20)
    producer.begin_transaction()
    producer.produce(f"{config.prefix}echo", b"", b"k0")
    if told:
        connection.ending()
    producer.commit_transaction(20)
    deadline = time.monotonic() + 3 * STATISTICS_SECONDS
    while time.monotonic() < deadline and not connection.disturbed:
        producer.poll(0.1)
    assert connection.disturbed is not told


def hanging(foreign: Foreign, topic: str, seconds: float) -> Producer:
    """A producer that has written to both partitions of `topic` and neither commits nor aborts: a worker that died."""
    producer = foreign.clients.transactional_producer(f"{topic}.dead", "dead", nothing, timeout=seconds)
    producer.init_transactions(20)
    producer.begin_transaction()
    for partition in (0, 1):
        producer.produce(topic, b"", b"k0", partition, headers=[("retold_version", b"99")])
    producer.flush(20)
    return producer


def test_a_restore_waits_for_what_an_open_transaction_hides(config: Config, broker: str, foreign: Foreign) -> None:
    """A died with a transaction open, B committed behind it and left, C has every row of B's (rule 1).

    A restore to the stable offset would end before B's rows, and say nothing.
    """
    keys = [f"k{n}" for n in range(20)]
    with Running(probe.app(), config, broker, ["echo"]) as worker:
        foreign.publish(*(EchoHear(name=key) for key in keys))
        until(lambda: len(worker.rows("echo")) == 20, "not handled")
        dead = hanging(foreign, f"{config.prefix}echo-table", 8.0)
        foreign.publish(*(EchoHear(name=key) for key in keys))
        until(lambda: worker.rows("echo") == {key: EchoRow(heard=2) for key in keys}, "not handled behind the dead one")
    with Running(probe.app(), config, broker, ["echo"]) as worker:
        assert worker.rows("echo") == {key: EchoRow(heard=2) for key in keys}
    del dead


def test_a_topic_that_was_set_to_take_less_ends_its_namespace_and_leaves_nothing_out(
    config: Config, broker: str, foreign: Foreign
) -> None:
    """What it refuses is not too large: set aside, later events of its key would be handled before it (rule 8)."""
    events = [ProbeDo(name="k", text=text) for text in (secrets.token_hex(5_000), "small", secrets.token_hex(5_000), "small too")]
    with Running(probe.app(), config, broker, ["probe"]) as worker:
        foreign.alter("probe-log", "max.message.bytes", "3000")
        foreign.publish(*events)
        until(worker.ended, "the worker goes on")
    assert "probe-log has max.message.bytes=3000; at least 1179648 was expected. Set it: kafka-configs" in str(worker.errors[0])
    assert foreign.read("probe-parked") == []
    foreign.alter("probe-log", "max.message.bytes", "1179648")
    with Running(probe.app(), config, broker, ["probe"]):
        until(lambda: len(foreign.read("probe-log")) == len(events), "not handled")
    assert [foreign.codec.decode(it.value() or b"") for it in foreign.read("probe-log")] == events


def test_another_namespaces_inbox_that_was_set_to_take_less_ends_who_emits_into_it(
    config: Config, broker: str, foreign: Foreign
) -> None:
    """It refuses what an event emits, and the event is not to blame: set aside, it would never have happened."""
    long = "k" + secrets.token_hex(200)
    with Running(probe.app(), config, broker, ["probe"]) as worker:
        ensure(foreign.clients.admin(), config, ["echo"])
        foreign.alter("echo", "max.message.bytes", "300")
        foreign.publish(*(ProbeDo(name=name, how="echo") for name in ("k", long, "k2", long)))
        until(worker.ended, "the worker goes on")
    assert "echo has max.message.bytes=300; at least 1114112 was expected. Set it: kafka-configs" in str(worker.errors[0])
    assert foreign.read("probe-parked") == []
    foreign.alter("echo", "max.message.bytes", "1114112")
    with Running(probe.app(), config, broker, ["probe"]):
        until(lambda: len(foreign.read("echo")) == 4, "not handled")
    assert Counter((it.key() or b"").decode() for it in foreign.read("echo")) == {"k": 1, "k2": 1, long: 2}


def test_an_aborted_batch_leaves_no_trace_in_rows_and_is_handled_again(
    config: Config, broker: str, foreign: Foreign
) -> None:
    """While the broker refuses it, the row is not there; when it takes it, it is handled once (rules 5 and 9)."""
    stale = StaleMember("retold.probe.probe")
    with KafkaProxy(broker, stale) as proxy, Running(probe.app(), config, proxy.address, ["probe"]) as worker:
        foreign.publish(ProbeDo(name="k", how="echo"))
        until(lambda: worker.rows("probe") == {"k": ProbeRow(count=1, texts={})}, "not handled")
        stale.on = True
        foreign.publish(ProbeDo(name="k", how="echo"))
        until(lambda: stale.refused >= 3, "nothing was refused")
        assert worker.rows("probe") == {"k": ProbeRow(count=1, texts={})}
        assert len(foreign.read("probe-log")) == len(foreign.read("echo")) == 1
        stale.on = False
        until(lambda: worker.rows("probe") == {"k": ProbeRow(count=2, texts={})}, "not handled again")
    assert [m.key() for m in foreign.read("probe-log")] == [b"k@1", b"k@2"]
    assert len(foreign.read("echo")) == 2


def left(foreign: Foreign, group: str) -> object:
    """The metadata of a member that has left its group."""
    consumer = foreign.clients.group_consumer(group, "leaver")
    assigned: list[object] = []
    consumer.subscribe([f"{foreign.config.prefix}echo"], on_assign=lambda it, partitions: assigned.extend(partitions))
    until(lambda: consumer.poll(0.1) is None and len(assigned) == 2, "nothing was assigned")
    metadata = consumer.consumer_group_metadata()
    consumer.close()
    return metadata


def test_a_second_worker_of_the_same_name_stops_the_first_with_a_sentence(
    config: Config, broker: str, foreign: Foreign
) -> None:
    """Two machines with one instance name fence each other; that is said, and nothing is handled twice (rule 3).

    Not in the first seconds of a worker, in which it may be the process before that fences it.
    """
    published = 1

    def fenced() -> bool:
        nonlocal published
        rival = foreign.clients.transactional_producer(f"{config.prefix}retold.probe.echo.test.0", "rival", nothing)
        rival.init_transactions(20)
        published += 1
        foreign.publish(EchoHear(name="k"))
        return worker.ended()

    with Running(probe.app(), config, broker, ["echo"]) as worker:
        foreign.publish(EchoHear(name="k"))
        until(lambda: worker.rows("echo") == {"k": EchoRow(heard=1)}, "not handled")
        until(fenced, "the fenced worker goes on", pause=1.0)
    [error] = worker.errors
    assert isinstance(error, NamespaceStopped)
    assert "RETOLD_INSTANCE" in str(error)
    assert 1 <= len(foreign.read("echo-log")) < published


def test_a_lost_producer_is_replaced_and_everything_restored(config: Config, broker: str, foreign: Foreign) -> None:
    """A commit of which nothing is heard is not undone locally: the images are dropped and read again (rules 3 and 8)."""
    faults = LostCommit("retold.probe.echo")
    with KafkaProxy(broker, faults) as proxy, Running(probe.app(), config, proxy.address, ["echo"]) as worker:
        foreign.publish(EchoHear(name="k"))
        until(lambda: worker.rows("echo") == {"k": EchoRow(heard=1)}, "not handled")
        faults.arm()
        foreign.publish(EchoHear(name="k"))
        until(lambda: faults.lost > 0, "nothing was lost")
        until(lambda: worker.rows("echo") == {"k": EchoRow(heard=2)}, "not restored")
        foreign.publish(EchoHear(name="k"))
        until(lambda: worker.rows("echo") == {"k": EchoRow(heard=3)}, "it does not go on")
    assert [m.key() for m in foreign.read("echo-log")] == [b"k@1", b"k@2", b"k@3"]
    assert sum(marker.producers_replaced for marker in foreign.markers("echo").values()) == 1


def test_a_producer_that_is_fenced_as_it_begins_is_replaced(config: Config, broker: str, foreign: Foreign) -> None:
    """Two processes of one name start at once: the client of the first raises in a flush, and calls a callback all the same.

    Python makes a SystemError of that, which nobody expects, and the worker would end with it (a script for Kafka found it).
    """
    log, name = f"{config.prefix}echo-log", f"{config.prefix}twice"

    def make(on_delivery: OnDelivery, connection: CoordinatorConnection) -> Producer:
        return foreign.clients.transactional_producer(name, name, on_delivery, connection)

    def held_up() -> list[tuple[str, int]]:
        make(nothing, CoordinatorConnection(SYSTEM)).init_transactions(20)
        return [(log, 0), (log, 1)]

    first = TransactionalProducer(make, name, "echo", held_up=held_up)
    ensure(foreign.clients.admin(), config, ["echo"])
    first.ready()
    first.ready()
    assert first.begin()
    first.close()
