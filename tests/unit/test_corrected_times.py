"""The past as of a time, where it was corrected: what had happened by then, with the corrections that were known at another time.

The number of cases is CORRECTION_CASES (15 unless it is set).
"""

from __future__ import annotations

import random
import tempfile
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from streams.engine.times import from_micros, to_micros
from streams.errors import HistoryError
from streams.history.branch.branch import what_if
from streams.history.branch.branch_times import TimedBranch
from streams.history.correction.corrected_log import CorrectedLog, KnownCorrection
from streams.history.correction.correction_plan import StoredChange, stored_change
from streams.history.cut_past import Cut, CutPast
from streams.history.held_back import HeldBack
from streams.history.history import History
from streams.history.past import MemoryPast, Past
from streams.history.past_tables import PastTables
from streams.history.past_views import AskedTables
from streams.history.recorded_event import ROOT, OrderKey, RecordedEvent
from streams.history.stored.stored_corrections import counted, counted_at
from streams.history.stored.stored_past import StoredPast
from streams.history.stored.stored_rows import StoredRows
from streams.server.readmodel.past_store import PastStore
from streams.testing import given as a_world
from tests.applications import bank
from tests.applications.bank.events import AccountOpen, AccountRow, TransferStart
from tests.support.corrections import Corrected
from tests.support.pasts import ALL_KINDS, answered
from tests.support.stored_pasts import END, exported, put_high_water, stored
from tests.unit.test_branch import a_change
from tests.unit.test_branch import many as many_branches
from tests.unit.test_corrections import a_correction, a_live_event, begun, cases, many


@many_branches
@given(st.sampled_from(ALL_KINDS), st.integers(0, 10**6))
def test_high_water_times_of_a_branch_are_those_of_its_own_log(kind: str, seed: int) -> None:
    """Also of what it has not decided and depends on it, and of a branch of a branch."""
    chosen, here = begun(kind, seed)
    branch: Past = here.log
    for name in ("one-", "two-"):
        branch = what_if(branch, here.handlers, a_change(kind, chosen, branch, name), answers=answered).past
        assert times_of(TimedBranch(branch)) == times_of(MemoryPast(branch.events()))


def times_of(past: Past) -> dict[OrderKey, tuple[int | None, int | None]]:
    return {it.order: (it.high, it.latest) for it in past.events()}


def corrected_and_gone_on(kind: str, seed: int) -> tuple[random.Random, Corrected, list[int]]:
    """With one or two corrections; and when each was known (µs)."""
    chosen, here = begun(kind, seed)
    known = []
    for number in range(chosen.choice([1, 2])):
        here.correct(a_correction(kind, chosen, here.past, f"new-{number}"))
        end = here.log.end()
        assert end is not None
        known.append(end.recorded)
        here.there.now = max(here.there.now, from_micros(end.recorded)) + timedelta(seconds=1)
        here.finish()
        a_live_event(kind, chosen, here)
        here.there.settle()
    return chosen, here, known


def as_told(here: Corrected, known_from: list[int], cut: Cut) -> PastTables:
    """The oracle: all tables of `that_counts`."""
    return PastTables(that_counts(here, known_from, cut), here.handlers)


def that_counts(here: Corrected, known_from: list[int], cut: Cut) -> CutPast:
    """A plain past of the events that count, cut."""
    changes = [it for it, at in zip(here.changes, known_from, strict=True) if cut.known is None or at <= cut.known]
    log = CutPast(here.log, Cut(known=cut.known))
    events = CorrectedLog(log, changes).past(here.handlers).events() if changes else log.events()
    return CutPast(MemoryPast(events), Cut(cut.as_of))


@many
@given(*cases)
def test_a_past_that_was_corrected_is_told_as_of_a_time_with_what_was_known(kind: str, seed: int) -> None:
    """Rows, tables and projections of a file are those of a plain past of the events that count."""
    chosen, here, known_from = corrected_and_gone_on(kind, seed)
    moments = [it.high or 0 for it in here.log.events()]
    with tempfile.TemporaryDirectory() as folder, closing(stored(here.there, Path(folder))) as store:
        store.write(lambda db: put_high_water(db, END))
        past = StoredPast(store._db, here.there.codec)
        so_far = CorrectedLog(past, here.changes, known_from)
        for _ in range(4):
            cut = Cut(chosen.choice(moments), chosen.choice([*known_from, *(at - 1 for at in known_from), 2**61]))
            assert cut.known is not None
            counted = so_far.known_at(cut.known).timed(here.handlers)
            rows = StoredRows(past, cut, here.handlers, None, counted)
            with PastStore(here.there.app, here.there.codec, rows) as told:
                assert_same_tables(told, as_told(here, known_from, cut), here)
                assert_same_held_back(told, that_counts(here, known_from, cut), here)


