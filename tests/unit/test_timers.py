"""Timers and times at the edges: a hundred years ahead, the last year there is, long ago, and none at all."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams import Event, Namespace, Outcome, Scheduled
from streams.app import App
from streams.codec import codec_of
from streams.engine.changes import Changes, PendingTimer
from streams.engine.engine import Engine
from streams.engine.event_handlers import MOST_AHEAD, Limits
from streams.engine.image import Image
from streams.engine.pending import FiringLimit, PendingTimers
from streams.engine.records import EmittedRecord, InboxRecord
from streams.engine.stored import due_record
from streams.engine.timers import TIMER_BYTES_PER_BATCH, due_timers
from streams.engine.times import to_micros
from streams.worker.image_reader import ImageReader
from tests.applications.bank.events import AccountClose, AccountOpen, AccountRow
from tests.support.kept import Kept

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
LAST = datetime(9999, 12, 31, 23, 59, 59, 999_999, UTC)
FIRST = datetime(1, 1, 1, tzinfo=UTC)
OPEN = AccountOpen(account="a", balance=1)


def engine_of(at: timedelta | datetime) -> Engine:
    """Its one handler schedules an event: at a time, or so long after the time of its cause."""
    account = Namespace("account", row=AccountRow)

    @account.handles(AccountOpen, emits=[AccountClose])
    def opened(row: AccountRow | None, event: Event[AccountOpen]) -> Outcome[AccountRow]:
        when = at if isinstance(at, datetime) else event.time + at
        return Outcome(AccountRow(balance=1), emit=[Scheduled(AccountClose(account=event.key), at=when)])

    @account.handles(AccountClose)
    def closed(row: AccountRow | None, event: Event[AccountClose]) -> Outcome[AccountRow]:
        return Outcome(None)

    app = App(name="timers", namespaces=[account])
    return Engine(app, "account", codec_of(app))


def opened(engine: Engine, time: str = NOW.isoformat()) -> InboxRecord:
    return (0, b"a", engine.codec.encode(OPEN), [("ce_time", time.encode())], 0)


@pytest.mark.parametrize("at", [NOW + timedelta(days=36_525), LAST], ids=["a hundred years", "the last microsecond"])
def test_a_timer_far_ahead_is_kept_restored_and_fired_at_its_time(at: datetime) -> None:
    """Not a microsecond earlier; its event has that time, and is handled."""
    engine, image = engine_of(at), Image()
    image.apply(engine.handle(image, [opened(engine)], to_micros(NOW)))
    [due] = image.due.values()
    reading = ImageReader(engine, 0)
    reading.due(Kept(*due_record("account", due)))  # type: ignore[arg-type]  # reads alike
    restored = reading.image()
    assert restored.due == image.due
    assert fired_by(engine, restored, to_micros(at) - 1) is None
    fired = fired_by(engine, restored, to_micros(at))
    assert fired is not None
    assert [event.time for event in fired.accepted] == [at]


def test_a_timer_long_past_waits_for_what_is_in_the_inbox() -> None:
    """Also of the first year there is: the key's next later event fires it, or the clock at the end of the inbox."""
    engine, image = engine_of(FIRST), Image()
    image.apply(engine.handle(image, [opened(engine)], to_micros(NOW)))
    assert [due.overdue for due in image.due.values()] == [True]
    fired = fired_by(engine, image, to_micros(NOW))
    assert fired is not None
    assert [(event.time, event.data.event_type) for event in fired.accepted] == [(FIRST, "account.close")]


def test_a_time_that_no_calendar_has_parks_its_event() -> None:
    """A day after the last one: the handler raises, and the reason says so."""
    engine, image = engine_of(timedelta(days=1)), Image()
    changes = engine.handle(image, [opened(engine, LAST.isoformat())], to_micros(NOW))
    [kept] = changes.set_aside
    assert "OverflowError" in kept.header.reason


@pytest.mark.parametrize("time", ["0001-01-01T00:00:00+05:00", "9999-12-31T23:59:59-05:00"])
def test_a_time_that_utc_does_not_have_is_quarantined(time: str) -> None:
    """Nobody could show it: one such event would end every reader of the log."""
    engine, image = engine_of(timedelta(days=1)), Image()
    changes = engine.handle(image, [opened(engine, time)], to_micros(NOW))
    [kept] = changes.set_aside
    header = kept.header
    assert (header.status, "the years 1 to 9999 in UTC" in header.reason) == ("quarantined", True)


