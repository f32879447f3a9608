"""When events count from that follow from erased ones: as with all events, or it is known not to be known.

The number of cases is ERASED_CASES (30 unless it is set).
"""

from __future__ import annotations

import os
import random
import tempfile
from collections.abc import Sequence, Set
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streams import App
from streams.engine.times import to_micros
from streams.errors import BeforeHistory
from streams.history.branch.branch import what_if
from streams.history.branch.branch_times import TimedBranch
from streams.history.branch.change import Change
from streams.history.code.application_handlers import ApplicationHandlers
from streams.history.cut_past import Cut, CutPast
from streams.history.past import MemoryPast
from streams.history.recorded_event import OrderKey, RecordedEvent
from streams.history.stored.stored_past import StoredPast
from streams.server.readmodel.log_follower import LogFollower
from streams.server.readmodel.store import Store
from streams.server.readmodel.store_high_water import fill_high_water, is_filled
from tests.applications import bank, timed
from tests.applications.bank.events import AccountOpen, TransferStart
from tests.support.partitions import Partitions
from tests.support.pasts import KINDS, START, log_of, made, past_of
from tests.support.stored_pasts import END, log_message, put_high_water, stored
from tests.unit.test_left_out import of_clocks_that_differ

CASES = int(os.environ.get("ERASED_CASES", "30"))
many = settings(max_examples=CASES, deadline=None, suppress_health_check=list(HealthCheck))


def erase(store: Store, events: Sequence[RecordedEvent]) -> None:
    writer = store.writer()
    for it in events:
        writer.erase_record(*it.order[1:4], it.key)
    writer.commit()


def forget(chosen: random.Random, store: Store, events: Sequence[RecordedEvent], last: Set[OrderKey]) -> None:
    """As if Kafka had them no more when the file was read; and of some that are the last of their rows not even the tombstone.

    Without a tombstone, nobody can know that an event is missing between two of a row.
    """
    for it in events:
        at = it.order[1:4]
        store.write(lambda db, at=at: db.execute("delete from record where ns = ? and part = ? and seq = ?", at))
    erase(store, [it for it in events if it.order not in last or chosen.random() < 0.3])


def last_of_rows(events: Sequence[RecordedEvent]) -> Set[OrderKey]:
    return {*{it.place: it.order for it in events}.values()}


def times_of(store: Store) -> dict[tuple[str, int, int], tuple[int, int]]:
    """When each event counts from, at least and at most, by its place."""
    found = store._db.execute("select ns, part, seq, high, coalesce(latest, high) from record").fetchall()
    return {it[:3]: it[3:] for it in found}


def resting_on(events: Sequence[RecordedEvent], gone: Sequence[RecordedEvent]) -> set[OrderKey]:
    """The places of those that depend on one that is gone, with these."""
    places, rows, references = {it.order for it in gone}, set(), set()
    for it in events:
        if it.order in places or it.place in rows or it.cause in references:
            places.add(it.order)
            rows.add(it.place)
            references.add(it.reference)
    return places


