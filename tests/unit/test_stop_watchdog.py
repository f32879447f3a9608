"""The end of a namespace is waited for while that may help, and no longer."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice

import pytest

from streams.errors import BrokerUnavailable
from streams.worker.stop_watchdog import LONGEST, StopWatchdog


def answers(_seconds: float) -> None:
    """A broker that is there."""


def is_away(_seconds: float) -> None:
    raise BrokerUnavailable("no Kafka answers")


def test_an_end_that_hangs_is_not_waited_for_though_the_broker_answers() -> None:
    """Librdkafka may never come back from a call; gateways' last calls have their time before."""
    watchdog = StopWatchdog("user", answers, last_calls=10.0)
    waited = sum(islice(watchdog.watch(lambda: False), 1000))
    assert watchdog.given_up
    assert LONGEST + 10 < waited < LONGEST + 15


def test_a_broker_that_is_away_is_not_waited_for() -> None:
    """At the first look."""
    watchdog = StopWatchdog("user", is_away, last_calls=10.0)
    assert len(list(watchdog.watch(lambda: False))) == 1
    assert watchdog.given_up


@pytest.mark.parametrize("check_broker", [answers, is_away])
def test_what_has_ended_is_not_given_up(check_broker: Callable[[float], None]) -> None:
    """However long it took."""
    watchdog = StopWatchdog("user", check_broker, last_calls=0.0)
    steps = watchdog.watch(lambda: True)
    list(islice(steps, 5))
    assert not watchdog.given_up
