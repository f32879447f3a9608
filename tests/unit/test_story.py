"""Stories: what led to an event, what followed from it, and what each step made of the rows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streams.history.code.application_handlers import ApplicationHandlers
from streams.history.difference.row_changes import MISSING, FieldChange, row_changes
from streams.history.past import MemoryPast, before
from streams.history.recorded_event import RecordedEvent
from streams.history.stored.stored_past import StoredPast
from streams.history.stored.stored_waiting import StoredWaiting
from streams.history.story.story import CREATED, DELETED, STEPS, UNCHANGED, UNKNOWN, Story, StoryStep, Storyteller
from streams.history.story.waiting import NothingWaits
from tests.applications import bank, shop
from tests.applications.bank.events import AccountRow
from tests.applications.shop.events import Line, OrderPlace, OrderRow, StockReceive
from tests.support.partitions import Partitions
from tests.support.pasts import KINDS, made, past_of
from tests.support.stored_pasts import stored

some = settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def teller(there: Partitions, past: MemoryPast) -> Storyteller:
    return Storyteller(past, ApplicationHandlers(there.app, there.codec), NothingWaits())


def tree(step: StoryStep) -> Iterator[StoryStep]:
    yield step
    for effect in step.effects:
        yield from tree(effect)


@some
@given(st.sampled_from(KINDS), st.integers(0, 10**6))
def test_a_story_goes_up_to_the_root_and_down_to_all_that_followed(kind: str, seed: int) -> None:
    """From each event: each step caused the next one, and no consequence is missing."""
    _, there = made(kind, seed)
    past = past_of(there)
    for it in past.events():
        story = teller(there, past).of_event(it, depth=100)
        path = [*story.causes, story.step]
        assert path[0].event.cause is None
        assert all(effect.event.cause == cause.event.reference for cause, effect in pairwise(path))
        told = [step.event for step in tree(story.step)]
        assert set_of(told) == set_of(following(past, it))
        assert story.lost is None


def set_of(events: list[RecordedEvent]) -> set[str]:
    references = {it.reference for it in events}
    assert len(references) == len(events)
    return references


def following(past: MemoryPast, it: RecordedEvent) -> list[RecordedEvent]:
    return [it, *(each for effect in past.effects(it.reference) for each in following(past, effect))]


@some
@given(st.sampled_from(KINDS), st.integers(0, 10**6))
def test_a_step_has_its_row_before_and_after(kind: str, seed: int) -> None:
    """As a fold of all earlier events of its key gives them; steps of one key follow each other."""
    chosen, there = made(kind, seed)
    past, handlers = past_of(there), ApplicationHandlers(there.app, there.codec)
    it = chosen.choice(list(past.events()))
    story = teller(there, past).of_event(it, depth=3)
    for step in [*story.causes, *tree(story.step)]:
        earlier = before(past.key_events(step.event.place), step.event.order)
        entry = handlers.fold_all(earlier)
        assert (step.before, step.after) == (entry[0], handlers.fold(entry, step.event)[0])
    of_key = teller(there, past).of_key(it.place, depth=0, last=1_000)
    assert of_key is not None
    rows = [None, *(step.after for step in of_key.steps)]
    assert [step.before for step in of_key.steps] == rows[:-1]
    assert of_key.row == rows[-1]


def test_a_long_story_is_cut_where_it_is_farthest() -> None:
    """At its depth, and at its number of steps; how many direct consequences are left out is said."""
    there = Partitions(shop.app(), 1, now=NOW)
    lines = tuple(Line(sku=f"s{number}", quantity=1) for number in range(STEPS))
    there.publish(OrderPlace(order="o1", customer="c", lines=lines), "place-1", NOW)
    there.settle()
    past = past_of(there)
    [root] = [it for it in past.events() if it.cause is None]
    step = teller(there, past).of_event(root, depth=10).step
    assert len([*tree(step)]) == STEPS
    assert (len(step.effects), step.left_out) == (STEPS - 1, 1)
    step = teller(there, past).of_event(root, depth=0).step
    assert (step.effects, step.left_out) == ([], STEPS)


def test_only_the_last_events_of_a_row_are_told() -> None:
    """And how many were before; a row that this past does not know has no story."""
    _, there = made("bank", 5)
    past = past_of(there)
    place = max({it.place for it in past.events()}, key=lambda place: len(past.key_events(place)))
    story = teller(there, past).of_key(place, depth=0, last=2)
    assert story is not None
    assert (len(story.steps), story.earlier) == (2, len(past.key_events(place)) - 2)
    assert teller(there, past).of_key(("account", "nobody at all"), depth=0, last=2) is None


def test_a_row_that_this_code_cannot_fold_is_said_to_be_unknown() -> None:
    """The rest of the story is told: the past is what was handled, not what today's code thinks of it."""
    _, there = made("bank", 5)
    past = past_of(there)
    space = next(each for each in there.app.namespaces if each.name == "account")
    [opened] = [it for it in past.events() if it.event.id == "open-a0"]
    without = ApplicationHandlers(there.app, there.codec)
    del without.spaces[space.name].by_event[type(opened.event.data)]
    story = Storyteller(past, without, NothingWaits()).of_event(opened, depth=1)
    assert story.step.row_is == UNKNOWN
    assert "no handler" in (story.step.unknown or "")


