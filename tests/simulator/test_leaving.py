"""A partition is let go at once, however many rows of it are in memory."""

from __future__ import annotations

from pathlib import Path

from tests.applications import probe
from tests.applications.probe.events import EchoHear
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