@many
@given(st.integers(0, 10**6))
def test_what_was_known_alone_has_rows_as_they_were_and_projections_of_the_past_that_counts(seed: int) -> None:
    """A row is what a correction's steps had set by then; a projection is folded from the events that count, as a server does."""
    chosen, here, known_from = corrected_and_gone_on("shop", seed)
    with tempfile.TemporaryDirectory() as folder, closing(stored(here.there, Path(folder))) as store:
        store.write(lambda db: put_high_water(db, END))
        past = StoredPast(store._db, here.there.codec)
        cut = Cut(None, chosen.choice([it.order.recorded for it in here.log.events()]))
        assert cut.known is not None
        counted = CorrectedLog(past, here.changes, known_from).known_at(cut.known).timed(here.handlers)
        logged, wanted = PastTables(CutPast(here.log, cut), here.handlers), as_told(here, known_from, cut)
        with PastStore(here.there.app, here.there.codec, StoredRows(past, cut, here.handlers, None, counted)) as told:
            for space in here.there.app.namespaces:
                assert dict(told.whole(space.name).items()) == logged.table(space.name).told
            for projection in here.there.app.projections:
                assert dict(told.table(projection.name).items()) == wanted.projections[projection.name]


def assert_same_tables(told: PastStore, wanted: PastTables, here: Corrected) -> None:
    for space in here.there.app.namespaces:
        table = wanted.table(space.name)
        assert dict(told.table(space.name).items()) == table.told
        assert dict(told.whole(space.name).items()) == table.told
        for key in {it.key for it in here.past.events() if it.namespace == space.name}:
            assert told.entry(space.name, key)[0] == table.entry(key)[0]
    for projection in here.there.app.projections:
        assert dict(told.table(projection.name).items()) == wanted.projections[projection.name]


def assert_same_held_back(told: PastStore, wanted: CutPast, here: Corrected) -> None:
    """Of a table, a row, a projection and of several together: the first of them, and how many there are."""
    held = sorted(filter(wanted.is_held_back, wanted.whole.events()), key=lambda it: (it.event.time, it.order))
    assert told_of(told.held_back(AskedTables().table("nothing"))) is None
    spaces = [it.name for it in here.there.app.namespaces]
    for name in spaces:
        assert told_of(told.held_back(AskedTables().table(name))) == first_of([it for it in held if it.namespace == name])
    for place in sorted({it.place for it in wanted.whole.events()}):
        assert told_of(told.held_back(AskedTables().row(*place))) == first_of([it for it in held if it.place == place])
    for projection in here.there.app.projections:
        folded = [it for it in held if it.accepted and type(it.event.data) in projection.folds_by]
        assert told_of(told.held_back(AskedTables().table(projection.name))) == first_of(folded)
        both = first_of([it for it in held if it in folded or it.namespace == spaces[0]])
        assert told_of(told.held_back(AskedTables().table(projection.name).table(spaces[0]))) == both


def told_of(found: HeldBack | None) -> tuple[str, int, int, int] | None:
    return None if found is None else (found.event_type, found.time, found.counts_from, found.events)


def first_of(held: list[RecordedEvent]) -> tuple[str, int, int, int] | None:
    if not held:
        return None
    return held[0].event_type, to_micros(held[0].event.time), held[0].high or 0, len(held)


def test_what_was_known_is_told_without_what_was_corrected_later() -> None:
    """In a test: a transfer of 80 should have been one of 8, which ann has said an hour later."""
    world = a_world(bank.app(), AccountOpen(account="a", balance=100), AccountOpen(account="b", balance=0))
    world.advance(timedelta(minutes=1))
    world.when(TransferStart(transfer="t", source="a", target="b", amount=80), id="t")
    world.settle()
    then = world.now + timedelta(seconds=1)
    world.advance(timedelta(hours=1))
    right = TransferStart(transfer="t", source="a", target="b", amount=8)
    world.apply(world.history().correct(replace={"t": right}, by="ann", why="a zero too much"))
    past, later = world.history(), world.now
    for at in (then, later):
        assert past.as_of(at, known=later).table(bank.account)["a"] == AccountRow(balance=92)
        assert past.as_of(at).table(bank.account)["a"] == AccountRow(balance=92)
        assert past.as_of(at, known=then).table(bank.account)["a"] == AccountRow(balance=20)
    assert past.as_of(then - timedelta(seconds=2)).table(bank.account)["a"] == AccountRow(balance=100)


