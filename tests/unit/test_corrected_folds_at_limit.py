"""Projections of a server that does not keep all events, once the past is corrected: right, or it is said why they are not.

The number of cases is CORRECTION_CASES (15 unless it is set).
"""

from __future__ import annotations

import random
import time
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
import pytest
from hypothesis import given

from streams import App, Event, Projection
from streams.codec import codec_of
from streams.data import EventData
from streams.engine.times import to_micros
from streams.history.branch.change import Change
from streams.history.recorded_event import ROOT, RecordedEvent
from streams.server.readmodel import corrected_folds
from streams.server.readmodel.checkpoints import make_checkpoints
from streams.server.readmodel.corrected_folds import TOO_OLD
from streams.server.readmodel.corrected_note import NOT_KNOWN, uncorrected
from streams.server.readmodel.left_out import leave_out, left_out_namespaces
from streams.server.readmodel.store_meta import meta_value
from tests.applications import bank
from tests.applications.bank.events import AccountOpen, TransferStart
from tests.applications.shop.events import OrdersPerDayRow
from tests.support.corrections import Corrected
from tests.support.followed import Followed, hash_of
from tests.support.partitions import Partitions
from tests.support.pasts import START, made
from tests.support.stored_pasts import END, put_high_water
from tests.unit.test_corrections import a_correction, a_live_event, cases, many


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LOOK_EVERY", "ASK_EVERY", "SHARE"):
        monkeypatch.setattr(corrected_folds, name, 0)


def by_namespace(app: App) -> list[Projection[Any]]:
    """One of each namespace, whose rows feel the order of the events of a key; and one of each type."""
    found = list[Projection[Any]]()
    for name in [*(space.name for space in app.namespaces), *app.event_types()]:
        made = Projection(f"of_{name.replace('.', '_')}", row=OrdersPerDayRow)

        def fold(row: OrdersPerDayRow | None, event: Event[EventData]) -> OrdersPerDayRow:
            return OrdersPerDayRow(count=hash_of(0 if row is None else row.count, event))

        for event_type, data in app.event_types().items():
            if name in (event_type, event_type.partition(".")[0]):
                made.folds(data, key=lambda event: event.key)(fold)
        found.append(made)
    return found


def with_projections(there: Partitions) -> Corrected:
    there.app = replace(there.app, projections=by_namespace(there.app))
    there.codec = codec_of(there.app)
    return Corrected(there)


def leave_out_until(server: Followed, there: Partitions, before: int, but: str = "") -> None:
    """Of all namespaces `but` one, whose rows are not made yet."""
    store, soon = server.store, time.monotonic() + 60
    store.write(lambda db: put_high_water(db, END))

    def make_rows() -> None:
        make_checkpoints(store._db, there.app, there.codec, "code", soon)
        store._db.execute("delete from checkpoint where ns = ?", (but,))

    leave_out(store._db, before, make_rows, soon)


def assert_right_or_said(server: Followed) -> None:
    right, told, said = server.counted(), server.rows(), uncorrected(server.store._db)
    assert {name for name in told if told[name] != right[name]} <= said.keys()


@many
@given(*cases)
def test_a_projection_is_right_or_it_is_said_that_it_is_not(kind: str, seed: int) -> None:
    """Whatever is left out before the correction, or after it, while events go on."""
    chosen, there = made(kind, seed)
    here = with_projections(there)
    with TemporaryDirectory() as folder:
        server = Followed(here, Path(folder))
        server.take()
        leave_out_until(server, there, chosen.choice([*here.log.events()]).order.recorded)
        here.correct(a_correction(kind, chosen, here.past, "new"))
        here.finish()
        server.take()
        server.applied = True
        server.settle()
        assert_right_or_said(server)
        for _ in range(3):
            a_live_event(kind, chosen, here)
            here.there.now += timedelta(minutes=chosen.choice([0, 30]))
            here.finish()
            server.take()
            leave_out_until(server, there, chosen.choice([*here.log.events()]).order.recorded)
            server.settle()
            assert_right_or_said(server)
        server.close()


def a_root(here: Corrected, chosen: random.Random) -> RecordedEvent:
    return chosen.choice([it for it in here.log.events() if it.kind == ROOT])


