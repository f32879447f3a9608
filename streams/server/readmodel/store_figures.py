"""Counts by namespace, for an overview: what was handled, what is set aside, and what waits."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

import msgspec

from streams.engine.envelope import CALL, TIMER
from streams.engine.records import PARKED, QUARANTINED, UNANSWERED


class StoreFigures(msgspec.Struct):
    """`events` counts what was handled, `last` is when the last of it was recorded (µs since 1970)."""

    events: int = 0
    parked: int = 0
    unanswered: int = 0
    quarantined: int = 0
    calls: int = 0
    timers: int = 0
    last: int | None = None


def store_figures(db: sqlite3.Connection, namespaces: Iterable[str]) -> dict[str, StoreFigures]:
    """By namespace. Raises sqlite3.Error."""
    found = {name: StoreFigures() for name in namespaces}
    logs = "select ns, sum(seq), max(recorded) from position where kind = 'log' group by ns"
    for name, events, last in db.execute(logs):
        if name in found:
            found[name].events, found[name].last = events or 0, last or None
    for name, status, count in db.execute("select ns, status, count(*) from aside group by ns, status"):
        if name in found and status in (PARKED, UNANSWERED, QUARANTINED):
            setattr(found[name], status, count)
    for name, kind, count in db.execute("select ns, kind, count(*) from due group by ns, kind"):
        if name in found and kind == CALL:
            found[name].calls = count
        elif name in found and kind == TIMER:
            found[name].timers = count
    return found
