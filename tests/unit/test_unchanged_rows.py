"""The quick way of what is read from a file says only what the careful one does."""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streams.app import App
from streams.data import EventData
from streams.errors import HistoryError
from streams.history.branch.branch import replay_difference
from streams.history.branch.branch_unchanged import UnchangedEvents
from streams.history.branch.unchanged_rows import UnchangedRows
from streams.history.code.application_handlers import ApplicationHandlers
from streams.history.difference.difference import Difference
from streams.history.stored import stored_scan
from streams.history.stored.kept_headers import packed, unpacked
from streams.history.stored.read_ahead import ReadAhead
from streams.history.stored.stored_past import StoredPast
from tests.support import other_code
from tests.support.other_code import Change, emitting, with_change
from tests.support.partitions import Partitions
from tests.support.pasts import made
from tests.support.stored_pasts import stored
from tests.unit.test_replay import APPS, FAULTS, MADE, later, linked, more

CHANGES: list[Change] = [
    other_code.silent, other_code.stays, other_code.twice, other_code.broken, other_code.strict, other_code.otherwise_said,
    *(emitting(more(field)) for field in ("amount", "price", "number")), emitting(later),
]  # fmt: skip

OTHERWISE = [
    ("kind", "emitted"), ("kind", "timer"), ("kind", "answer"), ("ordinal", 1), ("ce_time", b"2026-01-01T00:00:00.5+00:00"),
    ("ce_causationsource", b"another"), ("reason", "none"), ("accepted", 0),
]  # fmt: skip
"""Columns and headers, and what they may be."""


def replayed(there: Partitions, file: Any, before: App, after: App, skip: int = 0) -> Difference:
    now, past = ApplicationHandlers(after, there.codec), ReadAhead(StoredPast(file, there.codec))
    with linked(there, before, now, rows=past.logged()) as link:
        return replay_difference(past, link, now, skip=skip)


def both_ways(there: Partitions, file: Any, before: App, after: App, skip: int = 0) -> Difference:
    """The difference, which is the same if every event goes the careful way."""
    found = replayed(there, file, before, after, skip)
    with patch.object(UnchangedRows, "_take", lambda *_: False), patch.object(UnchangedEvents, "take", lambda *_: False):
        assert replayed(there, file, before, after, skip) == found
    return found


@pytest.mark.parametrize("who", ["now", "before"])
@pytest.mark.parametrize(("kind", "event", "fault"), FAULTS)
def test_a_fault_is_found_in_a_file_as_on_the_careful_way(
    kind: str, event: type[EventData], fault: Change, who: str, tmp_path: Path
) -> None:
    """Of the code now and of the code before, and all that follows from it."""
    there = MADE[kind]
    other = with_change(APPS[kind](), event, fault)
    before, after = (there.app, other) if who == "now" else (other, there.app)
    with closing(stored(there, tmp_path)) as store:
        found = both_ways(there, store._db, before, after)
    assert who == "before" or not found.is_empty


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data(), st.sampled_from([*APPS, "waiting", "repeated"]), st.integers(0, 10**6), st.booleans())
def test_any_change_of_any_past_is_told_as_on_the_careful_way(data: st.DataObject, kind: str, seed: int, near: bool) -> None:
    """Also where publishers gave one id several times, effects are far from their causes, or the first events are not decided."""
    _, there = made(kind, seed)
    events = [event for space in there.app.namespaces for event in space.handlers]
    change = data.draw(st.sampled_from([None, *CHANGES]))
    other = there.app if change is None else with_change(there.app, data.draw(st.sampled_from(events)), change)
    before, after = data.draw(st.sampled_from([(there.app, other), (other, there.app)]))
    skip, most = data.draw(st.sampled_from([0, 0, 5])), 1_024 if near else 1
    with (
        tempfile.TemporaryDirectory() as folder, closing(stored(there, Path(folder))) as store,
        patch.object(stored_scan, "FIRST", most), patch.object(stored_scan, "MOST", most),
        patch.object(stored_scan, "AHEAD", most), patch.object(stored_scan, "FARTHEST", most),
    ):  # fmt: skip
        both_ways(there, store._db, before, after, skip)


def told_or_raised(tell: Callable[[], Difference]) -> Difference | str:
    try:
        return tell()
    except HistoryError as error:
        return str(error)


def ahead(file: sqlite3.Connection, namespace: str, seconds: int) -> None:
    """The clock of one partition's worker."""
    file.execute("update record set recorded = recorded + ? where ns = ? and part = 0", (seconds * 10**6, namespace))


def with_header(file: sqlite3.Connection, at: tuple[Any, ...], name: str, text: bytes) -> None:
    [kept] = file.execute("select headers from record where (ns, part, seq) = (?, ?, ?)", at).fetchone()
    headers = bytes(packed([(each, value) for each, value in unpacked(kept) if each != name] + [(name, text)]))
    file.execute("update record set headers = ? where (ns, part, seq) = (?, ?, ?)", (headers, *at))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data(), st.sampled_from([*APPS, "repeated"]), st.integers(0, 10**6))
def test_what_stands_otherwise_in_a_file_is_told_as_on_the_careful_way(data: st.DataObject, kind: str, seed: int) -> None:
    """Effects before their causes, of another kind, with another number, time or cause: all that nearly is as it was."""
    _, there = made(kind, seed)
    with tempfile.TemporaryDirectory() as folder, closing(stored(there, Path(folder))) as store:
        file = store._db
        if seconds := data.draw(st.sampled_from([0, -40, 1, 300])):
            ahead(file, data.draw(st.sampled_from([space.name for space in there.app.namespaces])), seconds)
        effects = file.execute("select ns, part, seq, kind from record where causeh is not null").fetchall()
        for *at, was in data.draw(st.lists(st.sampled_from(effects), max_size=2)) if effects else []:
            name, value = data.draw(st.sampled_from(OTHERWISE))
            if name.startswith("ce_"):
                with_header(file, tuple(at), name, value)
            elif value != was:
                file.execute(f"update record set {name} = ? where (ns, part, seq) = (?, ?, ?)", (value, *at))
        found = told_or_raised(lambda: replayed(there, file, there.app, there.app))
        with patch.object(UnchangedRows, "_take", lambda *_: False), patch.object(UnchangedEvents, "take", lambda *_: False):
            assert told_or_raised(lambda: replayed(there, file, there.app, there.app)) == found


@pytest.mark.parametrize("kind", [*APPS])
def test_no_event_is_made_of_what_is_as_it_was(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor of timers that have fired, requests and their answers; but of what emits one type for a key twice, for example."""
    there, left = MADE[kind], list[str]()
    take = UnchangedRows._take

    def noted(self: UnchangedRows, it: Any) -> bool:
        taken = take(self, it)
        if not taken:
            left.append(self._scan.turned(it).name)
        return taken

    monkeypatch.setattr(UnchangedRows, "_take", noted)
    with closing(stored(there, tmp_path)) as store:
        past = StoredPast(store._db, there.codec)
        assert replayed(there, store._db, there.app, there.app).is_empty
        count = len(past)
    assert len(left) * 5 < count, (len(left), count)
