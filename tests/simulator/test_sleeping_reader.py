"""A Kafka client that sleeps while it reads nothing, as librdkafka does for up to 1 s (`streams.kafka.resumed_reading`)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from confluent_kafka import TopicPartition

from streams.kafka.offsets import TopicAndPartition
from tests.applications import probe
from tests.applications.probe.events import EchoHear
from tests.simulator.broker import MemoryBroker
from tests.simulator.clients import MemoryConsumer
from tests.simulator.memory_message import MemoryMessage
from tests.simulator.workers import ENOUGH, PARTITIONS, MemorySite, Worker, go_on


class SleepingConsumer(MemoryConsumer):
    """Once no partition is read, only a seek has one read again. A round of a rebalance pauses all of them for a moment."""

    def __init__(self, broker: MemoryBroker, options: Mapping[str, Any]) -> None:
        super().__init__(broker, options)
        self._asleep: set[TopicAndPartition] = set()

    def pause(self, partitions: list[TopicPartition]) -> None:
        super().pause(partitions)
        self._asleep |= {(it.topic, it.partition) for it in partitions}

    def seek(self, it: TopicPartition) -> None:
        super().seek(it)
        if (it.topic, it.partition) not in self._paused:
            self._asleep.discard((it.topic, it.partition))

    def _rebalance(self) -> None:
        before = self._generation
        super()._rebalance()
        if self._generation != before:
            self._asleep |= set(self._at)

    def _messages(self) -> Iterator[MemoryMessage]:
        if set(self._at) - self._paused <= self._asleep:
            return
        self._asleep &= self._paused
        yield from super()._messages()


def sleeping(tmp_path: Path) -> MemorySite:
    there = MemorySite(probe.app(), "echo", tmp_path)
    there.consumer = SleepingConsumer
    return there


def publish(there: MemorySite) -> None:
    for number in range(60):
        there.publish(EchoHear(name=f"k{number}"))


def test_what_was_restored_is_read_at_once(tmp_path: Path) -> None:
    """Nothing else is read then that would wake the client."""
    there = sleeping(tmp_path)
    publish(there)
    go_on(there, Worker(there, 0))


def test_partitions_that_stay_in_a_rebalance_are_read_on_at_once(tmp_path: Path) -> None:
    """A new worker joins: whoever was there before goes on with the partitions that it keeps."""
    there = sleeping(tmp_path)
    publish(there)
    first = Worker(there, 0)
    go_on(there, first)
    second = Worker(there, 1)
    for _ in range(ENOUGH):
        if len(first.partitions()) < PARTITIONS:
            break
        first.step()
        second.step()
    assert len(first.partitions()) < PARTITIONS
    publish(there)
    go_on(there, first, second)
    assert set(there.logged().values()) == {2}
