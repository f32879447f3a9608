"""The quick way of a replay says only what the careful one does, of whatever a file may hold."""

from __future__ import annotations

import random
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streams import Event, Namespace, Outcome
from streams.app import App
from streams.engine.attributes import time_text
from streams.errors import HistoryError
from streams.event import reference_of
from streams.history.branch.branch import replay_difference
from streams.history.branch.branch_unchanged import UnchangedEvents
from streams.history.code.application_handlers import ApplicationHandlers
from streams.history.difference.difference import Difference
from streams.history.recorded_event import VERSION
from streams.history.stored import stored_scan
from streams.history.stored.kept_headers import packed, unpacked
from streams.history.stored.read_ahead import ReadAhead
from streams.history.stored.stored_past import StoredPast
from streams.server.readmodel.erased_times import ERASE
from streams.testing.world_io import headers_of
from tests.applications import timed
from tests.applications.timed.events import AlarmRing, AlarmTouch, BellRing
from tests.support import other_code
from tests.support.other_code import Change, emitting, with_change
from tests.support.partitions import Partitions
from tests.support.pasts import START, made
from tests.support.stored_pasts import stored
from tests.unit.test_replay import APPS, later, linked, more

CHANGES: list[Change] = [
    other_code.silent, other_code.stays, other_code.twice, other_code.broken, other_code.strict, other_code.otherwise_said,
    other_code.lenient, other_code.reordered, *(emitting(more(field)) for field in ("amount", "price", "number")), emitting(later),
]  # fmt: skip

OTHERWISE = [
    ("kind", "emitted"), ("kind", "timer"), ("kind", "answer"), ("ordinal", 1), ("ce_time", b"2026-01-01T00:00:00.5+00:00"),
    ("ce_causationsource", b"another"), ("reason", "none"), ("accepted", 0),
]  # fmt: skip
"""Columns and headers, and what they may be."""
SEVERAL = "several sources"


def replayed(there: Partitions, file: Any, before: App, after: App, skip: int = 0, *, ahead: bool = True) -> Difference:
    now, past = ApplicationHandlers(after, there.codec), StoredPast(file, there.codec)
    read = ReadAhead(past) if ahead else past
    with linked(there, before, now, rows=read.logged()) as link:
        return replay_difference(read, link, now, skip=skip)


def told_or_raised(tell: Callable[[], Difference]) -> Difference | str:
    try:
        return tell()
    except HistoryError as error:
        return str(error)


def all_ways(there: Partitions, file: Any, before: App, after: App, skip: int = 0) -> Difference | str:
    """The difference, which is the same if every event goes the careful way, and each one's effects are looked up in the file."""
    found = told_or_raised(lambda: replayed(there, file, before, after, skip))
    with patch.object(UnchangedEvents, "take", lambda *_: False):
        for ahead in (True, False):
            assert told_or_raised(lambda ahead=ahead: replayed(there, file, before, after, skip, ahead=ahead)) == found
    return found


def several_sources(seed: int) -> Partitions:
    """Few ids for many events, of several publishers, some of whom take another one's reference as an id; some expect versions."""
    chosen = random.Random(seed)
    there = Partitions(timed.app(), chosen.randint(1, 3), now=START, seed=seed, most=5, window=chosen.choice([1, 200_000]))
    for number in range(chosen.randint(3, 25)):
        event_id, source = f"touch-{chosen.randint(0, 3)}", chosen.choice(["", "test", "other", "retold/http"])
        if chosen.random() < 0.4:
            event_id, source = reference_of(source, event_id), chosen.choice(["", "retold/http", "other"])
        name, other = chosen.choice("abc"), chosen.choice(["", "", "z", "y"])
        touch = AlarmTouch(name=name, number=chosen.randint(0, 9), after=chosen.choice([0, 1, 5]), other=other)
        data = touch if chosen.random() < 0.8 else BellRing(name=chosen.choice("zy"), number=number)
        headers = headers_of(data, event_id, source, time_text(there.now - timedelta(hours=chosen.choice([0, 0, 3]))))
        if chosen.random() < 0.2:
            headers = [*headers, ("ce_expectedversion", b"%d" % chosen.randint(0, 3))]
        there._put(data.event_type.partition(".")[0], data.key.encode(), there.codec.encode(data), headers)
        there.now += timedelta(hours=chosen.randint(0, 3))
        for _ in range(chosen.randint(0, 5)):
            there.step()
    if chosen.random() < 0.5:
        there.now += timedelta(hours=40)
    there.settle()
    return there


