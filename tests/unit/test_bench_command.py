"""What `retold bench` measures, of a worker that is an inbox in memory."""

from __future__ import annotations

import threading
from itertools import count
from types import SimpleNamespace
from typing import Any

import pytest

from streams import App
from streams.cli.arguments.lookup import event_class, namespace_named
from streams.cli.arguments.wrong_usage import WrongUsage
from streams.cli.benchmark.throughput import AHEAD_LEAST, LOT, ThroughputTrial
from streams.cli.benchmark.visibility import publish_evenly


class MemoryInbox:
    """Both sides of a trial: a worker that handles up to 3,000 records between two looks, and how far it is.

    From each event that is published, `follow` others come into the same inbox.
    """

    def __init__(self, follow: int) -> None:
        self._follow = follow
        self._there = self._handled = self._roots = 0
        self._waiting: list[bool] = []
        self.most = 0

    def publish(self) -> None:
        self._waiting.append(True)
        self._there += 1

    def handled(self) -> int:
        taken, self._waiting = self._waiting[:3_000], self._waiting[3_000:]
        self._handled += len(taken)
        self._there += self._follow * sum(taken)
        self._waiting += [False] * (self._follow * sum(taken))
        return self._handled

    def waiting(self, handled: int) -> int:
        self.most = max(self.most, self._there - handled)
        return self._there - handled

    def status(self) -> Any:
        return SimpleNamespace(lag=len(self._waiting))

    def check(self) -> None:
        """It has not ended."""

    def cpu_seconds(self) -> float:
        return self._handled / 1e6


@pytest.mark.parametrize("follow", [0, 3])
def test_events_that_follow_in_the_same_namespace_are_waited_for(follow: int) -> None:
    """They were taken for what was published: so more and more was, and the next window began with all of it still to do."""
    inbox: Any = MemoryInbox(follow)
    trial = ThroughputTrial(inbox, inbox, inbox.publish, lambda _: None)
    found = trial.run(0.5)
    trial.drain()
    assert inbox.status().lag == 0
    assert inbox.handled() == trial.published * (1 + follow)
    assert inbox.most <= (AHEAD_LEAST + LOT) * (1 + follow)
    assert (found.waited, found.cpu_micros, found.published) == (False, pytest.approx(1.0), trial.published)


def test_a_rate_that_is_not_reached_is_not_told_as_the_one_that_was_asked_for() -> None:
    """Nor does its window last longer. A rate that is reached is told as it is."""
    numbers, pause = count(), threading.Event()

    def slowly() -> str:
        pause.wait(0.02)
        return quickly()

    def quickly() -> str:
        return str(next(numbers))

    published, reached = publish_evenly(1_000, 0.2, slowly, lambda _: None)
    assert 1 <= len(published) <= 12
    assert reached <= 50
    published, reached = publish_evenly(20, 0.2, quickly, lambda _: None)
    assert (len(published), reached) == (4, 20)


def test_an_application_without_events_is_told_as_one() -> None:
    """The sentence ended with what there was none of: "it handles ."."""
    empty = App(name="empty", namespaces=[])
    with pytest.raises(WrongUsage, match=r"empty handles no event 'a\.b'; it handles none\.$"):
        event_class(empty, "a.b")
    with pytest.raises(WrongUsage, match=r"the application 'empty' has no namespace 'a'; it has: none$"):
        namespace_named(empty, "a")
