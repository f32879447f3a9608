"""How a worker lets go of its partitions: at once, and before its consumer is closed."""

from __future__ import annotations

from pathlib import Path

from confluent_kafka import TopicPartition

from tests.applications import probe
from tests.applications.probe.events import EchoHear
from tests.simulator.clients import MemoryConsumer
from tests.simulator.workers import ENOUGH, PARTITIONS, MemorySite, Worker, go_on


def test_rows_are_freed_after_their_partition_has_gone(tmp_path: Path) -> None:
    """In a rebalance the new owner waits for the old one: it only hands the image over to be freed, bit by bit."""
    there = MemorySite(probe.app(), "echo", tmp_path)
    first = Worker(there, 0)
    for number in range(60):
        there.publish(EchoHear(name=f"k{number}"))
    go_on(there, first)
    images = first.cycle.tasks.images()
    rows = {at: len(image.rows) for at, image in images.items()}
    second = Worker(there, 1)
    for _ in range(ENOUGH):
        if len(first.partitions()) < PARTITIONS:
            break
        first.step()
        second.step()
    gone = images.keys() - first.partitions()
    assert gone
    assert {at: len(images[at].rows) for at in gone} == {at: rows[at] for at in gone}
    for _ in range(ENOUGH):
        first.step()
    assert [len(images[at].rows) for at in gone] == [0] * len(gone)


def test_no_partition_is_revoked_while_the_consumer_is_closed(tmp_path: Path) -> None:
    """Librdkafka may never answer an unassign that comes while it ends its part in the group (see Tasks.leave)."""
    closing, revoked = list[bool](), list[bool]()

    class Watched(MemoryConsumer):
        def close(self) -> None:
            closing.append(True)
            super().close()

        def incremental_unassign(self, partitions: list[TopicPartition]) -> None:
            revoked.append(bool(closing))
            super().incremental_unassign(partitions)

    there = MemorySite(probe.app(), "echo", tmp_path)
    there.consumer = Watched
    only = Worker(there, 0)
    go_on(there, only)
    only.stop()
    assert (revoked, only.partitions()) == ([False], set())
