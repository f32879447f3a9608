"""The thread of a namespace, which lets go of each batch."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from streams.worker.run import runtime
from streams.worker.runner import BETWEEN_LOOKS, NamespaceRunner
from streams.worker.slots import Slot
from streams.worker.stop_watchdog import LONGEST
from tests.simulator.test_two_workers import go_on, publish, site
from tests.simulator.time import StepBackground
from tests.simulator.workers import Worker
from tests.support.workers import until


def test_a_batch_is_gone_when_the_collector_may_look(tmp_path: Path) -> None:
    """Whoever polled the batch still holds it: its records would be looked through in vain."""
    there = site(tmp_path)
    publish(there, range(12))
    worker = Worker(there, 0)
    while not worker.has_records():
        worker.step()
    batch, left = worker.take(), list[int]()
    assert (there_were := len(batch)) > 0

    def tell() -> None:
        left.append(len(batch))

    told = replace(runtime(), batch_taken=tell, batch_dropped=tell)
    runner = NamespaceRunner(worker.cycle, Slot(tmp_path / "slots", "echo"), [], lambda _: None, lambda _: None, told)
    runner._thread.start()
    asyncio.run(runner.handle(batch))
    runner._thread.stop()
    assert left == [there_were, 0]
    go_on(there, worker)
    assert sum(there.logged().values()) == 12
    worker.stop()


def test_a_namespace_that_has_nothing_to_do_leaves_the_event_loop_alone(tmp_path: Path) -> None:
    """It polls ten times a second, and looks for timers and answers each time; its agent hears of records, and of the end."""
    there = site(tmp_path)
    publish(there, range(12))
    worker, dropped = Worker(there, 0), threading.Semaphore(0)
    go_on(there, worker)
    told = replace(runtime(), batch_dropped=dropped.release)
    runner = NamespaceRunner(worker.cycle, Slot(tmp_path / "slots", "echo"), [], lambda _: None, lambda _: None, told)
    runner._thread.start()

    async def polled() -> int:
        coming = asyncio.ensure_future(runner.poll())
        for _ in range(3):
            await asyncio.to_thread(dropped.acquire, timeout=20)
        assert not coming.done()
        publish(there, range(12, 24))
        got = len(batch := await coming)
        await runner.handle(batch)
        coming = asyncio.ensure_future(runner.poll())
        await asyncio.to_thread(dropped.acquire, timeout=20)
        runner.stop()
        assert len(await coming) == 0
        return got

    assert asyncio.run(polled()) > 0
    until(lambda: runner.join(0.0), "it does not end")
    assert runner.error is None


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


def test_a_namespace_that_an_error_ends_has_ended_though_its_client_hangs(tmp_path: Path) -> None:
    """It says why after 30 s. Nobody stops it, so nobody else would look at how long that takes."""
    there, hangs, told = site(tmp_path), threading.Event(), list[BaseException]()
    worker, background = Worker(there, 0), StepBackground(there.broker.clock)
    own = replace(runtime(), background=lambda _name, _count: background)
    runner = NamespaceRunner(worker.cycle, Slot(tmp_path / "slots", "echo"), [], lambda _: None, told.append, own)
    worker.cycle.members.transactions.producer.close = hangs.wait  # type: ignore[assignment, method-assign]  # no simulated client hangs
    runner._thread.start()

    def fail() -> None:
        raise ZeroDivisionError("by zero")

    runner._thread.submit(partial(runner._run, fail))
    until(lambda: len(background.jobs) == 1, "its end is not bounded")
    for _ in range(round(LONGEST / BETWEEN_LOOKS)):
        background.step()
        there.broker.clock.sleep(BETWEEN_LOOKS)
    assert (runner.running, told) == (True, [])
    background.step()
    assert (runner.running, str(runner.error), list(map(str, told))) == (False, "by zero", ["by zero"])
    hangs.set()
