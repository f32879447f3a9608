"""The recorded past in a file: every question has the answer that the past in memory gives."""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import islice
from pathlib import Path
from unittest.mock import patch

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streams.codec import codec_of
from streams.engine.identity import short_fingerprints
from streams.engine.times import to_micros
from streams.errors import HistoryError
from streams.history.branch.branch import what_if
from streams.history.branch.change import Change
from streams.history.code.application_handlers import ApplicationHandlers
from streams.history.cut_past import Cut, CutPast
from streams.history.merged_pieces import merged
from streams.history.past import MemoryPast
from streams.history.past_tables import PastTables
from streams.history.recorded_event import RecordedEvent
from streams.history.stored import stored_scan
from streams.history.stored.kept_headers import NAMES, packed, picker, unpacked
from streams.history.stored.read_ahead import ReadAhead
from streams.history.stored.stored_events import EFFECTS, StoredRow
from streams.history.stored.stored_past import StoredPast, learn_schemas
from streams.history.stored.stored_waiting import StoredWaiting
from streams.history.story.story import Storyteller
from streams.history.story.waiting import NothingWaits
from streams.server.readmodel.store_high_water import fill_high_water
from tests.applications import bank
from tests.support.partitions import Partitions
from tests.support.pasts import ALL_KINDS, made, past_of
from tests.support.stored_pasts import forget_schemas, stored

some = settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))


@contextmanager
def both(there: Partitions, until: int | None = None) -> Iterator[tuple[MemoryPast, StoredPast]]:
    with tempfile.TemporaryDirectory() as folder, closing(stored(there, Path(folder))) as store:
        whole = past_of(there)
        while fill_high_water(store._db, 2**62, 7):
            pass
        kept = MemoryPast(it for it in whole.events() if until is None or it.order.recorded <= until)
        yield kept, StoredPast(store._db, there.codec, until)


@some
@given(st.sampled_from(ALL_KINDS), st.integers(0, 10**6), st.booleans())
def test_a_stored_past_answers_as_the_one_in_memory(kind: str, seed: int, cut: bool) -> None:
    """For every question, of every event; also up to a time in the midst, as if nothing had come after it."""
    chosen, there = made(kind, seed)
    orders = [it.order.recorded for it in past_of(there).events()]
    with both(there, chosen.choice(orders) if cut else None) as (memory, store):
        events = list(memory.events())
        assert list(store.events()) == events
        assert len(store) == len(memory)
        assert store.end() == memory.end()
        for it in events:
            assert it in store.find_all(it.reference) == list(memory.find_all(it.reference))
            assert store.find(it.reference) == memory.find(it.reference)
            assert list(store.effects(it.reference)) == list(memory.effects(it.reference))
            assert list(store.key_events(it.place)) == list(memory.key_events(it.place))
            assert store.first_root_after(to_micros(it.event.time)) == memory.first_root_after(to_micros(it.event.time))
            assert list(store.former(it.reference)) == list(memory.former(it.reference))
            assert store.former_answer(it.reference) == memory.former_answer(it.reference)
            assert store.at(*it.order[1:4]) == it
            assert it in store.with_id(it.event.id)
        assert (store.find("no such event"), [*store.effects("no")], store.with_id("no")) == (None, [], [])


