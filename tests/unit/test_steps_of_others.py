"""Rows that a correction has set as code of an earlier generation are told as the code here makes them."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from streams import App
from streams.cli import run_command
from streams.cli.process import exit_codes
from streams.data import EventData, namespace_of
from streams.errors import CodeChanged
from streams.history.branch.change import Change
from streams.history.code.application_handlers import ApplicationHandlers
from streams.history.correction.corrected_log import CorrectedLog, KnownCorrection
from streams.history.correction.steps_of_others import telling_all
from streams.history.cut_past import Cut
from streams.history.past_tables import PastTable
from streams.history.recorded_event import STEP, RecordedEvent
from streams.history.stored.past_file import HistoryFile
from streams.history.stored.stored_corrections import counted_at, kept_corrections
from streams.history.stored.stored_past import StoredPast, learn_schemas
from streams.history.stored.stored_rows import StoredRows
from streams.history.story.story import Storyteller
from streams.history.story.waiting import NothingWaits
from streams.history.untold_rows import UntoldRows
from streams.history.when.predicate import Predicate
from streams.history.when.when import Turns
from streams.server.readmodel.past_store import PastStore
from tests.applications import bank, permits, shop, strict, timed
from tests.applications.bank.events import AccountOpen, AccountRow, TransferStart
from tests.applications.permits.events import PermitReceive
from tests.applications.shop.events import OrderPlace
from tests.applications.timed.events import AlarmTouch
from tests.support.corrections import Corrected
from tests.support.other_code import refusing, row_with, with_change
from tests.support.partitions import Partitions
from tests.support.pasts import START
from tests.support.stored_pasts import END, exported
from tests.unit.test_corrections import a_correction, begun, unless_it_is_refused

CASES = int(os.environ.get("CORRECTION_CASES", "15"))
many = settings(max_examples=CASES, deadline=None, suppress_health_check=list(HealthCheck))
ONE = timedelta(minutes=1)
A = "account", "a"
NEWER: dict[str, tuple[Callable[[], App], type[EventData], Callable[[Any], Any]]] = {
    "bank": (bank.app, AccountOpen, row_with()),
    "shop": (shop.app, OrderPlace, row_with(customer=lambda it: f"{it}!")),
    "permits": (permits.app, PermitReceive, row_with(channel=lambda it: f"{it}!")),
    "timed": (timed.app, AlarmTouch, row_with(trace=lambda it: f"{it}!")),
    "waiting": (timed.app, AlarmTouch, row_with(trace=lambda it: f"{it}!")),
}
"""By kind, which handler leaves another row; nothing is decided on that."""


def next_generation(app: App, event: type[EventData], change: Callable[[Any], Any]) -> App:
    """With one handler changed, and rows of generation 2 in its namespace."""
    app = with_change(app, event, change)
    next(it for it in app.namespaces if it.name == namespace_of(event.event_type)).generation = 2
    return app


def a_bank(*amounts: int) -> Corrected:
    """One transfer of 80, corrected to each of these amounts by the code before; an account opens with one more by the new one."""
    there = Partitions(bank.app(), 1, now=START)
    for name in "ab":
        there.publish(AccountOpen(account=name, balance=100), f"open-{name}", there.now)
    there.settle()
    start = TransferStart(transfer="t", source="a", target="b", amount=80)
    there.now += ONE
    there.publish(start, "start", there.now)
    there.settle()
    here = Corrected(there)
    name = next(it for it in here.log.events() if it.event.id == "start").exact_name
    for amount in amounts:
        here.correct(Change(replace={name: replace(start, amount=amount)}))
        here.finish()
    app = next_generation(bank.app(), AccountOpen, row_with(balance=lambda it: it + 1))
    here.handlers = ApplicationHandlers(app, there.codec)
    return here


def known(here: Corrected) -> CorrectedLog:
    corrections = [KnownCorrection(f"c{number}", "ann", "a test", 0, it) for number, it in enumerate(here.stored, 1)]
    return CorrectedLog.of(here.log, corrections, here.handlers.codec)


def telling(here: Corrected) -> ApplicationHandlers:
    return telling_all(lambda: known(here), here.handlers)


def test_a_story_tells_the_row_that_each_step_stands_for() -> None:
    """As the code here makes it of the past with the corrections that there were by then, and goes on from there."""
    here = a_bank(8, 20)
    here.there.publish(AccountOpen(account="c", balance=0), "open-c", here.there.now)
    here.there.settle()
    found = Storyteller(here.log, telling(here), NothingWaits()).of_key(A, 0, 20)
    assert found is not None
    assert (found.row, found.unknown) == (AccountRow(balance=81), None)
    rows = [it.after for it in found.steps]
    assert rows == [AccountRow(balance=101), AccountRow(balance=21), AccountRow(balance=93), AccountRow(balance=81)]
    assert [it.event.kind == STEP for it in found.steps] == [False, False, True, True]
    assert found.version == here.log.key_events(A)[-1].version


def test_what_a_correction_makes_of_the_log_is_decided_once() -> None:
    """For the rows of both accounts, whichever of its steps is asked for; each correction is one decision of the past."""
    here, made = a_bank(8, 20), list[str]()

    class Counted(CorrectedLog):
        def first(self, count: int) -> CorrectedLog:
            made.append(self.corrections[count - 1].correction)
            return super().first(count)

    handlers = telling_all(lambda: Counted(*known(here)), here.handlers)
    rows = {key: handlers.fold_all(here.log.key_events(("account", key)))[0] for key in "ab"}
    assert rows == {"a": AccountRow(balance=81), "b": AccountRow(balance=121)}
    assert made == ["c1", "c2"]


def test_a_step_of_a_namespace_that_this_code_does_not_have_keeps_no_row_from_being_told() -> None:
    """A correction may have set rows of several namespaces, of which one was taken out of the application since."""
    here = a_bank(8)
    assert {it.namespace for it in here.log.steps()} == {"account", "transfer"}
    app = dataclasses.replace(here.handlers.app, namespaces=[it for it in here.handlers.app.namespaces if it.name == "account"])
    here.handlers = ApplicationHandlers(app, here.there.codec)
    assert telling(here).fold_all(here.log.key_events(A))[0] is not None


def test_the_rows_of_a_file_are_told_one_by_one_and_whole(tmp_path: Path) -> None:
    """As `retold get` and a server tell what was known at a time, and a view that reads the whole table."""
    here = a_bank(8, 20)
    with closing(HistoryFile(exported(here.there, tmp_path, known(here).corrections), END).connect()) as db:
        learn_schemas(db, here.handlers.codec)
        past = StoredPast(db, here.handlers.codec)
        handlers = telling_all(lambda: CorrectedLog.of(past, kept_corrections(db), here.handlers.codec), here.handlers)
        with PastStore(here.handlers.app, here.there.codec, StoredRows(past, Cut(known=END), handlers)) as store:
            assert store.entry("account", "a")[0] == AccountRow(balance=81)
            assert {key: row.balance for key, row in store.whole("account").items()} == {"a": 81, "b": 121}


def test_a_row_is_told_from_a_step_on_whatever_was_before(tmp_path: Path) -> None:
    """The code here refuses what a correction has made otherwise: of one row, of all, and of those of a file."""
    here = a_bank(8)
    here.handlers = ApplicationHandlers(strict.app(), here.there.codec)
    before = here.log.key_events(A)[:2]
    with pytest.raises(CodeChanged, match="now rejects it"):
        here.handlers.fold_all(before)
    table = PastTable(here.log, telling(here), "account")
    assert table.entry("a")[0] == AccountRow(balance=92)
    assert {key: row.balance for key, row in table.items()} == {"a": 92, "b": 108}
    with closing(HistoryFile(exported(here.there, tmp_path, known(here).corrections), END).connect()) as db:
        learn_schemas(db, here.handlers.codec)
        rows = StoredRows(StoredPast(db, here.handlers.codec), Cut(known=END), telling(here))
        assert rows.entry(A)[0] == AccountRow(balance=92)


def test_as_of_a_time_behind_all_steps_rows_are_as_these_have_set_them(tmp_path: Path) -> None:
    """Where the code here refuses an event that counts: from then on it is as known, and before that the row is not told."""
    here = a_bank(8)
    app = with_change(bank.app(), AccountOpen, refusing({"a"}))
    handlers, codec = ApplicationHandlers(app, here.there.codec), here.there.codec
    corrections = [msgspec.structs.replace(it, applied=True) for it in known(here).corrections]
    last = max(it.order.recorded for it in here.log.steps())
    with closing(HistoryFile(exported(here.there, tmp_path, corrections), END).connect()) as db:
        learn_schemas(db, codec)
        past = StoredPast(db, codec)

        def rows(as_of: int | None, applied: bool = True) -> StoredRows:
            cut, kept = Cut(as_of, END), [msgspec.structs.replace(it, applied=applied) for it in kept_corrections(db)]
            return StoredRows(past, cut, handlers, None, counted_at(past, cut, handlers, kept, codec))

        for place in {it.place for it in here.log.events()}:
            assert rows(END).entry(place) == rows(last).entry(place) == rows(None).entry(place)
        assert rows(END).entry(A)[0] == AccountRow(balance=92)
        for before in (rows(last - 1), rows(END, applied=False)):
            with pytest.raises(CodeChanged, match=r"account\.open was accepted"):
                before.entry(A)


def test_a_story_goes_on_behind_a_step_where_its_row_could_not_be_told_before() -> None:
    """What the step itself has changed is not known; the row that it has set is."""
    here = a_bank(8)
    here.handlers = ApplicationHandlers(strict.app(), here.there.codec)
    found = Storyteller(here.log, telling(here), NothingWaits()).of_key(A, 0, 20)
    assert found is not None
    assert (found.row, found.unknown) == (AccountRow(balance=92), None)
    assert [it.unknown is None for it in found.steps] == [True, False, False]


def test_when_something_began_to_hold_is_told_too() -> None:
    """With the step at which it did."""
    here = a_bank(8)
    turns = Turns(Predicate("balance > 50", AccountRow), telling(here)).take(here.log.key_events(A))
    assert [(it.holds, it.event.kind == STEP) for it in turns] == [(True, False), (False, False), (True, True)]


def test_when_goes_on_behind_a_step_where_its_row_could_not_be_told_before() -> None:
    """Of one row and of all. From the event that the code refuses to the step it is said to be unknown."""
    here = a_bank(8)
    here.handlers = ApplicationHandlers(strict.app(), here.there.codec)
    opened, debit, step = here.log.key_events(A)
    for events in (here.log.key_events(A), list(here.log.namespace_events("account"))):
        untold = UntoldRows(here.log, "account")
        turns = Turns(Predicate("balance > 95", AccountRow), telling(here), untold)
        found = [(it.event, it.holds, it.after) for it in turns.take(events) if it.event.key == "a"]
        assert found == [(opened, True, AccountRow(balance=100)), (step, False, AccountRow(balance=92))]
        assert not untold
        assert turns.keys == len({it.key for it in events})
        assert "a" not in turns.holding
        [gap] = turns.gaps
        assert (gap.since, gap.until) == (debit, step)
        assert "now rejects it" in gap.why
    holding = Turns(Predicate("balance > 50", AccountRow), telling(here))
    assert [it.holds for it in holding.take(here.log.key_events(A))] == [True]
    assert holding.holding == ["a"]


def test_when_ends_where_no_step_sets_the_row() -> None:
    """It is left out, or refused by who leaves out none; what was found before is told."""
    here = a_bank(8)
    here.handlers = ApplicationHandlers(strict.app(), here.there.codec)
    opened, debit, _ = here.log.key_events(A)
    untold = UntoldRows(here.log, "account")
    turns = Turns(Predicate("balance > 95", AccountRow), telling(here), untold)
    assert [it.event for it in turns.take([opened, debit])] == [opened]
    assert (list(untold), turns.keys, turns.holding, turns.gaps, turns.looked_at) == (["a"], 0, [], [], 2)
    with pytest.raises(CodeChanged, match="now rejects it"):
        list(Turns(Predicate("balance > 95", AccountRow), telling(here)).take([opened, debit]))


def test_the_command_says_from_where_to_where_it_is_not_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """For people and for programs; the row is told at its end, so the exit code says whether it ever held."""
    here = a_bank(8)
    monkeypatch.setenv("RETOLD_STATE", str(tmp_path))
    file = str(exported(here.there, tmp_path, known(here).corrections))
    monkeypatch.setenv("RETOLD_APP", "tests.applications.strict:app")
    _, debit, step = here.log.key_events(A)
    for words in (("a", "balance > 95"), ("balance > 95", "--table")):
        assert run_command(["when", "account", *words, "--history", file]) == exit_codes.OK
        said = capsys.readouterr()
        assert f"From {debit.name} until {step.name}, a correction's step, it is not known: the row 'a' of account" in said.err
        assert "Left out" not in said.err
        assert run_command(["when", "account", *words, "--history", file, "--json"]) == exit_codes.OK
        lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        [gap] = [it for it in lines if "unknown" in it]
        assert (gap["key"], gap["since"], gap["until"]) == ("a", debit.name, step.name)
        assert step.name in [it["position"] for it in lines if "position" in it]


def test_without_its_correction_a_row_is_not_told_and_a_sentence_says_why() -> None:
    """As in a file that does not have it; nor by who does not ask what the corrections make of it."""
    here = a_bank(8)
    first = step_of(here, "account")
    nothing = telling_all(lambda: CorrectedLog(here.log), here.handlers)
    with pytest.raises(CodeChanged, match=f"{first.name} is a step of the correction c1, which is not known here"):
        nothing.fold((None, 0), first)
    with pytest.raises(CodeChanged, match="as code of generation 1 makes it, and the code here is of generation 2"):
        here.handlers.fold((None, 0), first)


def step_of(here: Corrected, namespace: str) -> RecordedEvent:
    return next(it for it in here.log.steps() if it.namespace == namespace)


def is_what_counts(kind: str, seed: int) -> None:
    chosen, here = begun(kind, seed)
    for name in ("first", "second")[: chosen.choice([1, 2])]:
        here.correct(a_correction(kind, chosen, here.past, name))
        here.go_on(chosen)
        here.finish()
    app, event, change = NEWER[kind]
    here.handlers = ApplicationHandlers(next_generation(app(), event, change), here.there.codec)
    log, handlers, counts = here.log, telling(here), here.past
    for place in {it.place for it in log.events()}:
        told = handlers.fold_all(log.key_events(place))[0]
        assert told == here.handlers.fold_all([it for it in counts.key_events(place) if it.kind != STEP])[0]


@many
@given(st.sampled_from([*NEWER]), st.integers(0, 10**6))
def test_rows_are_told_as_the_history_that_counts_has_them(kind: str, seed: int) -> None:
    """From the log, whichever rows corrections have set by code of another generation."""
    unless_it_is_refused(is_what_counts, kind, seed)
