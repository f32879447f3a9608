"""The pace of batches and the breaker of a namespace."""

from __future__ import annotations

from streams.worker.breaker import MINUTE, Breaker
from streams.worker.pace import Pace


def test_an_idle_system_waits_for_nobody() -> None:
    """A record that we had to wait for is committed at once; one that was there already gathers for a commit's time."""
    pace = Pace(20_000, 1.0, commit=0.005)
    assert (pace.linger(0.05), pace.linger(0.0)) == (0.0, 0.005)


def test_slow_handlers_make_small_batches() -> None:
    """A batch takes about the seconds given, however long one event takes."""
    pace = Pace(20_000, 1.0)
    for _ in range(50):
        pace.handled(100, 1.0)
    assert 99 <= pace.limit() <= 101


def test_a_poisonous_record_is_found_by_halving() -> None:
    """Down to one event, and back up when batches commit again."""
    pace = Pace(1_000, 1.0)
    pace.halve(8)
    pace.halve(4)
    pace.halve(2)
    pace.halve(1)
    assert pace.limit() == 1
    for _ in range(10):
        pace.committed(0.01)
    assert pace.limit() == 1_000


def test_the_breaker_trips_over_20_keys_in_a_minute() -> None:
    """The 21st key; after a minute they are forgotten."""
    breaker = Breaker()
    twenty = frozenset(str(n) for n in range(20))
    assert not breaker.trips(0, 20, 20, twenty)
    breaker.saw(0, 20, 20, twenty)
    assert breaker.trips(1, 1, 1, frozenset({"x"}))
    assert not breaker.trips(MINUTE + 1, 1, 1, frozenset({"x"}))


def test_the_breaker_trips_over_one_percent_of_a_thousand_events() -> None:
    """One bad key among few events is nobody's bad deploy."""
    one = frozenset({"x"})
    assert not Breaker().trips(0, 999, 15, one)
    assert Breaker().trips(0, 1_000, 11, one)
    assert not Breaker().trips(0, 1_000, 10, one)
