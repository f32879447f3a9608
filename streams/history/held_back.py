"""Events that happened by a time and are not told as of it, since each depends on a later one."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection
from typing import NamedTuple

from streams.history.cut_past import Cut

BACK = "recorded <= ? and time <= ? and high > ?"
ALL = 2**62
"""µs: after all times."""


class HeldBack(NamedTuple):
    """The first of them by its position, type, time and the time from which on it counts (both in µs), and how many there are."""

    name: str
    event_type: str
    time: int
    counts_from: int
    events: int


def held_back(db: sqlite3.Connection, cut: Cut, namespace: str, key: str | None = None) -> HeldBack | None:
    """Of a namespace, or of one of its keys. None: no event, as where a cut has no time that it is as of."""
    if cut.as_of is None:
        return None
    where, values = ("ns = ?", [namespace]) if key is None else ("ns = ? and key = ?", [namespace, key])
    return _found(db, cut, where, values)


def held_back_of(db: sqlite3.Connection, cut: Cut, types: Collection[str]) -> HeldBack | None:
    """Of the accepted events of some types, such as those that a projection folds."""
    if cut.as_of is None:
        return None
    return _found(db, cut, f"accepted and type in ({', '.join('?' * len(types))})", sorted(types))


def _found(db: sqlite3.Connection, cut: Cut, where: str, values: list[str]) -> HeldBack | None:
    limits = (ALL if cut.known is None else cut.known, cut.as_of, cut.as_of)
    [count] = db.execute(f"select count(*) from record where {where} and {BACK}", (*values, *limits)).fetchone()
    if not count:
        return None
    order = "order by time, recorded, ns, part, seq limit 1"
    text = f"select ns, part, seq, type, time, high from record where {where} and {BACK} {order}"
    ns, part, seq, event_type, time, high = db.execute(text, (*values, *limits)).fetchone()
    return HeldBack(f"{ns}-{part}:{seq}", event_type, time, high, count)
