"""Work beside a namespace's cycles outlasts what nobody foresaw."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import structlog

from streams.kafka.cancellable_steps import Cancelled, Steps
from streams.worker.lasting_work import AGAIN, lasting
from streams.worker.partition_copy import PartitionCopy
from streams.worker.run import runtime
from streams.worker.runner import NamespaceRunner
from streams.worker.slots import Slot
from streams.worker.standby import REFUSED
from tests.simulator.clients import MemoryMessage
from tests.simulator.copies import CopiedSite, check, copied, copies, restored, with_copies
from tests.simulator.test_two_workers import site
from tests.simulator.time import StepBackground, VirtualClock
from tests.simulator.workers import Worker, go_on


def failing(begun: list[str], times: int) -> Steps[None]:
    """So many times."""
    begun.append("")
    yield 1.0
    if len(begun) <= times:
        raise KeyError("no such thing")


def test_work_that_failed_is_begun_again_and_the_error_is_told() -> None:
    """It was over for ever, and nobody asked for its error. Once it is done, it is not begun again."""
    clock, begun = VirtualClock(), list[str]()
    background = StepBackground(clock)
    job = background.start(lasting(lambda _: failing(begun, 2), "echo"))
    with structlog.testing.capture_logs() as said:
        for _ in range(8):
            background.step()
            clock.sleep(AGAIN)
    assert (len(begun), job.done()) == (3, True)
    assert [(it["log_level"], it["namespace"], str(it["exc_info"])) for it in said] == [("error", "echo", "'no such thing'")] * 2


def test_all_work_beside_a_namespace_is_begun_again(tmp_path: Path) -> None:
    """Also that which looks whether its topics are as they were: without it, a worker would wait without end, and say nothing."""
    there, begun = site(tmp_path), list[str]()
    background = StepBackground(there.broker.clock)
    own = replace(runtime(), background=lambda _name, _count: background)

    def work(_: Cancelled) -> Steps[None]:
        return failing(begun, 1)

    cycle = Worker(there, 0).cycle
    runner = NamespaceRunner(cycle, Slot(tmp_path / "slots", "echo"), [work], lambda _: None, lambda _: None, own)
    runner.start()
    for _ in range(4):
        background.step()
        there.broker.clock.sleep(AGAIN)
    assert len(begun) == 2
    runner.stop()
    assert runner.join(20.0)


def step(there: CopiedSite, *workers: Worker, seconds: float) -> None:
    for worker in workers:
        worker.step()
    there.broker.clock.sleep(seconds / 8)


def test_a_record_that_a_copy_cannot_take_ends_no_other_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever it raises. The copy may be wrong, so it is read again; the other one goes on meanwhile."""
    there, first, second = with_copies(tmp_path, 24)
    wrong, take = min(first.partitions()), PartitionCopy.take

    def fails(self: PartitionCopy, message: MemoryMessage) -> None:
        if self.partition == wrong:
            raise ZeroDivisionError("by zero")
        take(self, message)  # type: ignore[arg-type]  # the simulator's message

    with structlog.testing.capture_logs() as said, monkeypatch.context() as patched:
        patched.setattr(PartitionCopy, "take", fails)
        there.hear(range(24, 48))
        go_on(there, first, second)
        for _ in range(8):
            step(there, first, second, seconds=0.0)
        assert {it.partition for it in copies(second)} == first.partitions() - {wrong}
    assert f"partition {wrong}: ZeroDivisionError: by zero" in {it.get("detail") for it in said}
    for _ in range(16):
        step(there, first, second, seconds=REFUSED)
    copied(there, first, second)
    there.expire(0)
    restored(second)
    check(there, second, 4)


def test_copies_are_read_again_after_an_error_that_nobody_foresaw(tmp_path: Path) -> None:
    """Of none of them it is known whether it is right. They ended, and the worker said nothing."""
    there, first, second = with_copies(tmp_path, 24)

    def fail() -> None:
        raise ZeroDivisionError("by zero")

    there.meanwhile.append(fail)
    with structlog.testing.capture_logs() as said:
        there.hear(range(24, 48))
        go_on(there, first, second)
        for _ in range(8):
            step(there, first, second, seconds=0.0)
    assert (there.meanwhile, copies(second)) == ([], [])
    assert [str(it["exc_info"]) for it in said if "exc_info" in it] == ["by zero"]
    for _ in range(16):
        step(there, first, second, seconds=AGAIN)
    copied(there, first, second)
    there.expire(0)
    restored(second)
    check(there, second, 4)
