"""Topics that change under a running worker (rules 14 and 34), on a Kafka in memory."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from streams.errors import BrokerError, BrokerUnavailable, TopicMismatch
from streams.kafka.topics import topic_names
from streams.localbroker import state
from streams.worker.producer_ready import producer_ready
from streams.worker.topic_comparison import FRESH, GONE
from tests.applications import probe
from tests.applications.probe.events import EchoHear, ProbeDo
from tests.simulator.broker import Partition
from tests.simulator.clients import MemoryAdmin
from tests.simulator.workers import ENOUGH, PARTITIONS, MemorySite, Worker

KEYS = [f"k{number}" for number in range(12)]


def publish(there: MemorySite, count: int) -> None:
    for number in range(count):
        there.publish(EchoHear(name=KEYS[number % len(KEYS)]))


def handle(there: MemorySite, worker: Worker) -> None:
    for _ in range(ENOUGH):
        worker.step()
        if there.handled():
            return
    raise AssertionError("not handled")


def stopped(worker: Worker) -> str:
    """Let it go on until it stops itself; gives what it says. It may wait for 5 s, and steps are short while it restores."""
    for _ in range(10 * ENOUGH):
        try:
            worker.step()
        except (BrokerError, TopicMismatch) as error:
            return str(error)
    raise AssertionError("it goes on")


def running(state: Path, namespace: str = "echo") -> tuple[MemorySite, Worker]:
    there = MemorySite(probe.app(), namespace, state)
    worker = Worker(there, 0)
    if namespace == "echo":
        publish(there, 24)
        handle(there, worker)
    else:
        there.publish(ProbeDo(name="k"))
        handle(there, worker)
    return there, worker


def test_an_inbox_made_again_stops_its_namespace_before_anything_of_it_is_taken_for_handled(tmp_path: Path) -> None:
    """With more records than the old one had: from the old offset on, half of them would be skipped with no lag."""
    there, worker = running(tmp_path)
    there.broker.create(["echo"], PARTITIONS)
    publish(there, 48)
    while not worker.has_records():
        worker.step()
    there.broker.clock.sleep(FRESH + 1)  # the worker was frozen with records in hand, and the comparison of before
    text = stopped(worker)
    assert "echo was deleted and made again while this worker ran" in text
    assert "delete those that no longer fit: echo-log, echo-table, echo-parked, echo-due" in text
    assert there.logged() == dict.fromkeys(KEYS, 2)


@pytest.mark.parametrize("topic", topic_names("", "echo")[1:])
def test_a_topic_of_the_namespace_made_again_or_grown_stops_it(tmp_path: Path, topic: str) -> None:
    """Whichever it is, and also while nothing is published."""
    for grown in (False, True):
        there, worker = running(tmp_path / topic / str(grown))
        if grown:
            there.broker.topics[topic].append(Partition())
            assert f"{topic} has {PARTITIONS + 1} partitions, and had {PARTITIONS} when this worker started" in stopped(worker)
        else:
            there.broker.create([topic], PARTITIONS)
            assert f"{topic} was deleted and made again" in stopped(worker)


def test_an_inbox_that_a_namespace_emits_into_stops_it_too(tmp_path: Path) -> None:
    """The events that waited there are gone, and whoever emits is the first to know."""
    there, worker = running(tmp_path, "probe")
    there.broker.create(["echo"], PARTITIONS)
    assert "The namespace probe emits into it, and was stopped" in stopped(worker)


def test_a_topic_that_is_away_for_a_moment_ends_nothing(tmp_path: Path) -> None:
    """A broker that starts may not know it yet; after 10 s it is deleted."""
    there, worker = running(tmp_path)
    kept = there.broker.topics.pop("echo-due")
    began = there.broker.clock.monotonic()
    while there.broker.clock.monotonic() < began + GONE - 3:
        worker.step()
    there.broker.topics["echo-due"] = kept
    publish(there, 12)
    handle(there, worker)
    del there.broker.topics["echo-due"]
    assert "echo-due was deleted while this worker ran" in stopped(worker)


def test_a_broker_that_answers_no_comparison_pauses_commits_and_ends_nothing(tmp_path: Path) -> None:
    """It may hide that a topic was made again. The worker goes on polling, and commits once it answers."""
    there, worker = running(tmp_path)
    there.broker.describes_nothing = True
    there.broker.clock.sleep(FRESH + 1)
    publish(there, 24)
    for _ in range(ENOUGH):
        worker.step()
    assert there.logged() == dict.fromkeys(KEYS, 2)
    assert worker.partitions() == set(range(PARTITIONS))
    there.broker.describes_nothing = False
    handle(there, worker)
    assert there.logged() == dict.fromkeys(KEYS, 4)


def test_a_broker_that_is_elsewhere_by_now_ends_the_namespace(tmp_path: Path) -> None:
    """It was waited for at its old address, for ever and without a word about the new one."""
    there, worker = running(tmp_path)
    there.broker.describes_nothing = True
    held = state.take(there.config.state)
    try:
        state.write(there.config.state, "127.0.0.1:2", 1)
        there.broker.clock.sleep(FRESH + 1)
        assert stopped(worker).endswith(" when this was started, and is at 127.0.0.1:2 now: start it again")
    finally:
        os.close(held)


class NeverReady:
    """A producer whose broker is away."""

    tries = 0

    def ready(self) -> None:
        self.tries += 1
        assert self.tries < 5, "it is asked for ever"
        raise KafkaException(KafkaError(KafkaError._TRANSPORT))


def test_a_worker_whose_producer_waits_for_its_broker_ends_as_well(tmp_path: Path) -> None:
    """It asked for nothing else meanwhile, and waited at the old address for ever."""
    there, worker = running(tmp_path)
    there.broker.describes_nothing = True
    producer: Any = NeverReady()
    held = state.take(there.config.state)
    try:
        state.write(there.config.state, "127.0.0.1:2", 1)
        there.broker.clock.sleep(FRESH + 1)
        topics = worker.cycle.members.topics
        topics.compare()
        with pytest.raises(BrokerUnavailable, match=r"is at 127\.0\.0\.1:2 now"):
            producer_ready(producer, "echo", worker.cycle.stopping, topics.check)
    finally:
        os.close(held)


def test_a_comparison_that_fails_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever it raises: an ended watch would stop all commits, and say nothing."""
    there, worker = running(tmp_path)

    def fail(*_: object) -> None:
        raise RuntimeError("a fault of ours")

    with monkeypatch.context() as patched:
        patched.setattr(MemoryAdmin, "_described", fail)
        there.broker.clock.sleep(FRESH + 1)
        publish(there, 12)
        for _ in range(ENOUGH):
            worker.step()
        assert there.logged() == dict.fromkeys(KEYS, 2)
    handle(there, worker)
    assert there.logged() == dict.fromkeys(KEYS, 3)


def test_a_partition_that_was_added_is_not_handled_though_nothing_is_known_of_it(tmp_path: Path) -> None:
    """All topics have more, and so has the setting: its keys have their rows in other partitions, which restore later."""
    there, worker = running(tmp_path)
    worker.stop()
    for topic in topic_names("", "echo")[1:]:
        there.broker.topics[topic] += [Partition() for _ in range(PARTITIONS)]
    there.config = replace(there.config, partitions=2 * PARTITIONS)
    other = Worker(there, 1)
    for partition in (PARTITIONS, 0):
        with pytest.raises(TopicMismatch, match=f"was written with {PARTITIONS} partitions and the topics have {2 * PARTITIONS}"):
            other.restore(partition)
