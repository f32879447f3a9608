"""Stories of events that were corrected: who did it and why stands beside what was recorded."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from streams.cli.output.story_text import story_lines
from streams.errors import NoSuchEvent
from streams.history.branch.change import Change, InsertedEvent
from streams.history.code.application_handlers import ApplicationHandlers
from streams.history.correction.corrected_log import CorrectedLog, KnownCorrection
from streams.history.correction.correction_plan import CorrectionPlan
from streams.history.correction.planning import plan_correction
from streams.history.correction.put_in_event import PutInEvent, put_in_event
from streams.history.past import Past
from streams.history.story.event_corrections import PUT_IN, REPLACED, TAKEN_OUT, EventCorrection, EventCorrections
from streams.history.story.story import Storyteller
from streams.history.story.story_members import story_members
from streams.history.story.waiting import NothingWaits
from streams.testing import given
from tests.applications import bank
from tests.applications.bank.events import AccountOpen, TransferStart
from tests.unit.test_branch_cases import a_bank
from tests.unit.test_story_text import text

LATER = datetime(2026, 1, 2, tzinfo=UTC)
RIGHT = TransferStart(transfer="t0", source="a", target="b", amount=8)
MISSING = TransferStart(transfer="t9", source="a", target="b", amount=5)


def corrected() -> tuple[CorrectedLog, ApplicationHandlers, EventCorrections]:
    """One transfer has another amount, one was none, and one was missing."""
    log, handlers = a_bank(("a", "b", 80), ("b", "a", 50))
    first, second = (next(it for it in log.events() if it.event.id == name) for name in ("start-0", "start-1"))
    change = Change(
        [InsertedEvent(MISSING, first.event.time + timedelta(seconds=1), "missed")],
        frozenset([second.exact_name]), {first.exact_name: RIGHT},
    )  # fmt: skip
    plan = plan_correction(CorrectedLog(log), handlers, change, "ann\x1b[2J", "a zero\ntoo much")
    so_far = CorrectedLog.of(log, [known(plan)], handlers.codec)
    return so_far, handlers, EventCorrections(so_far.corrections, handlers.codec)


def known(plan: CorrectionPlan) -> KnownCorrection:
    return KnownCorrection(plan.correction, plan.by, plan.why, 0, plan.change)


def what_became_of(past: Past, name: str, handlers: ApplicationHandlers, corrections: EventCorrections) -> list[EventCorrection]:
    it = next(it for it in past.events() if it.event.id == name)
    return [*Storyteller(past, handlers, NothingWaits(), corrections).of_event(it, 3).step.corrections]


def test_a_story_says_what_was_corrected_by_whom_and_why() -> None:
    """Of an event that was replaced its data since then; what was put in is told of the past as it was corrected."""
    so_far, handlers, corrections = corrected()
    [replaced] = what_became_of(so_far.log, "start-0", handlers, corrections)
    assert (replaced.what, replaced.data, replaced.why) == (REPLACED, RIGHT, "a zero\ntoo much")
    assert [it.what for it in what_became_of(so_far.log, "start-1", handlers, corrections)] == [TAKEN_OUT]
    assert [it.what for it in what_became_of(so_far.past(handlers), "missed", handlers, corrections)] == [PUT_IN]
    assert what_became_of(so_far.log, "open-a", handlers, corrections) == []


def test_it_is_told_to_people_and_to_programs() -> None:
    """Nothing of it drives a terminal, and what is in no log has no position."""
    so_far, handlers, corrections = corrected()
    past = so_far.past(handlers)
    put_in = next(it for it in past.events() if it.event.id == "missed")
    story = Storyteller(past, handlers, NothingWaits(), corrections).of_event(put_in, 9)
    lines = text(story_lines(story, LATER, 100))
    assert "transfer.start t9" in lines[0]
    assert "in no log  2026-01-01 00:01:01" in lines[0]
    told = f"put in 1970-01-01 00:00:00Z by ann\\x1b[2J: a zero\\ntoo much (correction {so_far.corrections[0].correction[:8]})"
    assert any(line.endswith(told) for line in lines), lines
    assert story_members(story)["event"]["corrections"][0]["by"] == "ann\x1b[2J"
    assert story_members(story)["event"]["position"] is None
    replaced = next(it for it in so_far.log.events() if it.event.id == "start-0")
    lines = text(story_lines(Storyteller(so_far.log, handlers, NothingWaits(), corrections).of_event(replaced, 0), LATER, 100))
    assert "instead: source a · target b · amount 8" in lines[3].strip(" │"), lines


def test_what_was_put_in_and_taken_out_again_has_the_story_that_it_had() -> None:
    """With both corrections; so have its effects, and one that was put in once more has that of the present."""
    so_far, handlers, _ = corrected()

    def correct(change: Change) -> None:
        nonlocal so_far
        plan = plan_correction(so_far, handlers, change, "bob", "it was none")
        so_far = CorrectedLog.of(so_far.log, [*so_far.corrections, known(plan)], handlers.codec)

    def found(name: str) -> PutInEvent | None:
        return put_in_event(so_far, so_far.past(handlers), handlers, name)

    first = found("missed")
    assert first is not None
    effect = first.past.effects(first.event.reference)[0]
    correct(Change(remove=frozenset([first.event.exact_name])))
    correct(Change([InsertedEvent(MISSING, LATER, "other")]))
    assert "missed" not in {it.event.id for it in so_far.past(handlers).events()}
    told = found("missed")
    assert told is not None
    corrections = EventCorrections(so_far.corrections, handlers.codec)
    story = Storyteller(told.past, handlers, NothingWaits(), corrections).of_event(told.event, 9)
    assert [(it.what, it.by, it.correction) for it in story.step.corrections] == [
        (PUT_IN, "ann\x1b[2J", so_far.corrections[0].correction), (TAKEN_OUT, "bob", so_far.corrections[1].correction)
    ]  # fmt: skip
    assert story.step.effects
    of_effect = found(effect.reference)
    assert of_effect is not None
    assert of_effect.event.value == effect.value
    assert found("nobody") is None
    correct(Change([InsertedEvent(MISSING, first.event.event.time, "missed")]))
    again = found("missed")
    assert again is not None
    assert again.event.order == first.event.order
    assert [it.event.id for it in again.past.events()] == [it.event.id for it in so_far.past(handlers).events()]


def test_a_world_tells_what_was_taken_out_again() -> None:
    """By its id; a branch, in which it never was, does not."""
    world = given(bank.app(), AccountOpen(account="a", balance=100), AccountOpen(account="b", balance=0))
    world.apply(world.history().correct(insert=[InsertedEvent(RIGHT, world.now, "t")], by="ann", why="it was missing"))
    world.apply(world.history().correct(remove=["t"], by="bob", why="it was not"))
    history = world.history()
    assert [it.what for it in history.story("t").step.corrections] == [PUT_IN, TAKEN_OUT]
    world.when(RIGHT, id="published")
    world.settle()
    world.apply(world.history().correct(remove=["published"], by="cy", why="it was not either"))
    taken_out = world.history().story("published").step
    assert [(it.what, it.by) for it in taken_out.corrections] == [(TAKEN_OUT, "cy")]
    assert [it.event.event_type for it in taken_out.effects] == ["account.debit"]
    for other in (lambda: history.what_if().story("t"), lambda: history.story("u"), lambda: history.event("t")):
        with pytest.raises(NoSuchEvent):
            other()


def test_a_world_tells_it_too() -> None:
    """Its history is that which counts, so the event has the right data."""
    world = given(bank.app(), AccountOpen(account="a", balance=100), AccountOpen(account="b", balance=0))
    world.when(TransferStart(transfer="t0", source="a", target="b", amount=80), id="t")
    world.settle()
    world.apply(world.history().correct(replace={"t": RIGHT}, by="ann", why="a zero too much"))
    step = world.history().story("t").step
    assert step.event.event.data == RIGHT
    assert [(it.what, it.by) for it in step.corrections] == [(REPLACED, "ann")]