@some
@given(st.sampled_from(ALL_KINDS), st.integers(0, 10**6), st.booleans(), st.sampled_from([1, 7, 1_024]))
def test_reading_ahead_gives_the_same_events_and_effects(kind: str, seed: int, cut: bool, most: int) -> None:
    """Whenever they are asked for: as their turn comes, later, or at the end; also if an effect is far, or behind a cut."""
    chosen, there = made(kind, seed)
    orders = [it.order.recorded for it in past_of(there).events()]
    with (
        both(there, chosen.choice(orders) if cut else None) as (memory, store),
        patch.object(stored_scan, "AHEAD", most), patch.object(stored_scan, "FARTHEST", most),
    ):  # fmt: skip
        ahead = ReadAhead(store)
        beside, events, rows = ahead.logged(), list[RecordedEvent](), list[StoredRow]()
        for it in ahead.events():
            events.append(it)
            if len(rows) < 2 * len(events):  # as the process with the other code is ahead of them
                rows += islice(beside, seed % 7)
            assert list(ahead.effects(it.reference)) == list(memory.effects(it.reference))
        assert events == list(memory.events())
        assert list(ahead.effects(events[0].reference)) == list(memory.effects(events[0].reference))
        assert list(store.events()) == events
        rows += beside
        assert [(*row[:EFFECTS], None, *row[EFFECTS + 1 :]) for row in rows] == list(store.logged())
        if not cut:
            assert [row[EFFECTS] for row in rows] == [len(memory.effects(it.reference)) for it in events]


@some
@given(st.sampled_from(ALL_KINDS), st.integers(0, 10**6))
def test_reading_ahead_gives_the_same_effects_where_records_are_gone(kind: str, seed: int) -> None:
    """An operator may have erased some of a partition, so that its sequences have gaps; also if few are read at once."""
    _, there = made(kind, seed)
    with (
        both(there) as (_, store), patch.object(stored_scan, "FIRST", seed % 5 + 1), patch.object(stored_scan, "MOST", 8),
        patch.object(stored_scan, "AHEAD", seed % 3 * 8 + 1), patch.object(stored_scan, "FARTHEST", seed % 3 * 8 + 1),
    ):  # fmt: skip
        store.db.execute("delete from record where (seq * 7 + ?) % 5 < 2", (seed,))
        ahead, count = ReadAhead(store), 0
        for it in ahead.events():
            count += 1
            assert list(ahead.effects(it.reference)) == list(store.effects(it.reference))
        assert count == len(store)


def looked_up_alone(there: Partitions, farthest: int) -> int:
    """Of how many events the effects were, if so many are read ahead at most."""
    with (
        both(there) as (memory, store), patch.object(stored_scan, "FIRST", 2), patch.object(stored_scan, "MOST", 2),
        patch.object(stored_scan, "AHEAD", 1), patch.object(stored_scan, "FARTHEST", farthest),
    ):  # fmt: skip
        alone, effects = list[str](), store.effects
        with patch.object(store, "effects", lambda reference: alone.append(reference) or effects(reference)):
            ahead = ReadAhead(store)
        found = [[*ahead.effects(it.reference)] for it in ahead.events()]
        assert found == [[*memory.effects(it.reference)] for it in memory.events()]
        return len(alone)


def test_more_is_read_ahead_where_effects_are_far() -> None:
    """So that those of few events are looked up alone."""
    _, there = made("bank", 12)
    assert 0 < 3 * looked_up_alone(there, 1_024) < looked_up_alone(there, 1)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(NAMES) | st.text(max_size=4), st.binary(max_size=300)), max_size=40))
def test_headers_that_are_kept_come_back(headers: list[tuple[str, bytes]]) -> None:
    """In order, with names that are common or not, or there twice; one that is picked is the last of its name."""
    kept = bytes(packed(headers))
    assert unpacked(kept) == headers
    found = dict(headers)
    wanted = [*NAMES[:3], *found, "none"]
    assert list(picker(*wanted)(kept)) == [found.get(name) for name in wanted]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.lists(st.integers(0, 99)), max_size=5), st.integers(1, 4))
def test_ordered_sources_are_merged_by_pieces(sources: list[list[int]], size: int) -> None:
    """However long each is, and wherever its pieces end."""
    ordered = [sorted(source) for source in sources]
    pieces = [iter([source[at : at + size] for at in range(0, len(source), size)]) for source in ordered]
    found = [it for piece in merged(pieces) for it in piece]
    assert found == sorted(it for source in sources for it in source)


