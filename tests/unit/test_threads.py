"""Work in the background of a real worker: in threads, by steps."""

from __future__ import annotations

import gc
import re
import threading
import weakref
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from streams.errors import BrokerError, PartitionLost
from streams.kafka.cancellable_steps import Cancelled, Steps
from streams.worker.threads import DaemonThread, ThreadBackground
from tests.support.workers import until


class Value:
    """Something that is looked for when it should be gone."""


@pytest.fixture
def background() -> Iterator[ThreadBackground]:
    it = ThreadBackground("test", 1)
    yield it
    it.close(wait=True)


def test_a_job_that_pauses_leaves_its_thread_to_others(background: ThreadBackground) -> None:
    """A restore that waits for somebody's transaction holds up no other partition's."""

    def waits(_: Cancelled) -> Steps[None]:
        while True:
            yield 0.01

    def works(_: Cancelled) -> Steps[str]:
        yield 0.0
        return "restored"

    held = background.start(waits)
    job = background.start(works)
    try:
        until(job.done, "it was not begun", seconds=20)
        assert job.value() == "restored"
        assert not held.done()
    finally:
        held.cancel()  # else a failure waits for it


def test_a_cancelled_job_lets_go_what_it_holds(background: ThreadBackground) -> None:
    """Also in the middle of a long pause: its clients are closed then, and not when they are found."""
    begun, closed = threading.Event(), threading.Event()

    def waits(_: Cancelled) -> Steps[None]:
        try:
            begun.set()
            yield 3600.0
        finally:
            closed.set()

    job = background.start(waits)
    assert begun.wait(20)
    job.cancel()
    until(job.done, "it goes on", seconds=20)
    assert closed.is_set()
    with pytest.raises(PartitionLost):
        job.value()


def test_the_end_of_a_pause_wakes_one_thread() -> None:
    """A worker has a dozen threads for each namespace, and something that is looked for ten times a second."""
    many, others, woken = ThreadBackground("many", 20), threads(), list[int]()

    def looks(_: Cancelled) -> Steps[None]:
        for _ in range(LOOKS):
            yield 0.005
        woken.append(sum(map(switches, threads() - others)))

    jobs = [many.start(looks), many.start(looks)]
    try:
        until(lambda: all(job.done() for job in jobs), "they do not end", seconds=20)
    finally:
        many.close(wait=True)
    assert max(woken) < 10 * LOOKS


LOOKS = 50


def threads() -> set[Path]:
    return set(Path("/proc/self/task").iterdir())


def switches(thread: Path) -> int:
    """How often a thread of this process has waited for something."""
    [found] = re.findall(r"^voluntary_ctxt_switches:\s*(\d+)$", (thread / "status").read_text(), re.MULTILINE)
    return int(found)


def test_jobs_go_on_when_their_own_pause_ends() -> None:
    """Whoever waits for the pause of another one."""
    several, ended = ThreadBackground("several", 3), list[float]()

    def waits(pause: float, _: Cancelled) -> Steps[None]:
        yield pause
        ended.append(pause)

    pauses = [0.6, 0.2, 0.4, 30.0, 0.0]
    jobs = [several.start(partial(waits, pause)) for pause in pauses]
    until(lambda: sum(job.done() for job in jobs) == 4, "some do not go on", seconds=20)
    jobs[3].cancel()
    several.close(wait=True)
    assert sorted(ended) == [0.0, 0.2, 0.4, 0.6]


def test_a_job_that_is_cancelled_in_time_is_never_begun(background: ThreadBackground) -> None:
    """A stop makes no client for each partition that still waits to be restored."""
    begun, hold, first = [], threading.Event(), threading.Event()

    def holds(_: Cancelled) -> Steps[None]:
        first.set()
        hold.wait(20)
        yield 0.0

    def begins(_: Cancelled) -> Steps[None]:
        begun.append(True)
        yield 0.0

    background.start(holds)
    assert first.wait(20)
    job = background.start(begins)
    job.cancel()
    hold.set()
    until(job.done, "it is not given up", seconds=20)
    assert begun == []


def test_a_cancelled_job_that_cannot_be_closed_ends_no_thread(background: ThreadBackground) -> None:
    """A client may raise when it is closed: what waits to be restored is restored all the same."""
    begun = threading.Event()

    def waits(_: Cancelled) -> Steps[None]:
        try:
            begun.set()
            yield 3600.0
        finally:
            raise OSError("the client is gone")

    def works(_: Cancelled) -> Steps[str]:
        yield 0.0
        return "restored"

    held = background.start(waits)
    assert begun.wait(20)
    held.cancel()
    until(held.done, "nobody hears of its end", seconds=20)
    with pytest.raises(PartitionLost):
        held.value()
    job = background.start(works)
    until(job.done, "no thread is left", seconds=20)
    assert job.value() == "restored"


@pytest.mark.parametrize("fails", [False, True])
def test_nothing_of_a_job_stays(background: ThreadBackground, fails: bool) -> None:
    """A worker seldom looks for cycles: an image that a thread or a traceback keeps would stay for hours."""
    kept: list[weakref.ref[Value]] = []

    def works(_: Cancelled) -> Steps[Value]:
        value = Value()
        kept.append(weakref.ref(value))
        yield 0.0
        if fails:
            raise BrokerError("no answer")
        return value

    gc.disable()
    try:
        job = background.start(works)
        until(job.done, "it is not done", seconds=20)
        del job
        until(lambda: kept[0]() is None, "it is kept", seconds=20)
    finally:
        gc.enable()


def test_a_thread_keeps_nothing_of_its_last_call() -> None:
    """While it waits for the next one."""
    thread, kept = DaemonThread("test"), list[weakref.ref[Value]]()

    def call() -> Value:
        value = Value()
        kept.append(weakref.ref(value))
        return value

    thread.start()
    future = thread.submit(call)
    future.result(20)
    del future
    until(lambda: kept[0]() is None, "it is kept", seconds=20)
    thread.stop()
