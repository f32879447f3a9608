"""The pace of batches and the breaker of a namespace."""

from __future__ import annotations

from pathlib import Path

import pytest
import structlog

from streams.engine.changes import Changes
from streams.errors import NamespaceStopped
from streams.worker.breaker import CALM, KEYS, MINUTE, CircuitBreaker, Trip
from streams.worker.notes import Note
from streams.worker.pace import Pace


def batch(handled: int, *raised: str) -> list[Changes]:
    """What a batch came to whose handlers raised for these keys."""
    return [Changes(0, 0, 0, 0, taken=handled, raised=[(key, "a traceback") for key in raised])]


def test_an_idle_system_waits_for_nobody() -> None:
    """A record that we had to wait for is committed at once; one that was there already gathers for a commit's time."""
    pace = Pace(20_000, 1.0, mean_commit=0.005)
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
    breaker = CircuitBreaker("user")
    twenty, another = batch(20, *map(str, range(20))), batch(1, "x")
    assert not breaker.trips(0, twenty)
    breaker.saw(0, twenty)
    assert breaker.trips(1, another)
    assert not breaker.trips(MINUTE + 1, another)


def test_the_breaker_counts_what_was_committed() -> None:
    """What is only checked may be aborted, and comes again: it is no sign of a bad deploy. Once committed, it is."""
    breaker = CircuitBreaker("user")
    for number in range(100):
        breaker.check(number, batch(1, str(number)))
    for number in range(KEYS):
        breaker.check(100, batch(1, str(number)))
        breaker.saw(100, batch(1, str(number)))
    with pytest.raises(NamespaceStopped):
        breaker.check(101, batch(1, "another"))


def test_the_breaker_remembers_a_minute_and_no_more() -> None:
    """Also while nothing raises: a worker runs for months."""
    breaker = CircuitBreaker("user")
    for minute in range(10):
        breaker.saw(minute * (MINUTE + 1), batch(1))
    assert len(breaker) == 1


def test_the_breaker_trips_over_one_percent_of_a_thousand_events() -> None:
    """One bad key among few events is nobody's bad deploy."""
    assert not CircuitBreaker("user").trips(0, batch(999, *["x"] * 15))
    assert CircuitBreaker("user").trips(0, batch(1_000, *["x"] * 11))
    assert not CircuitBreaker("user").trips(0, batch(1_000, *["x"] * 10))


def test_restarts_after_a_trip_park_one_event_at_most(tmp_path: Path) -> None:
    """A supervisor starts it fifty times: the trip is known each time, with one event of grace in all."""
    note, parked, now = Note(tmp_path / "notes" / "user.json", Trip), 0, 0
    breaker = CircuitBreaker("user", note)
    for key in range(KEYS):
        breaker.saw(now, batch(1, str(key)))
    with pytest.raises(NamespaceStopped, match="over 20 keys"):
        breaker.check(now, batch(1, "one more"))
    for start in range(50):
        breaker, now = CircuitBreaker("user", note), now + 2 * MINUTE
        for event in range(30):
            try:
                breaker.check(now, batch(1, f"{start} {event}"))
            except NamespaceStopped as stop:
                assert "it had stopped before" in str(stop)  # noqa: PT017 - most of them do not raise
                assert "--reset-breaker" in str(stop)  # noqa: PT017 - as above
                break
            breaker.saw(now, batch(1, f"{start} {event}"))
            parked += 1
    assert parked == 1


def test_workers_of_one_machine_share_a_trip(tmp_path: Path) -> None:
    """Two that run count the same event of grace, and what one of them forgets, or a command removes, is not written again."""
    first, second = (CircuitBreaker("user", Note(tmp_path / "user.json", Trip)) for _ in range(2))
    with pytest.raises(NamespaceStopped):
        first.check(0, batch(KEYS + 1, *map(str, range(KEYS + 1))))
    second.check(1, batch(1, "a"))
    second.saw(1, batch(1, "a"))
    with pytest.raises(NamespaceStopped):
        first.check(2, batch(1, "b"))
    first.saw(3, batch(1_000))
    second.saw(4, batch(1))
    assert Note(tmp_path / "user.json", Trip).read() is None


def test_a_trip_is_forgotten_when_enough_is_handled(tmp_path: Path) -> None:
    """A mended handler may raise for one event in a hundred, and after a thousand events all is as before; or by command."""
    note = Note(tmp_path / "user.json", Trip)
    note.write(Trip(0))
    breaker = CircuitBreaker("user", note)
    breaker.saw(1, batch(100, "a"))
    assert not breaker.trips(1, batch(1, "b"))
    assert breaker.trips(1, batch(2, "b", "c"))
    breaker.saw(2, batch(900, "b"))
    assert note.read() is None
    assert not breaker.trips(3, batch(20, *map(str, range(8))))


def test_a_trip_is_forgotten_after_ten_quiet_minutes_with_events(tmp_path: Path) -> None:
    """A namespace with few events takes long to handle a thousand."""
    note = Note(tmp_path / "user.json", Trip)
    note.write(Trip(0))
    breaker = CircuitBreaker("user", note)
    breaker.saw(CALM, batch(1, "a"))
    assert note.read() == Trip(0, 1, 1)
    breaker.saw(CALM, batch(1))
    assert note.read() is None


@pytest.mark.parametrize("text", ["", "{", "[]", '{"at":"x"}'])
def test_a_note_that_cannot_be_read_is_none(tmp_path: Path, text: str) -> None:
    """A disk that was full may have left half of one; the worker starts all the same."""
    file = tmp_path / "user.json"
    file.write_text(text, encoding="utf-8")
    assert Note(file, Trip).read() is None


def test_a_note_that_cannot_be_written_ends_nothing(tmp_path: Path) -> None:
    """The state folder may be full or read-only: the log says so."""
    (tmp_path / "notes").write_text("", encoding="utf-8")
    with structlog.testing.capture_logs() as said:
        Note(tmp_path / "notes" / "user.json", Trip).write(Trip(0))
    assert [entry["event"] for entry in said] == ["a note cannot be written; a restart will not know it"]