def test_events_whose_references_share_their_bits_are_told_apart() -> None:
    """Only 64 bits of a reference are in an index: all of it is compared."""
    _, there = made("bank", 7)
    with both(there) as (memory, store):
        for it in memory.events():
            store._db.execute(
                "update record set idh = ?, causeh = iif(causeh is null, null, ?)", [short_fingerprints(it.reference)[0]] * 2
            )
            assert it in store.find_all(it.reference) == list(memory.find_all(it.reference))
            assert store.find(it.reference) == memory.find(it.reference)
            assert list(store.effects(it.reference)) == list(memory.effects(it.reference))


def test_each_question_has_an_index() -> None:
    """None reads all of a namespace or of a partition: in a large file that takes seconds. Only an id without its source does."""
    _, there = made("shop", 4)
    with both(there) as (memory, store):
        asked = set[str]()
        with closing(sqlite3.connect(store._db.execute("pragma database_list").fetchone()[2])) as db:
            db.set_trace_callback(asked.add)
            past, waiting = StoredPast(db, there.codec), StoredWaiting(db, there.codec)
            it = next(memory.events())
            for answer in (
                past.find(it.reference), past.effects(it.reference), past.key_events(it.place), past.at(*it.order[1:4]),
                past.at_offset(it.namespace, 0, 10**6), past.end(), list(past.events()), past.former_answer(it.reference),
                waiting.caused_by(it.reference), waiting.request(it), waiting.of_key(it.place, 9),
                waiting.set_aside_at("order", 0, 1),
            ):  # fmt: skip
                assert answer != "unasked"
            db.set_trace_callback(None)
            looked_up = [text for text in asked if "where" in text and "position" not in text]
            plans = {text: db.execute(f"explain query plan {text}").fetchall()[0][3] for text in looked_up}
    slow = ("(ns=?)", "(ns=? AND part=?)")
    assert len(plans) >= 10
    assert {text: plan for text, plan in plans.items() if plan.startswith("SCAN") or plan.endswith(slow)} == {}


def test_a_file_has_the_schemas_of_its_records() -> None:
    """A codec that never met them reads the past without Kafka."""
    _, there = made("bank", 3)
    with both(there) as (memory, store):
        bare = codec_of(bank.app())
        forget_schemas(bare)
        learn_schemas(store._db, bare)
        assert list(StoredPast(store._db, bare).events()) == list(memory.events())


def test_a_row_of_which_an_event_was_erased_is_not_told() -> None:
    """Without that event another row would be told. Before it, the row is as it was; other rows are told, and a story says so."""
    _, there = made("bank", 7)
    handlers = ApplicationHandlers(there.app, there.codec)
    with tempfile.TemporaryDirectory() as folder, closing(stored(there, Path(folder))) as store:
        fill_high_water(store._db, 2**62)
        past = StoredPast(store._db, there.codec)
        account, other = ("account", "a0"), ("account", "a1")
        events = past.key_events(account)
        assert len(events) > 2
        gone, rows = events[1], PastTables(past, handlers)
        before = CutPast(past, Cut(known=events[0].order.recorded))
        told = PastTables(before, handlers).table("account").entry("a0"), rows.table("account").entry("a1")
        writer = store.writer()
        writer.erase_record("account", gone.order.partition, gone.order.sequence, "a0")
        writer.commit()
        sentence = rf"the row 'a0' of account cannot be told: its event with the sequence {gone.order.sequence} was erased"
        for ask in (
            lambda: rows.table("account").entry("a0"),
            lambda: dict(rows.table("account")),
            lambda: what_if(past, handlers, Change(remove=frozenset([past.key_events(account)[0].reference]))),
        ):
            with pytest.raises(HistoryError, match=sentence):
                ask()
        assert (PastTables(before, handlers).table("account").entry("a0"), rows.table("account").entry("a1")) == told
        found = Storyteller(past, handlers, NothingWaits()).of_key(account, 0, 100)
        assert found is not None
        assert found.row is None
        assert "was erased" in str(found.unknown)
        assert found.steps[0].unknown is None
        assert past.first_erased(other) is None
