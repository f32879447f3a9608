"""The thread of a namespace, which lets go of each batch."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

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
