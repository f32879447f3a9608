"""The permits of a real municipality, in memory: the first 4,000 of 8,577 events."""

from __future__ import annotations

from itertools import islice

import pytest

from streams import History
from streams.testing import World, given
from tests.applications import permits
from tests.applications.permits.events import PermitReceive, PermitStep
from tests.support.permits import COUNT, history

FIRST, CASES = 4_000, 658


@pytest.fixture(scope="module")
def world() -> World:
    """As it happened: each event at its time, with the timers that were due before it."""
    return World(permits.app()).play(islice(history(), FIRST))


@pytest.fixture(scope="module")
def past(world: World) -> History:
    return world.history()


def test_the_file_has_all_events() -> None:
    """In the order of their times; no case twice."""
    events = list(history())
    assert len(events) == COUNT
    assert [time for _, time in events] == sorted(time for _, time in events)
    received = [data.key for data, _ in events if isinstance(data, PermitReceive)]
    assert len(received) == len(set(received)) == 1_434


def test_all_is_handled(world: World) -> None:
    """The clerks kept the order: nothing is refused."""
    found = world.table(permits.permit)
    assert len(found) == CASES
    assert world.rejections == []
    assert sum(len(row.done) for row in found.values()) == FIRST - CASES
    assert sum(row.count for row in world.table(permits.per_step).values()) == FIRST - CASES


def test_a_confirmation_is_sent_when_it_is_determined() -> None:
    """As in all the cases but one, which comes later in the file."""
    world = given(permits.app(), PermitReceive(permit="7917", channel="Desk", by="01"))
    assert world.when(PermitStep(permit="7917", step="T05", by="01")).reason == "this confirmation is not determined"


def test_what_was_not_closed_in_time_is_late(world: World) -> None:
    """By a timer of each case, at its place among real events."""
    late = world.view("late")
    assert len(late) == 48
    assert sum(row.late for row in world.table(permits.clerk).values()) == 48
    closed = [key for key in late if world.table(permits.permit)[key].closed]
    assert closed == ["3927", "4346"]


def test_the_past_has_the_rows(world: World, past: History) -> None:
    """Folded again; and as of a time before its end, it has what had been received by then."""
    assert dict(past.table(permits.clerk)) == dict(world.table(permits.clerk))
    early = past.as_of(past.event("permit-0:2000").event.time)
    received = {it.key for it in early.events() if it.event_type == "permit.receive"}
    assert set(early.table(permits.permit)) == received
    assert len(received) < CASES


def test_without_a_case_its_clerks_had_less_to_do(past: History) -> None:
    """Of 9,000 events a branch decides those that the change reaches."""
    [first, *_] = past.row_story(permits.permit, "3927").steps
    branch = past.what_if(remove=[first.event.reference])
    found = branch.difference()
    assert found.decided < 2_500
    assert branch.table(permits.permit).get("3927") is None
    clerk = first.event.event.data.by
    before, after = past.table(permits.clerk)[clerk], branch.table(permits.clerk)[clerk]
    assert after.late == before.late - 1