def test_what_an_event_led_to_that_waits_is_told(tmp_path: Path) -> None:
    """A timer under the event that scheduled it, a call under its request; both also of their row."""
    there = Partitions(shop.app(), 2, now=NOW)
    there.publish(StockReceive(sku="x", quantity=5, price=3), "receive-x", NOW)
    there.settle()
    there.publish(OrderPlace(order="o1", customer="c", lines=(Line(sku="x", quantity=1),)), "place-1", NOW)
    while there.step():
        pass
    with closing(stored(there, tmp_path)) as store:
        past, waiting = StoredPast(store._db, there.codec), StoredWaiting(store._db, there.codec)
        told = Storyteller(past, ApplicationHandlers(there.app, there.codec), waiting)
        [root] = past.with_id("place-1")
        story = told.of_event(root, depth=10)
        [timer] = story.step.waits
        due = NOW + timedelta(minutes=15)
        assert (timer.kind, timer.event_type, timer.key) == ("timer", "order.expire", "o1")
        assert timer.at == int(due.timestamp()) * 10**6
        of_key = told.of_key(("order", "o1"), depth=1, last=20)
        assert of_key is not None
        assert of_key.waits == [timer]
        assert of_key.steps[0].waits == [timer]


def test_changes_are_told_by_field() -> None:
    """Nested ones by their path; a row that is new or gone is all of its fields."""
    row = OrderRow(customer="c", status="paid", placed=NOW, waiting=0, total=3, held={"x": 1, "y": 2})
    other = OrderRow(customer="c", status="cancelled", placed=NOW, waiting=0, total=3, held={"x": 1, "z": 2})
    assert row_changes(row, other) == [
        FieldChange("status", "paid", "cancelled"),
        FieldChange("held.y", 2, MISSING),
        FieldChange("held.z", MISSING, 2),
    ]
    assert row_changes(None, AccountRow(balance=1)) == [FieldChange("balance", MISSING, 1)]
    assert row_changes(AccountRow(balance=1), AccountRow(balance=1)) == []


def test_what_became_of_a_row_has_a_word() -> None:
    """Created, deleted, unchanged: told apart from what is unknown."""
    _, there = made("bank", 5)
    past = past_of(there)
    [opened] = [it for it in past.events() if it.event.id == "open-a0"]
    story = teller(there, past).of_event(opened, depth=1)
    assert isinstance(story, Story)
    assert story.step.row_is == CREATED
    row = AccountRow(balance=1)
    assert [StoryStep(opened, *pair).row_is for pair in [(row, None), (row, row)]] == [DELETED, UNCHANGED]
    assert bank.app().name