def a_past(kind: str, seed: int) -> Partitions:
    return several_sources(seed) if kind == SEVERAL else made(kind, seed)[1]


@contextmanager
def read_ahead(most: int) -> Iterator[None]:
    """At most so many events."""
    with (
        patch.object(stored_scan, "FIRST", most), patch.object(stored_scan, "MOST", most),
        patch.object(stored_scan, "AHEAD", most), patch.object(stored_scan, "FARTHEST", most),
    ):  # fmt: skip
        yield


def with_header(file: sqlite3.Connection, at: tuple[Any, ...], name: str, text: bytes) -> None:
    [kept] = file.execute("select headers from record where (ns, part, seq) = (?, ?, ?)", at).fetchone()
    headers = bytes(packed([(each, value) for each, value in unpacked(kept) if each != name] + [(name, text)]))
    file.execute("update record set headers = ? where (ns, part, seq) = (?, ?, ?)", (headers, *at))


def erase(file: sqlite3.Connection, at: tuple[Any, ...]) -> None:
    """As an operator does."""
    [key] = file.execute("select key from record where (ns, part, seq) = (?, ?, ?)", at).fetchone()
    file.execute(ERASE, (*at, key, *at))
    file.execute("delete from record where (ns, part, seq) = (?, ?, ?)", at)


def stand_otherwise(data: st.DataObject, there: Partitions, file: sqlite3.Connection) -> None:
    """The clock of a worker, a few effects, and events that are gone."""
    if seconds := data.draw(st.sampled_from([0, 0, -40, 1, 300])):
        space = data.draw(st.sampled_from([space.name for space in there.app.namespaces]))
        file.execute("update record set recorded = recorded + ? where ns = ? and part = 0", (seconds * 10**6, space))
    effects = file.execute("select ns, part, seq, kind from record where causeh is not null").fetchall()
    for *at, was in data.draw(st.lists(st.sampled_from(effects), max_size=2)) if effects else []:
        name, value = data.draw(st.sampled_from(OTHERWISE))
        if name.startswith("ce_"):
            with_header(file, tuple(at), name, value)
        elif value != was:
            file.execute(f"update record set {name} = ? where (ns, part, seq) = (?, ?, ?)", (value, *at))
    places = file.execute("select ns, part, seq from record").fetchall()
    for at in data.draw(st.lists(st.sampled_from(places), max_size=2, unique=True)) if places else []:
        erase(file, at)


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data(), st.sampled_from([*APPS, "waiting", "repeated", SEVERAL, SEVERAL]), st.integers(0, 10**6), st.booleans())
def test_any_change_of_any_past_is_told_as_on_the_careful_way(data: st.DataObject, kind: str, seed: int, near: bool) -> None:
    """Also where publishers gave one id several times, effects are far from their causes, or the first events are not decided."""
    there = a_past(kind, seed)
    events = [event for space in there.app.namespaces for event in space.handlers]
    change = data.draw(st.sampled_from([None, *CHANGES]))
    other = there.app if change is None else with_change(there.app, data.draw(st.sampled_from(events)), change)
    before, after = data.draw(st.sampled_from([(there.app, other), (other, there.app), (other, other)]))
    skip, most = data.draw(st.sampled_from([0, 0, 1, 5])), 1_024 if near else 1
    with tempfile.TemporaryDirectory() as folder, closing(stored(there, Path(folder))) as store, read_ahead(most):
        all_ways(there, store._db, before, after, skip)


