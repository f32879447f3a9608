"""What a dead worker left open is ended by the worker that takes over its partitions, and not by its time-out."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from streams.clock import SystemClock
from streams.config import Config
from streams.kafka import open_transactions
from streams.kafka.clients import C, Clients, Options, librdkafka
from streams.kafka.dead_workers import OLD, DeadWorkers
from streams.kafka.offsets import held_up
from streams.kafka.open_transactions import worker_ids
from streams.kafka.topics import group_of
from tests.applications import probe
from tests.applications.probe.events import EchoHear, EchoRow
from tests.support.inbox import Foreign, of_probe
from tests.support.workers import Running, settings, until

LONG = 120.0
"""s: the time-out of a transaction that nobody waits for here."""


@pytest.fixture
def config(tmp_path: Path, prefix: str) -> Config:
    return settings(tmp_path, prefix)


@pytest.fixture
def foreign(config: Config, broker: str) -> Foreign:
    return of_probe(config, broker)


def name(config: Config, instance: str) -> str:
    return f"{config.prefix}retold.probe.echo.{instance}.0"


def dead_workers(clients: Clients, config: Config, me: str, written: Sequence[tuple[str, int]] = ()) -> DeadWorkers:
    """As a worker of this instance has it."""
    ids = worker_ids(config.prefix, "probe", "echo")
    return DeadWorkers(clients, clients.admin(), ids, group_of(config.prefix, "echo"), name(config, me), written)


def left_open(foreign: Foreign, instance: str) -> Producer:
    """A transaction of a worker of this instance, in each partition of the table."""
    found = foreign.clients.transactional_producer(name(foreign.config, instance), "gone", lambda *_: None, timeout=LONG)
    found.init_transactions(20)
    found.begin_transaction()
    for partition in range(2):
        found.produce(f"{foreign.config.prefix}echo-table", b"", b"\x00none", partition)
    assert found.flush(20) == 0
    return found


@contextmanager
def member(foreign: Foreign, client_id: str) -> Iterator[Consumer]:
    """Of the group, under this name."""
    consumer = foreign.clients.group_consumer(group_of(foreign.config.prefix, "echo"), client_id)
    try:
        consumer.subscribe([f"{foreign.config.prefix}echo"])
        until(lambda: consumer.poll(0.1) is None and len(consumer.assignment()) == 2, "it has not joined")
        yield consumer
    finally:
        consumer.close()


class OtherClock(SystemClock):
    """Of a machine whose wall clock is so many s ahead of the broker's."""

    def __init__(self, ahead: float) -> None:
        self._ahead = ahead

    def now(self) -> int:
        return super().now() + round(self._ahead * 1e6)


def run(dead: DeadWorkers, topics: Sequence[tuple[str, int]], seconds: float = 60.0) -> float:
    """As a restore does, for so long at most; how many s it took."""
    began = time.monotonic()
    for pause in dead.end_transactions(topics):
        if time.monotonic() - began >= seconds:
            break
        time.sleep(pause)
    return time.monotonic() - began


def test_a_transaction_of_a_worker_that_is_gone_is_ended_by_who_takes_over(
    config: Config, broker: str, foreign: Foreign
) -> None:
    """Its partitions are handled at once, and not after its time-out."""
    left_open(foreign, "gone")
    time.sleep(OLD)
    began = time.monotonic()
    foreign.publish(*[EchoHear(name="k")] * 3)
    with Running(probe.app(), config, broker, ["echo"]) as worker:
        until(lambda: worker.rows("echo") == {"k": EchoRow(heard=3)}, "not handled")
    assert time.monotonic() - began < LONG / 2


def test_a_transaction_that_had_only_sent_its_offsets_is_ended(config: Config, broker: str, foreign: Foreign) -> None:
    """Its records were not on the broker yet when its worker was killed: the group's offset alone waits for its end."""
    inbox = f"{config.prefix}echo"
    foreign.publish(*[EchoHear(name="k")] * 3)
    with member(foreign, name(config, "gone")) as consumer:
        producer = foreign.clients.transactional_producer(name(config, "gone"), "gone", lambda *_: None, timeout=LONG)
        producer.init_transactions(20)
        producer.begin_transaction()
        offsets = [TopicPartition(inbox, partition, 1) for partition in range(2)]
        producer.send_offsets_to_transaction(offsets, consumer.consumer_group_metadata(), 20)
    time.sleep(OLD)
    began = time.monotonic()
    with Running(probe.app(), config, broker, ["echo"]) as worker:
        until(lambda: worker.rows("echo") == {"k": EchoRow(heard=3)}, "not handled")
    assert time.monotonic() - began < LONG / 2


