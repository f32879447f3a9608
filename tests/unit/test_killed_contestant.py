"""What the benchmark counts when one of two processes was killed, without a broker."""

from __future__ import annotations

import pytest

from ops.bench.killed_contestant import Events
from ops.bench.work import encode, event_number


def logged(events: Events, number: int, now: float) -> None:
    events.take(encode(event_number(number, number % 10)), now)


def test_what_is_lost_doubled_and_away_is_counted_by_the_number_of_an_event() -> None:
    """Of two that are logged, one twice, a third is lost; the delay of one counts from the kill on, if it was published before."""
    events = Events("nowhere:1", "inbox", "log", 10)
    events.published |= {20: 100.0, 30: 104.0, 40: 105.0}
    logged(events, 20, 106.0)
    logged(events, 30, 106.5)
    logged(events, 30, 109.0)
    assert (events.left, events.doubled) == (1, 1)
    [partition] = events.delays
    assert events.longest(partition, 101.0) == pytest.approx(5.0)
    assert events.longest(partition, 106.2) == pytest.approx(0.3)
    assert events.longest(partition, 107.0) == 0.0
