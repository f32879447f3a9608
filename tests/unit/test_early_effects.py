"""Effects that were recorded before their cause, since a worker's clock was hours ahead for a while."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.data import EventData
from streams.errors import EffectBeforeCause
from streams.history.branch.branch import what_if
from streams.history.branch.change import Change, InsertedEvent
from streams.history.code.application_handlers import ApplicationHandlers
from streams.history.code.local_code import emitted
from streams.history.past import Past, before
from streams.history.recorded_event import RecordedEvent
from tests.applications import bank
from tests.applications.bank.events import AccountOpen, TransferStart
from tests.support.partitions import Partitions
from tests.support.pasts import START, past_of

AHEAD = timedelta(hours=2)


def a_bank(is_ahead: Callable[[str, int], bool], most: int = 1, partitions: int = 2) -> tuple[Past, ApplicationHandlers]:
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
    return past_of(there), ApplicationHandlers(there.app, there.codec)


def at_start(name: str) -> Callable[[str, int], bool]:
    """The worker that handles an event is ahead for that one."""
    return lambda published, number: (published, number) == (name, 0)


def root(past: Past, name: str) -> RecordedEvent:
    return next(it for it in past.events() if it.event.id == name)


def early(past: Past) -> list[RecordedEvent]:
    return [it for it in past.events() if it.cause is not None and all(it.order < each.order for each in past.find_all(it.cause))]


def test_what_needs_an_early_effect_otherwise_is_refused() -> None:
    """The first transfer is taken out, whose debit was recorded two hours before it: the sentence names both, and the clock."""
    past, handlers = a_bank(at_start("start-0"))
    assert "account.debit" in {it.event_type for it in early(past)}
    for everything in (False, True):
        with pytest.raises(
            EffectBeforeCause,
            match=r"account\.debit account-\d:\d cannot be told: it follows from transfer\.start transfer-\d:1 .* clock of a "
            "worker of transfer was more than an hour ahead",
        ):
            what_if(past, handlers, Change(remove=frozenset([root(past, "start-0").exact_name])), everything=everything)


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


@settings(max_examples=150, deadline=None)
@given(st.randoms(use_true_random=False), st.sets(st.integers(0, 3), min_size=1, max_size=2), st.integers(1, 3))
def test_a_branch_is_whole_or_refused(chosen: random.Random, taken: set[int], partitions: int) -> None:
    """Wherever clocks jump, what a branch tells has every effect of its events, and none of those that it has not."""
    share = chosen.choice([0.0, 0.1, 0.4])
    past, handlers = a_bank(lambda *_: chosen.random() < share, chosen.randint(1, 3), partitions)
    assert what_if(past, handlers, everything=True).difference.is_empty
    change = Change(remove=frozenset(root(past, f"start-{number}").exact_name for number in taken))
    try:
        found = what_if(past, handlers, change)
    except EffectBeforeCause:
        assert early(past)
        return
    assert_whole(found.past, handlers)
