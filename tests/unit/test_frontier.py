"""Up to when nothing can change any more."""

from __future__ import annotations

import sqlite3
from typing import Any

import pytest

from streams.kafka.offsets import Offsets
from streams.server.readmodel import frontier as module
from streams.server.readmodel.frontier import IDLE, Frontier
from streams.server.readmodel.store_high_water import put_frontier

NOW = 1_800_000_000.0
DAY = 86_400


def a_file(recorded: int) -> sqlite3.Connection:
    """Of one partition that is read up to offset 10."""
    db = sqlite3.connect(":memory:")
    db.execute("create table meta(name text primary key, value)")
    db.execute("create table position(kind, ns, part, next_offset, recorded)")
    db.execute("insert into position values('log', 'a', 0, 10, ?)", (recorded,))
    return db


def measured(frontier: Frontier, monkeypatch: pytest.MonkeyPatch, now: float, *, stable: int, last: int) -> None:
    def told(end: int) -> Any:
        def ends(*_: object, **__: object) -> Offsets:
            return {("a-log", 0): end}

        return ends

    monkeypatch.setattr(module, "ends", told(last))
    monkeypatch.setattr(module, "stable_ends", told(stable))
    monkeypatch.setattr(module.time, "time", lambda: now)
    frontier.measure(None, [("a-log", 0)])  # type: ignore[arg-type]  # nothing is asked


@pytest.mark.parametrize(("stable", "last"), [(10, 12), (12, 12)])
def test_it_never_falls_back(monkeypatch: pytest.MonkeyPatch, stable: int, last: int) -> None:
    """An idle partition has an open transaction now, or records that are not read yet: what was told for ever stays told."""
    yesterday = round((NOW - DAY) * 1e6)
    db, frontier = a_file(yesterday), Frontier({"a-log": ("log", "a")})
    measured(frontier, monkeypatch, NOW, stable=10, last=10)
    first = frontier.of(db)
    assert first == round(NOW * 1e6) - IDLE
    put_frontier(db, first)
    measured(frontier, monkeypatch, NOW + 1, stable=stable, last=last)
    assert frontier.of(db) == first


def test_a_clock_that_is_set_back_takes_it_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """It was ahead, so what it said was not so."""
    db, frontier = a_file(5), Frontier({"a-log": ("log", "a")})
    put_frontier(db, round((NOW + DAY) * 1e6))
    measured(frontier, monkeypatch, NOW, stable=10, last=12)
    assert frontier.of(db) == 5
