"""Rows that are kept of a key's past: with them, a row as of a time is the same, and few events are read for it."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streams import code_digest
from streams.code_digest import code_of
from streams.engine.records import Entry
from streams.errors import HistoryError
from streams.history.code.application_handlers import ApplicationHandlers
from streams.history.cut_past import Cut, CutPast
from streams.history.past_tables import PastTables
from streams.history.stored.past_file import HistoryFile, connected
from streams.history.stored.stored_past import StoredPast
from streams.history.stored.stored_rows import StoredRows
from streams.server.readmodel.checkpoints import make_checkpoints
from streams.server.readmodel.history_export import export
from streams.server.readmodel.store import Store
from streams.server.readmodel.store_high_water import fill_high_water
from tests.applications import bank, strict
from tests.support.partitions import Partitions
from tests.support.pasts import KINDS, made, past_of
from tests.support.stored_pasts import forget_schemas, stored
from tests.unit.test_past_times import a_cut
from tests.unit.test_steps_of_others import a_bank as a_corrected_bank

some = settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
CODE = "this code"


@contextmanager
def kept(there: Partitions, every: int = 3, piece: int = 5) -> Iterator[Store]:
    """With a checkpoint noted every so many events."""
    with tempfile.TemporaryDirectory() as folder, closing(stored(there, Path(folder))) as store:
        while fill_high_water(store._db, 2**62, piece, every):
            pass
        yield store


def make(there: Partitions, store: Store, code: str = CODE, seconds: float = 60.0) -> None:
    make_checkpoints(store._db, there.app, there.codec, code, time.monotonic() + seconds)


def rows_of(there: Partitions, store: Store, cut: Cut, code: str | None = CODE) -> StoredRows:
    return StoredRows(StoredPast(store._db, there.codec), cut, ApplicationHandlers(there.app, there.codec), code)


def as_bytes(there: Partitions, entry: Entry) -> tuple[bytes | None, int]:
    row, version = entry
    return None if row is None else there.codec.encode_frozen(row)[1], version


@some
@given(st.sampled_from(KINDS), st.integers(0, 10**6), st.integers(1, 6))
def test_a_row_from_a_checkpoint_on_is_the_row_from_the_first_event_on(kind: str, seed: int, every: int) -> None:
    """Byte for byte, at any cut, for each key; also if they are made a few at a time."""
    chosen, there = made(kind, seed)
    past = past_of(there)
    handlers = ApplicationHandlers(there.app, there.codec)
    with kept(there, every, chosen.randint(1, 9)) as store:
        for _ in range(chosen.choice([1, 3])):
            make(there, store, seconds=chosen.choice([0.0005, 60.0]))
        make(there, store)
        places = {it.place for it in past.events()}
        for cut in (Cut(None, 2**61), *(a_cut(chosen, past) for _ in range(4))):
            told, rows = PastTables(CutPast(past, cut), handlers), rows_of(there, store, cut)
            for place in places:
                assert as_bytes(there, rows.entry(place)) == as_bytes(there, told.table(place[0]).entry(place[1]))
        count = store._db.execute("select count(*) from checkpoint where row is not null").fetchone()[0]
        assert count == sum(len(past.key_events(place)) // every for place in places)
        rows = rows_of(there, store, Cut(None, 2**61))
        for place in places:
            rows.entry(place)
        assert rows.read <= len(places) * (every - 1)


def busy_bank() -> Partitions:
    return made("bank", 7)[1]


def counts(store: Store) -> tuple[int, int]:
    """Checkpoints that are made, and those that are due."""
    found = store._db.execute("select count(row), sum(code is null) from checkpoint").fetchone()
    return found[0], found[1] or 0


def test_other_code_has_no_use_for_them() -> None:
    """It folds from the first event on, until it has made its own; then the former code does."""
    there = busy_bank()
    with kept(there) as store:
        make(there, store)
        [key] = store._db.execute("select key from checkpoint where ns = 'account' limit 1").fetchone()
        cut, place, whole = Cut(None, 2**61), ("account", key), len(past_of(there).key_events(("account", key)))

        def read(code: str) -> int:
            rows = rows_of(there, store, cut, code)
            rows.entry(place)
            return rows.read

        assert read(CODE) < whole
        assert read("other code") == whole
        make(there, store, "other code")
        assert (read("other code") < whole, read(CODE)) == (True, whole)


def test_an_erased_event_takes_the_checkpoints_behind_it_along() -> None:
    """They rest on it. Those before it stay, and a row as of then is told from them."""
    there = busy_bank()
    past = past_of(there)
    with kept(there, 1) as store:
        make(there, store)
        events = past.key_events(("account", "a0"))
        gone = events[2]
        writer = store.writer()
        writer.erase_record("account", gone.order.partition, gone.order.sequence, "a0")
        writer.commit()
        left = store._db.execute("select seq from checkpoint where ns = 'account' and key = 'a0' order by seq").fetchall()
        assert [seq for (seq,) in left] == [it.order.sequence for it in events[:2]]
        rows = rows_of(there, store, Cut(None, events[1].order.recorded))
        assert rows.entry(("account", "a0"))[1] == events[1].order.sequence
        assert rows.read <= 1
        store._db.execute("insert into checkpoint(ns, key, seq, recorded, high) values('account', 'a0', ?, 0, 0)", (2**40,))
        make(there, store)  # noted behind it, such as by a file that is read anew
        assert counts(store)[1] == 0
        assert store._db.execute("select max(seq) from checkpoint where key = 'a0'").fetchone()[0] == events[1].order.sequence
        with pytest.raises(HistoryError, match="was erased"):
            rows_of(there, store, Cut(None, 2**61)).entry(("account", "a0"))


def test_a_row_is_kept_again_from_a_step_on_that_sets_it() -> None:
    """The code refuses an event before that, of which it keeps none: nothing is folded for the row as it is now."""
    here, stricter = a_corrected_bank(8), strict.app()
    stricter.namespace("account").generation = 1
    place, codec = ("account", "a"), here.there.codec
    with kept(here.there, 1) as store:
        make_checkpoints(store._db, stricter, codec, CODE, time.monotonic() + 60)
        found = store._db.execute("select row is null from checkpoint where ns = ? and key = ? order by seq", place).fetchall()
        assert [is_null for (is_null,) in found] == [0, 1, 0]
        rows = StoredRows(StoredPast(store._db, codec), Cut(None, 2**61), ApplicationHandlers(stricter, codec), CODE)
        assert rows.entry(place)[0] == bank.AccountRow(balance=92)
        assert rows.read == 0


def test_what_this_code_cannot_tell_is_not_tried_for_ever() -> None:
    """A handler that now raises: its key has no checkpoint from there on, and other keys have theirs."""
    there = busy_bank()
    with kept(there) as store:
        debit = next(data for data in bank.account.handlers if data.event_type == "account.debit")
        with pytest.MonkeyPatch.context() as patch:
            patch.setitem(bank.account.handlers, debit, lambda _row, _event: 1 / 0)
            make(there, store)
            told, due = counts(store)
            assert due == 0
            assert told > 0
        make(there, store, "corrected")
        assert counts(store) == (store._db.execute("select count(*) from checkpoint").fetchone()[0], 0)
        assert counts(store)[0] > told


def test_they_are_made_later_where_a_schema_is_not_known_yet() -> None:
    """Nothing is given up."""
    there = busy_bank()
    with kept(there) as store:
        forget_schemas(there.codec)
        make(there, store)
        assert counts(store)[0] == 0
        assert counts(store)[1] > 0


def test_the_code_is_told_by_the_sources_of_the_handlers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of their packages: what they call may be anywhere there."""
    there = busy_bank()
    before = code_of(there.app, there.codec)
    assert code_of(there.app, there.codec) == before
    monkeypatch.setattr(code_digest, "digest_of_package", lambda package: f"changed {package}")
    assert code_of(there.app, there.codec) != before


def test_an_exported_past_has_them(tmp_path: Path) -> None:
    """As far as it goes."""
    there = busy_bank()
    until = sorted(it.order.recorded for it in past_of(there).events())[-5]
    with kept(there, 1) as store:
        make(there, store)
        export(HistoryFile(store.file, until), tmp_path / "bank.retold")
        with closing(connected(tmp_path / "bank.retold")) as db:
            [found] = db.execute("select count(*) from checkpoint where row is not null").fetchone()
            assert found == db.execute("select count(*) from record").fetchone()[0] > 0