def test_a_transaction_of_a_worker_that_lives_is_left_to_it(config: Config, foreign: Foreign) -> None:
    """The group has it, so it commits what it began. One who is not in the group itself ends nothing."""
    producer, topics = left_open(foreign, "busy"), [(f"{config.prefix}echo-table", at) for at in range(2)]
    time.sleep(OLD)
    clients = foreign.clients
    dead, other = dead_workers(clients, config, "busy"), dead_workers(clients, config, "other")
    run(other, topics)
    with member(foreign, name(config, "busy")):
        run(dead, topics)
        run(other, topics)
        assert held_up(clients.admin(), topics).keys() == set(topics)
        producer.commit_transaction(20)
    assert not held_up(clients.admin(), topics)


@pytest.mark.parametrize("ahead", [0.0, 7200.0])
def test_a_transaction_that_has_just_begun_is_left_alone(config: Config, foreign: Foreign, ahead: float) -> None:
    """A worker that starts is not in its group yet, and ends what may hang with a short one, whatever this clock says."""
    producer, topics = left_open(foreign, "starting"), [(f"{config.prefix}echo-table", at) for at in range(2)]
    clients = replace(foreign.clients, clock=OtherClock(ahead))
    with member(foreign, name(config, "me")):
        dead = dead_workers(clients, config, "me", [(f"{config.prefix}echo", 0)])
        run(dead, topics, OLD / 3)
        producer.commit_transaction(20)


@pytest.mark.parametrize("written", [True, False])
def test_a_dead_workers_transaction_is_ended_also_by_a_machine_whose_clock_is_behind(
    config: Config, foreign: Foreign, written: bool
) -> None:
    """At once if a later record tells the broker's time; else after a while in which it was seen open."""
    left_open(foreign, "gone")
    topics, inbox = [(f"{config.prefix}echo-table", at) for at in range(2)], f"{config.prefix}echo"
    clients = replace(foreign.clients, clock=OtherClock(-7200.0))
    with member(foreign, name(config, "me")):
        dead = dead_workers(clients, config, "me", [(inbox, at) for at in range(2)])
        if written:
            time.sleep(OLD)
            foreign.publish(EchoHear(name="k"))
        took = run(dead, topics)
    assert not held_up(clients.admin(), topics)
    assert (took < OLD) == written


def test_two_restores_end_a_transaction_once(config: Config, foreign: Foreign) -> None:
    """It is in the partitions of both. Two producers of one id would fence each other, and each try again after a while."""
    left_open(foreign, "gone")
    made = list[str]()

    def make(kind: Callable[[Options], C], options: Options) -> C:
        made.append(options.get("transactional.id", ""))
        return librdkafka(kind, options)

    topics, clients = [(f"{config.prefix}echo-table", at) for at in range(2)], replace(foreign.clients, make=make)
    with member(foreign, name(config, "me")):
        dead = dead_workers(clients, config, "me")
        restores = [threading.Thread(target=run, args=(dead, [each])) for each in topics]
        for restore in restores:
            restore.start()
        for restore in restores:
            restore.join()
    assert not held_up(clients.admin(), topics)
    assert made.count(name(config, "gone")) == 1


def test_a_look_that_failed_is_made_again(config: Config, foreign: Foreign, monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy broker did not say in time whose the transaction is: else everyone would wait for its time-out."""
    left_open(foreign, "gone")
    ask, failures = open_transactions._asked, ["there was no answer within 5 s"]

    def fail(clients: Clients, partitions: Sequence[tuple[str, int]]) -> Any:
        return dict.fromkeys(partitions, failures.pop()) if failures else ask(clients, partitions)

    monkeypatch.setattr(open_transactions, "_asked", fail)
    topics, clients = [(f"{config.prefix}echo-table", at) for at in range(2)], foreign.clients
    with member(foreign, name(config, "me")):
        run(dead_workers(clients, config, "me"), topics)
    assert not failures
    assert not held_up(clients.admin(), topics)
