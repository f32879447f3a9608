"""The timers that a correction's step schedules are those that the handlers would have scheduled."""

from __future__ import annotations

from streams.engine.records import Headers
from streams.event import reference_of
from streams.history.branch.change import Change, InsertedEvent
from tests.applications import timed
from tests.applications.timed.events import AlarmTouch
from tests.support.corrections import Corrected
from tests.support.other_code import twice, with_change
from tests.support.partitions import Partitions
from tests.support.pasts import START

HOUR = 3_600_000_000
NAME = reference_of("test", "touch")
TOUCH = AlarmTouch(name="k", number=1, after=5, other="z")


def waiting_at(there: Partitions) -> dict[str, tuple[int, str, bool, bytes, dict[str, bytes]]]:
    """By event id."""
    due = [it for image in there.images.values() for it in image.due.values()]
    return {it.event_id: (it.at, it.owner, it.own, it.emitted.value, said_by(it.emitted.headers)) for it in due}


def said_by(headers: Headers) -> dict[str, bytes]:
    """But for when the cause was recorded: one that is put in never was."""
    return {name: value for name, value in headers if name != "ce_causetime"}


def test_a_timer_of_what_is_put_in_is_what_its_publisher_would_have_led_to() -> None:
    """With the same id, and headers that say the same of its cause, also where two of one type are for one key."""
    app = with_change(timed.app(), AlarmTouch, twice)
    published, put_in = (Partitions(app, 1, now=START) for _ in range(2))
    published.publish(TOUCH, "touch", START)
    published.settle()
    here = Corrected(put_in)
    here.correct(Change([InsertedEvent(TOUCH, START, "touch", None, "test")]))
    here.finish()
    assert waiting_at(put_in) == waiting_at(published)
    assert len(waiting_at(put_in)) == 4


def test_a_timer_that_becomes_otherwise_keeps_its_id() -> None:
    """Its id says only what it is of, so its time and its data are compared: a step sets them anew."""
    there = Partitions(timed.app(), 1, now=START)
    there.publish(TOUCH, "touch", START)
    there.settle()
    here = Corrected(there)
    before = waiting_at(there)
    here.correct(Change(replace={NAME: AlarmTouch(name="k", number=1, after=7, other="z")}))
    here.finish()
    after = waiting_at(there)
    assert after.keys() == before.keys()
    assert {it[0] - before[name][0] for name, it in after.items()} == {2 * HOUR}
    here.correct(Change(replace={NAME: AlarmTouch(name="k", number=2, after=7, other="z")}))
    here.finish()
    assert {name: it[3] for name, it in waiting_at(there).items()} != {name: it[3] for name, it in after.items()}