@many
@given(st.sampled_from([*KINDS, "clocks"]), st.integers(0, 10**6), st.sampled_from([0, 1, 3]))
def test_what_follows_from_an_erased_event_counts_from_when_it_did(kind: str, seed: int, before: int) -> None:
    """Whether that one was erased before its own time was known, or only before that of what follows from it."""
    chosen, there = of_clocks_that_differ(seed) if kind == "clocks" else made(kind, seed)
    events = list(past_of(there).events())
    with tempfile.TemporaryDirectory() as folder, closing(stored(there, Path(folder))) as store:
        for _ in range(before):
            store.write(lambda db: fill_high_water(db, END, max(1, len(events) // 6)))
        erase(store, chosen.sample(events, min(len(events), chosen.choice([1, 2, 5]))))
        store.write(lambda db: put_high_water(db, END))
        known = times_of(store)
        assert {at: (it.high, it.high) for it in events if (at := it.order[1:4]) in known} == known
        assert is_filled(store._db, END)


@many
@given(st.sampled_from(KINDS), st.integers(0, 10**6))
def test_what_follows_from_an_event_that_the_file_never_had_counts_from_no_earlier(kind: str, seed: int) -> None:
    """There are bounds of when it counts from; what rests on none that is gone has its time."""
    chosen, there = made(kind, seed)
    events = list(past_of(there).events())
    last = last_of_rows(events)
    some_last = [it for it in events if it.order in last]
    gone = [*chosen.sample(events, min(len(events), chosen.choice([1, 2, 5]))), *chosen.choices(some_last, k=2)]
    resting = resting_on(events, gone)
    with tempfile.TemporaryDirectory() as folder, closing(stored(there, Path(folder))) as store:
        forget(chosen, store, gone, last)
        store.write(lambda db: put_high_water(db, END))
        known = times_of(store)
        for it in events:
            if (found := known.get(it.order[1:4])) is not None:
                assert found[0] <= (it.high or 0) <= found[1]
                assert it.order in resting or found[0] == found[1]


def late_transfer(first: timedelta = timedelta(hours=1)) -> Partitions:
    """An account whose debit is told of late, behind another event: so the credit that follows counts as late as that."""
    there = Partitions(bank.app(), 2, now=START, seed=1)
    for event_id, name in [("a", "a"), ("b", "b"), ("c", "c"), ("c again", "c")]:
        there.publish(AccountOpen(account=name, balance=100), f"open-{event_id}", START)
    there.settle()
    there.now += timedelta(hours=2)
    there.publish(TransferStart(transfer="t1", source="a", target="b", amount=1), "first", START + first)
    there.settle()
    there.publish(TransferStart(transfer="t2", source="a", target="c", amount=1), "late", START + timedelta(minutes=1))
    there.settle()
    return there


def one(events: Sequence[RecordedEvent], event_type: str, transfer: str) -> RecordedEvent:
    return next(it for it in events if it.event_type == event_type and it.event.data.transfer == transfer)


def its_causes(past: MemoryPast, it: RecordedEvent) -> Sequence[RecordedEvent]:
    """Up to the debit."""
    [said] = past.find_all(it.cause or "")
    return [said, *past.find_all(said.cause or "")]


@pytest.mark.parametrize("how", ["before it is known", "never had", "waiting", "of its row"])
def test_no_effect_is_told_without_its_erased_cause(tmp_path: Path, how: str) -> None:
    """A credit is not there as of a time by which its debit had not happened, although the debit, or one before it, is erased."""
    there = late_transfer()
    whole = past_of(there)
    events = list(whole.events())
    credit, debit = one(events, "account.credit", "t2"), one(events, "account.debit", "t1")
    early, gone = CutPast(whole, Cut((credit.high or 0) - 1)), its_causes(whole, credit)
    assert not early.has(credit)
    with closing(stored(there, tmp_path)) as store:
        if how == "waiting":
            erased_while_waiting(there, store, gone)
        elif how == "never had":
            forget(random.Random(1), store, gone, last_of_rows(events))
        elif how == "of its row":
            store.write(lambda db: put_high_water(db, debit.order.recorded))
            erase(store, [debit])
        else:
            erase(store, gone)
        store.write(lambda db: put_high_water(db, END))
        cut = CutPast(StoredPast(store._db, there.codec), early.cut)
        found = next(it for it in StoredPast(store._db, there.codec).events() if it.order == credit.order)
        if how == "never had":
            with pytest.raises(BeforeHistory, match=r"follows from events that were erased. Ask for 2026-01-01T02:00:00\.\d+Z or"):
                cut.has(found)
        else:
            assert not cut.has(found)


def test_a_cause_that_the_file_never_had_may_count_from_the_future_on(tmp_path: Path) -> None:
    """As one of its row does that the file has, of a publisher whose clock was ahead."""
    there = late_transfer(timedelta(days=5))
    whole = past_of(there)
    events = list(whole.events())
    credit = one(events, "account.credit", "t2")
    with closing(stored(there, tmp_path)) as store:
        forget(random.Random(1), store, its_causes(whole, credit), last_of_rows(events))
        store.write(lambda db: put_high_water(db, END))
        assert times_of(store)[credit.order[1:4]][1] == credit.high == to_micros(START + timedelta(days=5))


def test_a_branch_does_not_tell_an_effect_without_its_erased_cause(tmp_path: Path) -> None:
    """It has looked at the row of the credit again, and at no event of which that can be told when it counts from."""
    there = late_transfer()
    whole = past_of(there)
    credit = one(list(whole.events()), "account.credit", "t2")
    [again] = [it.exact_name for it in whole.events() if it.event.id == "open-c again"]
    with closing(stored(there, tmp_path)) as store:
        store.write(lambda db: put_high_water(db, END))
        erase(store, its_causes(whole, credit))
        past = StoredPast(store._db, there.codec)
        branch = what_if(past, ApplicationHandlers(there.app, there.codec), Change(remove=frozenset({again})))
        timed = TimedBranch(branch.past)
        [found] = [it for it in timed.events() if it.order == credit.order]
        assert CutPast(timed, Cut(credit.high)).has(found)
        with pytest.raises(BeforeHistory, match="it follows from events that were erased"):
            CutPast(timed, Cut((credit.high or 0) - 1)).has(found)


def test_a_cause_in_a_log_of_another_application_was_not_erased(tmp_path: Path) -> None:
    """What it led to here counts from its own time on, as if it was published: there is no past of the other here."""
    there = made("timed", 5)[1]
    bells = App(name="bells", namespaces=[timed.bell])
    with closing(Store(tmp_path, "", bells, there.codec)) as store:
        store.open()
        writer, places = store.writer(), [it for it in there.images if it[0] == "bell"]
        follower = LogFollower(writer, there.codec, places)
        for namespace, partition, sequence, key, value, headers in log_of(there):
            if namespace == "bell":
                follower.take((namespace, partition), log_message(namespace, partition, sequence, key, value, headers))
        follower.flush()
        writer.commit()
        store.completed()
        store.write(lambda db: put_high_water(db, END))
        found = times_of(store)
        assert found
        assert all(early == late for early, late in found.values())


def erased_while_waiting(there: Partitions, store: Store, events: Sequence[RecordedEvent]) -> None:
    """Read anew into an empty file, where their tombstones come while they wait for earlier ones."""
    places = [*there.images]
    store.write(lambda db: db.execute("delete from record"))
    writer = store.writer()
    writer.in_order = True  # as where there are projections
    follower = LogFollower(writer, there.codec, places)
    for namespace, partition, sequence, key, value, headers in log_of(there):
        follower.take((namespace, partition), log_message(namespace, partition, sequence, key, value, headers))
    for it in events:
        follower._erase(it.order[1:3], it.order.sequence, it.key)
    for at in places:
        follower.merge.ended(at)
    follower.flush()
    writer.commit()