def test_an_exported_past_has_its_corrections(tmp_path: Path) -> None:
    """As of a time, what if and all else is told of the history that counts, by `History` too."""
    chosen, here, known_from = corrected_and_gone_on("bank", 7)
    history = History.open(here.there.app, exported(here.there, tmp_path, kept(here, known_from)))
    with history:
        assert [it.order for it in history.events()] == [it.order for it in here.past.events()]
        assert dict(history.table(bank.account).items()) == as_told(here, known_from, Cut()).table("account").told
        for known in (known_from[0] - 1, known_from[0]):
            at = from_micros(chosen.choice([it.high or 0 for it in here.log.events()]))
            wanted = as_told(here, known_from, Cut(to_micros(at), known)).table("account").told
            assert dict(history.as_of(at, known=from_micros(known)).table(bank.account).items()) == wanted
        root = chosen.choice([it for it in history.events() if it.kind == ROOT and it.has_position])
        assert history.what_if(remove=[root.name]).difference().untold == []


def kept(here: Corrected, known_from: list[int]) -> list[KnownCorrection]:
    return [
        KnownCorrection(f"c{number + 1}", "ann", "a test", at, stored_change(here.handlers.codec, it), True)
        for number, (it, at) in enumerate(zip(here.changes, known_from, strict=True))
    ]


def test_where_an_event_is_gone_that_was_corrected_the_log_is_told_from_the_last_step_on(tmp_path: Path) -> None:
    """Before that it is refused, and no other row is told instead. A branch goes by the log."""
    _, here, known_from = corrected_and_gone_on("bank", 7)
    corrections = kept(here, known_from)
    [named, *_] = [*here.changes[0].remove, *here.changes[0].replace, *here.changes[0].places]
    gone = here.log.find_all(named.partition("@")[0]) or [it for it in here.log.events() if it.kind == ROOT]
    with closing(stored(here.there, tmp_path)) as store:
        store.write(lambda db: put_high_water(db, END))
        writer = store.writer()
        for it in gone:
            writer.erase_record(*it.order[1:4], it.key)
        writer.commit()
        past = StoredPast(store._db, here.there.codec)
        last = max(it.high or 0 for it in here.log.steps())
        for as_of in (last, None):
            assert counted_at(past, Cut(as_of, END), here.handlers, corrections, here.there.codec) is None
        with pytest.raises(HistoryError, match=r"cannot be told with the corrections that were known: .* Ask for .* or later"):
            counted_at(past, Cut(min(known_from) - 1, END), here.handlers, corrections, here.there.codec)
        assert counted_at(past, Cut(1, min(known_from) - 1), here.handlers, corrections, here.there.codec) is None
        begun = [replace(it, applied=False) for it in corrections]
        with pytest.raises(HistoryError, match="cannot be told with the corrections that were known"):  # rows may not be set yet
            counted_at(past, Cut(last, END), here.handlers, begun, here.there.codec)
        known = here.log.steps()[-1].order.recorded - 1
        with pytest.raises(HistoryError, match="cannot be told with the corrections that were known"):  # nor were they by then
            counted_at(past, Cut(last, known), here.handlers, corrections, here.there.codec)
        assert counted(past, here.handlers, corrections, here.there.codec) is past
        so_far = CorrectedLog.of(past, corrections, here.there.codec)
        assert [*so_far.cut(Cut(last, END), here.handlers).steps()] == [*past.steps()]
        with pytest.raises(HistoryError, match="or later, as known once they had set the rows"):
            so_far.cut(Cut(1, END), here.handlers)


def test_a_correction_was_not_known_before_what_it_was_planned_on() -> None:
    """Whatever the clock said of who applied it: else it would name events that are not in the past as of then."""
    end = OrderKey(9, "account", 0, 3)
    assert [KnownCorrection("c", "ann", "", at, StoredChange(end=end)).known_from for at in (7, 9, 11)] == [9, 9, 11]
    assert KnownCorrection("c", "ann", "", 7, StoredChange()).known_from == 7