def hourly(ahead: int | None) -> Engine:
    """Its timers schedule themselves again, an hour later."""
    account = Namespace("account", row=AccountRow)

    def again(row: AccountRow | None, event: Event[AccountOpen] | Event[AccountClose]) -> Outcome[AccountRow]:
        later = Scheduled(AccountClose(account=event.key), at=event.time + timedelta(hours=1))
        return Outcome(AccountRow(balance=1), emit=[later])

    account.handles(AccountOpen, emits=[AccountClose])(again)
    account.handles(AccountClose, emits=[AccountClose])(again)
    app = App(name="timers", namespaces=[account])
    return Engine(app, "account", codec_of(app), limits=Limits(ahead=ahead))


@pytest.mark.parametrize(("ahead", "fired", "handled"), [(MOST_AHEAD, 24, 3), (None, 1_000, 1)])
def test_a_time_far_ahead_fires_the_timers_of_one_day(ahead: int | None, fired: int, handled: int) -> None:
    """It is handled, and so is what is behind it. Where the clock is made up, all fire, a thousand in each transaction."""
    engine = hourly(ahead)
    encode, image = engine.codec.encode, Image()
    times = ("a", NOW.isoformat()), ("a", "9999-12-31T00:00:00Z"), ("b", NOW.isoformat())
    records: list[InboxRecord] = [
        (at, key.encode(), encode(AccountOpen(account=key, balance=1)), [("ce_time", time.encode())], 0)
        for at, (key, time) in enumerate(times)
    ]
    changes = engine.handle(image, records, to_micros(NOW))
    assert (sum(it.timer for it in changes.log), changes.inbox_next) == (fired, handled)


def fired_by(engine: Engine, image: Image, now: int) -> Changes | None:
    """What the wall clock fires by `now`; None: nothing."""
    batch, timers = engine.begin(image, now), due_timers(image, now)
    batch.fire(timers)
    return batch.changes if timers else None


def timer(at: int, name: str, size: int = 1, *, overdue: bool = False) -> PendingTimer:
    """One of another key than its owner's, which is emitted."""
    return PendingTimer(at, EmittedRecord("account", b"a", b"x" * size, []), name, "owner", overdue=overdue)


def test_timers_of_one_time_fire_in_the_order_in_which_they_were_scheduled() -> None:
    """Whatever they hold: that of midnight's events which was decided first comes first."""
    engine, image = engine_of(NOW), Image()
    for name in "ecadb":
        image.due.add(timer(5, name))
    fired = fired_by(engine, image, 5)
    assert fired is not None
    assert list(fired.settled) == list("ecadb")


def test_a_transaction_holds_so_many_bytes_of_timers() -> None:
    """Large ones come in several, and one alone always does."""
    engine, image = engine_of(NOW), Image()
    for name in "abc":
        image.due.add(timer(5, name, TIMER_BYTES_PER_BATCH // 2 + 1))
    counts = []
    while (fired := fired_by(engine, image, 5)) is not None:
        counts.append(len(fired.emitted))
        image.apply(fired)
    assert counts == [1, 1, 1]
    image.due.add(timer(5, "large", TIMER_BYTES_PER_BATCH + 1))
    assert fired_by(engine, image, 5) is not None


@given(st.lists(st.tuples(st.integers(0, 9), st.booleans(), st.integers(0, 5) | st.none()), max_size=40))
def test_what_is_due_is_what_a_sorted_list_says(steps: list[tuple[int, bool, int | None]]) -> None:
    """However timers come and go: those until a time, earliest first, in the order in which they came; all stay."""
    timers, model = PendingTimers(), list[PendingTimer]()
    for number, (at, overdue, discarded) in enumerate(steps):
        timers.add(timer(at, str(number), overdue=overdue))
        model.append(timer(at, str(number), overdue=overdue))
        if discarded is not None and discarded < len(model):
            timers.discard(model.pop(discarded).event_id)
        for limit in (FiringLimit(at, at), FiringLimit(9, at)):
            assert list(timers.until(limit)) == sorted(filter(limit.allows, model), key=lambda it: it.at)
        assert [it.timer for it in timers.of("owner")] == sorted(model, key=lambda it: it.at)
        assert timers.earliest == min((it.at for it in model), default=None)
        assert len(timers) == len(model)