def test_only_what_a_correction_has_changed_is_said_not_to_be_right(tmp_path: Path) -> None:
    """And only where not all events are kept that it folds; the others are folded again, or need not be."""
    there = Partitions(bank.app(), 2, now=START, seed=1, most=6)
    here = with_projections(there)
    for number, names in enumerate(("ab", "cd")):
        there.now += timedelta(days=number)
        for name in names:
            there.publish(AccountOpen(account=name, balance=100), f"open-{name}", there.now)
        there.settle()
    for number in range(3):
        data = TransferStart(transfer=f"t{number}", source="c", target="d", amount=9)
        there.publish(data, f"start-{number}", there.now)
        there.settle()
    server = Followed(here, tmp_path)
    server.take()
    leave_out_until(server, there, to_micros(START + timedelta(hours=12)))
    assert left_out_namespaces(server.store._db) == {"account"}
    [wrong] = [it for it in here.log.events() if it.event.id == "start-1"]
    here.correct(Change(remove=frozenset([wrong.exact_name])))
    here.finish()
    server.take()
    server.applied = True
    server.settle()
    said, right, told = uncorrected(server.store._db), server.counted(), server.rows()
    assert said == {name: TOO_OLD for name in told if told[name] != right[name]}
    assert said.keys() == {"of_account", "of_account_debit", "of_account_credit"}
    assert len(right["of_transfer_start"]) == 2
    server.close()


def test_an_event_that_is_kept_longer_than_what_it_led_to_says_nothing_of_that(tmp_path: Path) -> None:
    """Its effects would be taken for such as there never were, and what folds them for right."""
    _, there = made("bank", 5)
    here = with_projections(there)
    server = Followed(here, tmp_path)
    server.take()
    leave_out_until(server, there, END, but="transfer")
    assert left_out_namespaces(server.store._db) == {"account"}
    root = next(it for it in here.log.events() if it.event_type == "transfer.start" and it.accepted)
    here.correct(Change(remove=frozenset([root.exact_name])))
    server.applied = True
    server.settle()
    said = uncorrected(server.store._db)
    assert said.keys() == server.rows().keys()
    assert "corrections change what followed from earlier ones" in said["of_account"]
    assert_right_or_said(server)
    server.close()


def test_what_was_right_stays_so_when_corrected_events_are_too_old(tmp_path: Path) -> None:
    """What counts cannot be computed any more then, and need not be: the logs have it from there on."""
    chosen, there = made("bank", 5)
    here = with_projections(there)
    server = Followed(here, tmp_path)
    server.take()
    here.correct(Change(remove=frozenset([a_root(here, chosen).exact_name])))
    here.finish()
    server.take()
    server.applied = True
    server.settle()
    assert uncorrected(server.store._db) == {}
    leave_out_until(server, there, END)
    for _ in range(3):
        a_live_event("bank", chosen, here)
        here.there.settle()
        server.take()
        server.settle()
        assert uncorrected(server.store._db) == {}
        assert server.rows() == server.counted()
    server.close()


def settled_and_too_old(here: Corrected, folder: Path) -> Followed:
    """A server that was right with the last transfer taken out, of whose accounts no event is kept by now; its own are."""
    server = Followed(here, folder)
    server.take()
    [*_, root] = (it for it in here.log.events() if it.event_type == "transfer.start" and it.accepted)
    here.correct(Change(remove=frozenset([root.exact_name])))
    here.finish()
    server.take()
    server.applied = True
    server.settle()
    leave_out_until(server, here.there, END, but="transfer")
    server.settle()
    assert uncorrected(server.store._db) == {}
    return server


def test_what_is_folded_again_as_the_logs_have_it_is_said_not_to_be_right(tmp_path: Path) -> None:
    """Its code has changed, and a new process cannot tell any more what corrections have made of its events."""
    _, there = made("bank", 5)
    server = settled_and_too_old(with_projections(there), tmp_path)
    sources = msgspec.json.decode(meta_value(server.store._db, "sources"), type=dict[str, str])
    changed = {name for name in sources if name.startswith("of_transfer")}
    server.store._set(sources=msgspec.json.encode({**sources, **dict.fromkeys(changed, "of other code")}))
    for _ in range(2):
        server.restart()
        server.settle()
        right, told = server.counted(), server.rows()
        wrong = {name for name in told if told[name] != right[name]}
        assert set() < wrong < changed
        assert uncorrected(server.store._db) == dict.fromkeys(wrong, NOT_KNOWN)
    server.close()


def test_one_that_is_being_applied_is_not_taken_for_right_after_one_that_was_withdrawn(tmp_path: Path) -> None:
    """That one has left nothing to be told, and this one cannot be told."""
    _, there = made("bank", 5)
    here = with_projections(there)
    server = Followed(here, tmp_path)
    server.take()
    root = next(it for it in here.log.events() if it.event_type == "transfer.start" and it.accepted)
    change = Change(remove=frozenset([root.exact_name]))
    here.correct(change)
    server.settle()
    assert uncorrected(server.store._db).keys() == server.rows().keys()
    here.changes.clear()
    here.stored.clear()
    server.settle()
    assert uncorrected(server.store._db) == {}
    leave_out_until(server, there, END, but="transfer")
    here.correct(change)
    server.settle()
    assert uncorrected(server.store._db).keys() == server.rows().keys()
    assert_right_or_said(server)
    server.close()
