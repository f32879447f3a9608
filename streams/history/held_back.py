"""Events that happened by a time and are not told as of it, since each depends on a later one."""

from __future__ import annotations

import sqlite3
from typing import Any, NamedTuple

from streams.app import App
from streams.history.cut_past import Cut, moment_text
from streams.history.past_views import AskedTables

BACK = "high > time and recorded <= ? and time <= ? and high > ?"
ALL = 2**62
"""µs: after all times."""
MOST_ROWS = 5_000
"""Rows that are asked for one by one: of more, those of the whole table are told."""


class HeldBack(NamedTuple):
    """The first of them by its position, type, time and the time from which on it counts (both in µs), and how many there are."""

    name: str
    event_type: str
    time: int
    counts_from: int
    events: int


def held_back(db: sqlite3.Connection, cut: Cut, app: App, asked: AskedTables) -> HeldBack | None:
    """Of what would change the rows that are asked for. None: no event, as where a cut has no time that it is as of.

    Raises sqlite3.Error.
    """
    conditions, values = _conditions(app, asked)
    if cut.as_of is None or not conditions:
        return None
    where = f"from record indexed by record_held_back where {BACK} and ({' or '.join(conditions)})"
    limits = (ALL if cut.known is None else cut.known, cut.as_of, cut.as_of)
    [count] = db.execute(f"select count(*) {where}", (*limits, *values)).fetchone()
    if not count:
        return None
    text = f"select ns, part, seq, type, time, high {where} order by time, recorded, ns, part, seq limit 1"
    ns, part, seq, event_type, time, high = db.execute(text, (*limits, *values)).fetchone()
    return HeldBack(f"{ns}-{part}:{seq}", event_type, time, high, count)


def _conditions(app: App, asked: AskedTables) -> tuple[list[str], list[str]]:
    """Which events would change what is asked for, each condition one kind of it; and their values."""
    types = {data.event_type for it in app.projections if it.name in asked.of for data in it.folds_by}
    conditions, values = list[str](), list[str]()
    for space in app.namespaces:
        if (keys := asked.of.get(space.name, ())) is None or len(keys) > MOST_ROWS:
            conditions.append("ns = ?")
            values.append(space.name)
        elif keys:
            conditions.append(f"ns = ? and key in ({_marks(keys)})")
            values += [space.name, *sorted(keys)]
    if types:
        conditions.append(f"accepted and type in ({_marks(types)})")
        values += sorted(types)
    return conditions, values


def _marks(values: set[str]) -> str:
    return ", ".join("?" * len(values))


def held_back_members(found: HeldBack | None) -> dict[str, Any] | None:
    """For programs."""
    if found is None:
        return None
    first = {
        "position": found.name, "type": found.event_type, "time": moment_text(found.time),
        "counts_from": moment_text(found.counts_from),
    }  # fmt: skip
    return {"events": found.events, "first": first}
