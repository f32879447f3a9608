"""The thread of a namespace, which lets go of each batch."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from streams.worker.run import runtime
from streams.worker.runner import NamespaceRunner
from streams.worker.slots import Slot
from tests.simulator.test_two_workers import go_on, publish, site
from tests.simulator.workers import Worker


def test_a_batch_is_gone_when_the_collector_may_look(tmp_path: Path) -> None:
    """Whoever polled the batch still holds it: its records would be looked through in vain."""
    there = site(tmp_path)
    publish(there, range(12))
    worker = Worker(there, 0)
    while not worker.has_records():
        worker.step()
    batch, left = worker.take(), list[int]()
    assert len(batch) > 0
    told = replace(runtime(), batch_dropped=lambda: left.append(len(batch)))
    runner = NamespaceRunner(worker.cycle, Slot(tmp_path / "slots", "echo"), [], lambda _: None, lambda _: None, told)
    runner._thread.start()
    asyncio.run(runner.handle(batch))
    runner._thread.stop()
    assert left == [0]
    go_on(there, worker)
    assert sum(there.logged().values()) == 12
    worker.stop()


def test_a_partition_does_not_wait_for_a_poll_once_it_is_restored(tmp_path: Path) -> None:
    """While one is restored, a poll without a record ends after 20 ms; later after 100 ms."""
    there = site(tmp_path)
    worker, clock = Worker(there, 0), there.broker.clock

    def waited() -> float:
        began = clock.monotonic()
        worker.cycle.poll()
        return clock.monotonic() - began

    worker.cycle.poll()  # which joins the group, and is assigned all partitions
    assert waited() == pytest.approx(0.02)
    publish(there, range(12))
    go_on(there, worker)
    assert waited() == pytest.approx(0.1)
    worker.stop()