@settings(max_examples=70, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data(), st.sampled_from([*APPS, "repeated", SEVERAL]), st.integers(0, 10**6))
def test_what_stands_otherwise_in_a_file_is_told_as_on_the_careful_way(data: st.DataObject, kind: str, seed: int) -> None:
    """Effects before their causes, of another kind, with another number, time or cause, and events that were erased."""
    there = a_past(kind, seed)
    with tempfile.TemporaryDirectory() as folder, closing(stored(there, Path(folder))) as store:
        stand_otherwise(data, there, store._db)
        all_ways(there, store._db, there.app, there.app, data.draw(st.sampled_from([0, 0, 3])))


@pytest.mark.parametrize("seed", [130, 335_376, 1])
def test_an_id_that_is_the_reference_of_another_event_takes_no_effect_from_it(seed: int, tmp_path: Path) -> None:
    """So nothing is missing by the code that has handled them, though the two are far from each other in the file."""
    there = several_sources(seed)
    with closing(stored(there, tmp_path)) as store, read_ahead(1):
        found = all_ways(there, store._db, there.app, there.app)
    assert isinstance(found, Difference)
    assert found.is_empty


def test_an_event_that_is_as_it_was_keeps_no_effects_of_another_one_of_its_id(tmp_path: Path) -> None:
    """Its turn came when the other had not been read yet; other code takes away what that one had led to."""
    there = several_sources(493_627)
    silent = with_change(there.app, AlarmTouch, other_code.silent)
    with closing(stored(there, tmp_path)) as store, read_ahead(1):
        found = all_ways(there, store._db, there.app, silent)
    assert isinstance(found, Difference)
    assert len(found.missing) == 40


def ringing_nothing(handler: other_code.Handler) -> other_code.Handler:
    def changed(row: Any, event: Event[Any]) -> Outcome[Any]:
        outcome = handler(row, event)
        return Outcome(outcome.row, emit=[*outcome.emit, BellRing(name="z", number=0)])

    return changed


def test_a_version_that_is_another_one_is_told_though_the_row_is_as_it_was(tmp_path: Path) -> None:
    """What is new adds nothing to the row, and who expects the version before it is refused."""
    there = Partitions(timed.app(), 1, now=START)
    touch = AlarmTouch(name="a", number=1, after=0, other="")
    first, second = (BellRing(name="z", number=number) for number in (1, 2))
    for data, name, expected in ((first, "first", None), (touch, "touch", None), (second, "second", 1)):
        there.now += timedelta(hours=1)
        there.publish(data, name, there.now, expected)
        there.settle()
    with closing(stored(there, tmp_path)) as store:
        found = all_ways(there, store._db, there.app, with_change(there.app, AlarmTouch, ringing_nothing))
    assert isinstance(found, Difference)
    assert [(it.recorded.event.id, it.now.by) for it in found.changed] == [("second", VERSION)]


def test_an_answer_is_nothing_that_a_handler_has_emitted(tmp_path: Path) -> None:
    """Whatever data it has: what the handler emits now is another event."""
    there = made("bank", 12)[1]
    with closing(stored(there, tmp_path)) as store:
        store._db.execute("update record set kind = 'answer' where kind = 'emitted'")
        found = all_ways(there, store._db, there.app, there.app)
    assert isinstance(found, Difference)
    assert not found.is_empty


def test_what_is_emitted_as_it_was_but_declared_no_more_is_told(tmp_path: Path) -> None:
    """A worker would park the event."""
    there = made("timed", 5)[1]
    [alarm, bell] = there.app.namespaces
    less: Namespace[Any] = Namespace("alarm", row=alarm.row_type)
    for event, handler in alarm.handlers.items():
        less.handles(event, emits=[AlarmRing])(handler)
    with closing(stored(there, tmp_path)) as store:
        found = all_ways(there, store._db, there.app, App(name="timed", namespaces=[less, bell]))
    assert isinstance(found, Difference)
    assert found.raised
