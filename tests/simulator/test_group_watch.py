"""A worker whose consumer stays out of its group gets another one, and nobody else does (see GroupWatch)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import structlog

from streams.errors import BrokerError, NamespaceStopped
from streams.kafka.cancellable_steps import Cancelled
from streams.worker.group_watch import LATER, LONGEST, OUT, REPLACED, SOON, GroupWatch
from tests.applications import probe
from tests.applications.probe.events import EchoHear
from tests.simulator.broker import MemoryBroker
from tests.simulator.clients import MemoryConsumer
from tests.simulator.time import StepBackground, VirtualClock
from tests.simulator.workers import PARTITIONS, MemorySite, Worker, go_on

STEPS = 20_000


class ForgottenConsumer(MemoryConsumer):
    """Once its session was over it does not join again, and says nothing. With `keeps`, it does not notice what it lost either."""

    keeps = False

    def _rebalance(self) -> None:
        if self._leaving or self._topic is None or self in self._broker.groups[self._group].members:
            super()._rebalance()
        elif not self.keeps:
            self._revoke(self._owned, "on_lost")


class KeepingConsumer(ForgottenConsumer):
    keeps = True


def site(tmp_path: Path, consumer: Callable[[MemoryBroker, Mapping[str, Any]], Any]) -> MemorySite:
    there = MemorySite(probe.app(), "echo", tmp_path)
    there.broker.tells_members = True
    there.consumer = consumer
    return there


def watched(there: MemorySite, slot: int = 0) -> Worker:
    """A worker and its watch."""
    worker = Worker(there, slot)
    background = worker._process.runtime.background("group", 1)
    background.start(partial(worker.cycle.members.group.watch, pytest.fail))
    return worker


def publish(there: MemorySite, first: int) -> None:
    for number in range(first, first + 20):
        there.publish(EchoHear(name=f"k{number}"))


def steps(worker: Worker, done: Callable[[], bool]) -> bool:
    for _ in range(STEPS):
        if done():
            return True
        worker.step()
    return False


@pytest.mark.parametrize("kind", [ForgottenConsumer, KeepingConsumer])
def test_a_worker_that_the_group_has_forgotten_joins_again(tmp_path: Path, kind: type[ForgottenConsumer]) -> None:
    """Its consumer would never have joined again. Each event is handled once, and the log says what happened."""
    there = site(tmp_path, kind)
    worker = watched(there)
    publish(there, 0)
    go_on(there, worker)
    assert steps(worker, lambda: there.broker.clock.monotonic() > 2 * LATER), "it was never looked at"
    there.expire(0)
    publish(there, 20)
    with structlog.testing.capture_logs() as said:
        assert steps(worker, there.handled)
    assert there.logged() == {f"k{number}": 1 for number in range(40)}
    assert worker.partitions() == set(range(PARTITIONS))
    assert [it["log_level"] for it in said if it["event"] == "worker is not in its group"] == ["error"]
    assert steps(worker, lambda: len(there.broker.groups["retold.echo"].members) == 1)


def test_workers_of_a_group_that_has_them_are_left_alone(tmp_path: Path) -> None:
    """Also one that has no partition, since there are more workers than partitions, and one that lost its session and came back."""
    there = site(tmp_path, MemoryConsumer)
    workers = [watched(there, slot) for slot in range(PARTITIONS + 1)]
    consumers = [worker.cycle._consumer for worker in workers]
    publish(there, 0)
    go_on(there, *workers)
    there.expire(0)
    until = there.broker.clock.monotonic() + 3 * OUT
    while there.broker.clock.monotonic() < until:
        for worker in workers:
            worker.step()
    assert [worker.cycle._consumer for worker in workers] == consumers


class Looks:
    """A watch beside a namespace that polls, and what its broker answers."""

    def __init__(self, *, owns: bool = False) -> None:
        self.clock, self.owns, self.polls = VirtualClock(), owns, True
        self.listed: set[str] | None = set()
        """None: the broker does not answer."""
        self.ended: list[BaseException] = []
        self.watch = GroupWatch("echo", "retold.echo", "me", self._members, lambda: self.owns, self.clock)
        self._background = StepBackground(self.clock)
        self._background.start(partial(self.watch.watch, self.ended.append))

    def _members(self, _: Cancelled) -> set[str]:
        if self.listed is None:
            raise BrokerError("no answer")
        return self.listed

    def go_on(self, seconds: float) -> bool:
        """Whether the worker is out then."""
        until = self.clock.monotonic() + seconds
        while self.clock.monotonic() < until:
            self.clock.sleep(1.0)
            if self.polls:
                self.watch.polled()
            self._background.step()
        return self.watch.is_out


def test_a_worker_that_is_not_listed_is_out_after_a_minute() -> None:
    """Not before: a rebalance, or a broker that starts, may take as long."""
    it = Looks()
    assert (it.go_on(OUT), it.go_on(3 * SOON)) == (False, True)


def test_one_that_is_listed_between_is_in() -> None:
    """The time begins anew."""
    it = Looks()
    for _ in range(5):
        it.listed = set()
        assert not it.go_on(OUT - SOON)
        it.listed = {"me", "another"}
        assert not it.go_on(2 * SOON)


def test_while_the_broker_does_not_answer_nobody_is_out() -> None:
    """Nothing is known then, and another client would get no answer either."""
    it = Looks()
    it.listed = None
    assert not it.go_on(10 * OUT)


def test_one_that_does_not_poll_is_not_out() -> None:
    """A client leaves the group by itself if its handler takes too long, and joins again at the next poll."""
    it = Looks()
    it.polls = False
    assert not it.go_on(10 * OUT)


def test_a_process_that_was_frozen_is_not_out_at_once() -> None:
    """The time of the freeze does not count: its client has not had any to join again."""
    it = Looks()
    it.go_on(3 * SOON)
    it.clock.sleep(10 * OUT)
    assert not it.go_on(OUT - SOON)


def test_a_broker_that_lists_nobody_is_not_believed_while_the_worker_has_partitions() -> None:
    """It may hide the members of groups. One that has listed the worker before is believed."""
    it = Looks(owns=True)
    assert not it.go_on(10 * OUT)
    it.listed = {"me"}
    assert not it.go_on(2 * LATER)
    it.listed = set()
    assert it.go_on(OUT + 2 * LATER)


def test_replacements_in_a_row_come_more_and_more_seldom() -> None:
    """Each new consumer begins a rebalance for all."""
    it, waited = Looks(), []
    for _ in range(6):
        began = it.clock.monotonic()
        while not it.go_on(1.0):
            pass
        waited.append(it.clock.monotonic() - began)
        with it.watch.replacement():
            pass
    assert waited == sorted(waited)
    assert OUT <= waited[0] < 2 * OUT
    assert LONGEST <= waited[-1] <= LONGEST + 3 * SOON


def test_a_consumer_that_cannot_be_closed_ends_the_namespace() -> None:
    """Its thread is in a call that does not return: its supervisor sees the end of the worker, and starts another one."""
    it = Looks()
    it.go_on(2 * OUT)
    closing = it.watch.replacement()
    closing.__enter__()
    it.polls = False
    it.go_on(REPLACED - SOON)
    assert it.ended == []
    it.go_on(3 * SOON)
    assert [type(error) for error in it.ended] == [NamespaceStopped]
