"""Effects that were recorded before their cause, since a worker's clock was hours ahead for a while."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from streams.data import EventData
from streams.errors import EffectBeforeCause
from streams.history.branch.branch import replay, what_if
from streams.history.branch.branch_run import BranchRun
from streams.history.branch.change import Change, InsertedEvent
from streams.history.branch.changed_run import changed_run
from streams.history.code.application_handlers import ApplicationHandlers
from streams.history.code.local_code import LocalCode, emitted
from streams.history.difference.difference import Difference
from streams.history.past import Past, before, cause_of
from streams.history.recorded_event import RecordedEvent
from tests.applications import bank
from tests.applications.bank.events import AccountOpen, TransferStart
from tests.support.corrections import Corrected
from tests.support.other_code import silent, with_change
from tests.support.partitions import Partitions
from tests.support.pasts import START, live_rows, past_of
from tests.support.stored_topics import StoredTopics

AHEAD = timedelta(hours=2)


IsAhead = Callable[[str, int], bool]


def a_bank(is_ahead: IsAhead, most: int = 1, partitions: int = 2) -> tuple[Past, ApplicationHandlers]:
    there = transferred(is_ahead, most, partitions)
    return past_of(there), ApplicationHandlers(there.app, there.codec)


def transferred(is_ahead: IsAhead, most: int = 1, partitions: int = 2) -> Partitions:
    """`is_ahead` says of each batch behind a published event, by the event's id and from 0 on, whether its worker's clock is."""
    there = Partitions(bank.app(), partitions, now=START, most=most)

    def publish(data: EventData, name: str) -> None:
        there.publish(data, name, there.now)
        true = there.now
        for number in range(50):
            there.now = true + AHEAD if is_ahead(name, number) else true
            if not there.step():
                break
        there.now = true + timedelta(minutes=1)

    for name in "ab":
        publish(AccountOpen(account=name, balance=100), f"open-{name}")
    for number, (source, target, amount) in enumerate([("a", "b", 80), ("a", "b", 50), ("b", "a", 10), ("a", "b", 60)]):
        publish(TransferStart(transfer=f"t{number}", source=source, target=target, amount=amount), f"start-{number}")
    return there


def at_start(name: str) -> IsAhead:
    """The worker that handles an event is ahead for that one."""
    return lambda published, number: (published, number) == (name, 0)


def root(past: Past, name: str) -> RecordedEvent:
    return next(it for it in past.events() if it.event.id == name)


def early(past: Past) -> list[RecordedEvent]:
    return [it for it in past.events() if it.cause is not None and all(it.order < each.order for each in past.find_all(it.cause))]


@pytest.mark.parametrize("jumped", range(4))
def test_a_clock_that_was_ahead_changes_no_answer(jumped: int) -> None:
    """Any transfer is taken out, or moves something else: rows and events are those of the same past with right clocks."""
    right, handlers = a_bank(lambda *_: False)
    for batch in range(4):
        past, _ = a_bank(lambda *at, batch=batch: at == (f"start-{jumped}", batch))
        for taken in range(4):
            was = root(past, f"start-{taken}")
            for change in (Change(remove=frozenset([was.reference])), Change(replace={was.reference: with_another_amount(was)})):
                wanted = told(what_if(right, handlers, change).difference)
                for everything in (False, True):
                    assert told(what_if(past, handlers, change, everything=everything).difference) == wanted


def again(was: RecordedEvent) -> InsertedEvent:
    return InsertedEvent(was.event.data, was.event.time, was.event.id, source=was.event.source)


def with_another_amount(was: RecordedEvent) -> EventData:
    return replace(was.event.data, amount=was.event.data.amount - 5)


def told(found: Difference) -> list[object]:
    missing, surplus = (sorted(it.reference for it in events) for events in (found.missing, found.surplus))
    changed = sorted((it.recorded.reference, it.what) for it in found.changed)
    return [missing, surplus, changed, found.in_flight, {it.place: it.after for it in found.rows}]


@pytest.mark.parametrize("jumped", range(4))
def test_a_correction_sets_the_rows_of_early_effects(jumped: int) -> None:
    """So does another one behind it, and one that undoes the first: rows are those of a bank with right clocks."""
    for taken in range(4):
        right, here = (Corrected(transferred(it)) for it in (lambda *_: False, at_start(f"start-{jumped}")))
        for number in (taken, (taken + 1) % 4):
            for each in (right, here):
                each.correct(Change(remove=frozenset([root(each.past, f"start-{number}").exact_name])))
                each.finish()
            assert live_rows(here.there) == live_rows(right.there)
            assert list(here.corrected().different_rows()) == []
        for each in (right, here):
            each.correct(Change([again(root(each.log, f"start-{taken}"))]))
            each.finish()
        assert live_rows(here.there) == live_rows(right.there)
        assert StoredTopics.of(here.there).verified().findings == []


@pytest.mark.parametrize("jumped", range(4))
def test_what_is_put_in_again_has_its_early_effects_again(jumped: int) -> None:
    """At their places: taking out and putting in leaves the past as it was."""
    past, handlers = a_bank(at_start(f"start-{jumped}"))
    for taken in range(4):
        was = root(past, f"start-{taken}")
        without = what_if(past, handlers, Change(remove=frozenset([was.exact_name]))).past
        back = what_if(without, handlers, Change([again(was)])).past
        assert [(it.order, it.reference) for it in back.events()] == [(it.order, it.reference) for it in past.events()]


def test_early_effects_are_found_at_once() -> None:
    """All transfers are taken out, and what is otherwise for that needs one more run, not one for each."""
    past, handlers = a_bank(at_start("start-0"))
    runs = 0

    def make() -> BranchRun:
        nonlocal runs
        runs += 1
        return BranchRun(past, LocalCode(handlers), handlers, None, None, in_full=False)

    changed_run(make, Change(remove=frozenset(root(past, f"start-{number}").reference for number in range(4))))
    assert len(early(past)) >= 4
    assert runs == 2


def test_other_code_that_makes_an_early_effect_otherwise_is_refused() -> None:
    """In a replay, which decides everything once. The sentence names both events, and the clock."""
    past, handlers = a_bank(at_start("start-3"))
    other = ApplicationHandlers(with_change(bank.app(), TransferStart, silent), handlers.codec)
    with pytest.raises(
        EffectBeforeCause,
        match=r"account\.debit account-\d:\d cannot be told: it follows from transfer\.start transfer-\d:\d .* clock of a worker "
        "of transfer was more than an hour ahead",
    ):
        replay(past, LocalCode(handlers), other)


def test_what_leaves_early_effects_as_they_are_is_told() -> None:
    """The last transfer, which was ahead, is refused for want of money with and without the one before it."""
    past, handlers = a_bank(at_start("start-3"))
    assert early(past)
    again = what_if(past, handlers, everything=True).difference
    assert again.is_empty
    assert again.in_flight == []
    for everything in (False, True):
        change = Change(remove=frozenset([root(past, "start-2").exact_name]))
        found = what_if(past, handlers, change, everything=everything)
        assert_whole(found.past, handlers)
        assert {it.event.correlation or it.event.id for it in found.difference.missing} == {"start-2"}


def test_an_early_effect_keeps_its_place() -> None:
    """An account has one more before a debit that was ahead, which leads to the same as it did: that stays before it."""
    past, handlers = a_bank(lambda *at: at == ("start-2", 1))
    data, time = TransferStart(transfer="t9", source="b", target="a", amount=1), root(past, "start-2").event.time
    found = what_if(past, handlers, Change([InsertedEvent(data, time - timedelta(seconds=1))]))
    assert_whole(found.past, handlers)
    assert len(found.difference.surplus) > 1
    assert "transfer" in {it.namespace for it in early(past)}
    assert [it.order for it in early(found.past)] == [it.order for it in early(past)]


def assert_whole(past: Past, handlers: ApplicationHandlers) -> None:
    """All that its events say is there, and nothing else."""
    said = dict[str, object]()
    for it in past.events():
        row, _ = handlers.fold_all(before(past.key_events(it.place), it.order))
        said |= emitted(handlers, it, row)
    assert said == {it.reference: (it.value, it.event.time) for it in past.events() if it.cause is not None}


def assert_in_order(found: Past, past: Past) -> None:
    """What is new stands behind all of its row that led to it."""
    there = {it.order for it in past.events()}
    for it in found.events():
        each: RecordedEvent | None = it
        while each is not None and it.order not in there:
            assert each.place != it.place or each.order <= it.order
            each = cause_of(found, each)


@settings(max_examples=150, deadline=None)
@given(st.randoms(use_true_random=False), st.sets(st.integers(0, 3), min_size=1, max_size=2), st.integers(1, 3))
def test_a_branch_is_whole(chosen: random.Random, taken: set[int], partitions: int) -> None:
    """Wherever clocks jump, what a branch tells has every effect of its events, and none of those that it has not."""
    share = chosen.choice([0.0, 0.1, 0.4])
    past, handlers = a_bank(lambda *_: chosen.random() < share, chosen.randint(1, 3), partitions)
    assert what_if(past, handlers, everything=True).difference.is_empty
    named = {(it := root(past, f"start-{number}")).exact_name: with_another_amount(it) for number in taken}
    change = Change(remove=frozenset(named)) if chosen.random() < 0.5 else Change(replace=named)
    found = what_if(past, handlers, change)
    assert_whole(found.past, handlers)
    assert_in_order(found.past, past)
