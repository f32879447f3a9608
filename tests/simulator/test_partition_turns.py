"""Who takes partitions over handles what has gathered in them, and meanwhile what comes in its own."""

from __future__ import annotations

from pathlib import Path

import pytest
from confluent_kafka import murmur2

from streams.worker.partition_turns import SLICE, PartitionTurns
from streams.worker.polled_batch import PolledBatch
from tests.applications import probe
from tests.applications.probe.events import EchoHear
from tests.simulator.clients import MemoryConsumer, MemoryMessage
from tests.simulator.workers import ENOUGH, PARTITIONS, MemorySite, Worker, go_on

KEYS = [f"k{number}" for number in range(40)]
GATHERED = 60


class FullestFirst(MemoryConsumer):
    """As a client that fetched what has gathered in a partition before the last record of another one."""

    def consume(self, count: int, timeout: float) -> list[MemoryMessage]:
        self._at = dict(sorted(self._at.items(), key=lambda it: it[1] - self._broker.partition(it[0]).end))
        return super().consume(count, timeout)


def partition_of(key: str) -> int:
    return int(murmur2(key.encode(), PARTITIONS))


def publish(there: MemorySite, partitions: set[int], count: int) -> None:
    """So many events for each key of these partitions."""
    for key in [key for key in KEYS if partition_of(key) in partitions]:
        for _ in range(count):
            there.publish(EchoHear(name=key))


def taken_over(state: Path) -> tuple[MemorySite, Worker, set[int], set[int]]:
    """A worker that has just restored the partitions of another, in which much has gathered; what it had, and what it has now."""
    there = MemorySite(probe.app(), "echo", state, transaction_events="10")
    there.consumer = FullestFirst
    first, second = Worker(there, 0), Worker(there, 1)
    publish(there, set(range(PARTITIONS)), 1)
    go_on(there, first, second)
    stayed = second.partitions()
    publish(there, first.partitions(), GATHERED)
    moved = first.partitions()
    there.expire(0)
    for _ in range(ENOUGH):
        second.step()
        if len(second.cycle.tasks.running()) == PARTITIONS:
            return there, second, stayed, moved
    raise AssertionError("partitions are not restored")


def test_an_event_does_not_wait_for_what_has_gathered_elsewhere(tmp_path: Path) -> None:
    """Of a partition that did not move: it is handled within a few cycles, while thousands of others wait."""
    there, second, stayed, moved = taken_over(tmp_path)
    publish(there, stayed, 1)
    for _ in range(20):
        second.step()
    logged, own = there.logged(), [key for key in KEYS if partition_of(key) in stayed]
    assert [logged[key] for key in own] == [2] * len(own)
    others = [key for key in KEYS if partition_of(key) in moved]
    assert sum(logged[key] for key in others) < GATHERED * len(others) / 2
    for _ in range(4 * ENOUGH):
        if there.handled():
            break
        second.step()
    expected = {key: 2 if key in own else GATHERED + 1 for key in KEYS}
    assert there.logged() == expected


def test_where_nothing_waits_nobody_takes_turns(tmp_path: Path) -> None:
    """To pause and read again costs something, and a slice is shorter than a batch."""
    _there, second, _stayed, moved = taken_over(tmp_path)
    tasks, pace = second.cycle.tasks, second.cycle.members.pace
    turns = PartitionTurns(tasks, pace)
    turns.polled(PolledBatch(None, {task: [] for task in tasks.running() if task.partition in moved}))
    assert not turns.next(lambda _: False)
    assert pace.time > SLICE
    assert turns.next(lambda _: True)
    assert pace.time == pytest.approx(SLICE)


def test_who_is_behind_has_a_turn_until_something_of_it_is_polled(tmp_path: Path) -> None:
    """Its records come a moment after it is read again: those of others come first, and would begin the next turn."""
    _there, second, stayed, moved = taken_over(tmp_path)
    tasks = second.cycle.tasks.running()
    turns = PartitionTurns(second.cycle.tasks, second.cycle.members.pace)
    of_behind, of_others = (PolledBatch(None, {it: [] for it in tasks if it.partition in at}) for at in (moved, stayed))
    turns.polled(of_behind)
    assert turns.next(lambda _: True)
    turns.polled(of_others)
    for _ in range(3):
        assert not turns.next(lambda _: True)
        turns.polled(of_others)
    turns.polled(of_behind)
    assert turns.next(lambda _: True)
