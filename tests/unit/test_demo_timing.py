"""What the demonstration says of time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import partial

import pytest

from ops.demo_timing import LogTimes, Phase, show
from processors.events import EmailBounced, EmailSend, EmailSent, FolderCreate

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


def after(seconds: float) -> datetime:
    """So long after the beginning."""
    return BEGIN + timedelta(seconds=seconds)


def test_times_are_those_of_the_log() -> None:
    """Handling lasts from the first record to the last of all logs, mails from the first request to the last answer."""
    times = LogTimes()
    for event, recorded, happened in (
        (EmailSent, 9.0, 6.0),  # the logs are read one after the other, so an answer may come first
        (FolderCreate, 1.0, 0.0),
        (EmailSend, 2.0, 0.0),
        (EmailSend, 3.0, 0.0),
        (EmailBounced, 5.0, 4.0),
    ):
        times.add(event.event_type, after(recorded), partial(after, happened))
    handling, mails = times.phases()
    assert (handling.seconds, handling.count, handling.per_second) == (8.0, 5, 5 / 8)
    assert (mails.seconds, mails.count, mails.per_second) == (4.0, 2, 0.5)


def test_nothing_has_no_rate() -> None:
    """No events, one event, or a start, which counts nothing: nothing is divided by zero."""
    assert [(each.seconds, each.per_second) for each in LogTimes().phases()] == [(0.0, None), (0.0, None)]
    assert Phase("handling", 0.0, 1, "event").as_json() == {"seconds": 0.0, "count": 1, "per_second": None}
    assert Phase("Kafka start", 1.25).as_json() == {"seconds": 1.25}


def test_the_report_shows_each_time_with_its_rate(capsys: pytest.CaptureFixture[str]) -> None:
    """The whole is on the last line; it is more than the parts, and less, where they overlap."""
    show([Phase("Kafka start", 4.04), Phase("handling", 2.0, 3500, "event")], 9.96)
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines() if line.strip()]
    assert lines[0] == "How long it took"
    assert lines[-3:] == ["Kafka start 4.0", "handling 3,500 events 2.0 1,750", "in all 10.0"]
