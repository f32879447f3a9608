"""The past as of a time: what had happened by then, as it was known by then."""

from __future__ import annotations

import random
from datetime import datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streams.engine.times import to_micros
from streams.errors import DefinitionError, HistoryError
from streams.history.code.application_handlers import ApplicationHandlers
from streams.history.cut_past import Cut, CutPast
from streams.history.past import MemoryPast, Past
from streams.history.past_tables import PastTables
from streams.history.recorded_event import RecordedEvent
from tests.applications import bank
from tests.applications.bank.events import AccountOpen, AccountRow, TransferStart
from tests.support.partitions import Partitions
from tests.support.pasts import KINDS, START, live_rows, made, past_of

some = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))


def a_cut(chosen: random.Random, past: Past) -> Cut:
    events = list(past.events())
    as_of = to_micros(chosen.choice(events).event.time) + chosen.choice([-1, 0, 1])
    known = chosen.choice(events).order.recorded + chosen.choice([-1, 0])
    return Cut(*chosen.choice([(as_of, None), (None, known), (as_of, known)]))


@some
@given(st.sampled_from(KINDS), st.integers(0, 10**6))
def test_a_cut_is_closed_under_causes_and_a_prefix_of_each_key(kind: str, seed: int) -> None:
    """So it is a past that may have been: a fresh model that is fed the cut has its rows."""
    chosen, there = made(kind, seed)
    past = past_of(there)
    cut = CutPast(past, a_cut(chosen, past))
    events = list(cut.events())
    references = {it.reference for it in events}
    assert all(it.cause is None or it.cause in references for it in events)
    for place in {it.place for it in past.events()}:
        kept = list(cut.key_events(place))
        assert kept == [it for it in past.key_events(place) if it.reference in references]
        assert kept == list(past.key_events(place))[: len(kept)]
    handlers = ApplicationHandlers(there.app, there.codec)
    fresh = PastTables(MemoryPast(events), handlers)
    told = PastTables(cut, handlers)
    for space in there.app.namespaces:
        assert dict(told.table(space.name)) == dict(fresh.table(space.name))
        assert all(told.table(space.name)[key] == row for key, row in fresh.table(space.name).items())
    assert told.projections == fresh.projections


@some
@given(st.sampled_from(KINDS), st.integers(0, 10**6))
def test_the_past_as_of_its_end_is_what_there_is(kind: str, seed: int) -> None:
    """Of a time after all events, as known after all of them."""
    _, there = made(kind, seed)
    past = past_of(there)
    tables = PastTables(CutPast(past, Cut(2**61, 2**61)), ApplicationHandlers(there.app, there.codec))
    assert {(space, key): row for space in there.engines for key, row in tables.table(space).items()} == live_rows(
        there
    )


def of_own_times(past: Past) -> list[RecordedEvent]:
    """What a cut by each key's own times would be."""
    high: dict[object, int] = {}
    found = []
    for it in past.events():
        high[it.place] = high[it.reference] = max(to_micros(it.event.time), high.get(it.place, -(2**62)))
        found.append((it, high[it.reference]))
    return [it for it, at in found if at <= to_micros(START + timedelta(minutes=3))]


def test_without_the_causes_time_a_cut_has_effects_without_their_cause() -> None:
    """Of late events; so the high-water time travels along causes."""
    torn = 0
    for seed in range(40):
        kept = of_own_times(past_of(made("bank", seed)[1]))
        references = {it.reference for it in kept}
        torn += any(it.cause is not None and it.cause not in references for it in kept)
    assert torn > 0


def a_late_transfer() -> tuple[Past, PastTables, datetime, ApplicationHandlers]:
    """Two accounts of 100; at 10:05 the second is asked for 10, and later it is known that 50 were sent to it at 10:01."""
    there = Partitions(bank.app(), 1, now=START)
    for name in ("a", "b"):
        there.publish(AccountOpen(account=name, balance=100), f"open-{name}", START)
    there.settle()
    there.now = START + timedelta(minutes=5)
    there.publish(TransferStart(transfer="t1", source="b", target="a", amount=10), "start-1", there.now)
    there.settle()
    known, there.now = there.now, START + timedelta(minutes=6)
    there.publish(
        TransferStart(transfer="t2", source="a", target="b", amount=50), "start-2", START + timedelta(minutes=1)
    )
    there.settle()
    handlers = ApplicationHandlers(there.app, there.codec)
    past = past_of(there)
    return past, PastTables(past, handlers), known, handlers


def balances(past: Past, handlers: ApplicationHandlers, cut: Cut) -> dict[str, int]:
    rows = PastTables(CutPast(past, cut), handlers).table("account")
    return {key: row.balance for key, row in rows.items() if isinstance(row, AccountRow)}


def test_both_times_of_a_late_event() -> None:
    """It counts from the time on that its accounts had reached, and is known from when it was recorded on."""
    past, _, known, handlers = a_late_transfer()
    as_of = to_micros(START + timedelta(minutes=2))
    assert balances(past, handlers, Cut(as_of)) == {"a": 100, "b": 100}
    as_of = to_micros(START + timedelta(minutes=5))
    assert balances(past, handlers, Cut(as_of)) == {"a": 60, "b": 140}
    assert balances(past, handlers, Cut(as_of, to_micros(known) + 1000)) == {"a": 110, "b": 90}


def test_a_view_of_the_past() -> None:
    """It is given tables as they were, and folds those that it asks for."""
    _, there = made("shop", 3)
    past = past_of(there)
    tables = PastTables(past, ApplicationHandlers(there.app, there.codec))
    assert tables.view("orders-of/c").keys() == dict(tables.table("order")).keys()
    with pytest.raises(DefinitionError, match="has no view 'nowhere'"):
        tables.view("nowhere")


def test_a_row_that_this_code_cannot_tell_says_so() -> None:
    """An event that was accepted, and whose handler rejects it now: a wrong row is never told."""
    past, tables, _, handlers = a_late_transfer()
    table = PastTables(MemoryPast(it for it in past.events() if it.event_type != "account.open"), handlers).table(
        "account"
    )
    with pytest.raises(
        HistoryError, match=r"account\.debit was accepted as account-0:3, and its handler now rejects it"
    ):
        table.entry("b")
    assert tables.table("account").entry("b") == (AccountRow(balance=140), 6)
