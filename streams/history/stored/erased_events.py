"""Events that an operator has erased, as a file knows them: that there was one, of which row, and what it had followed from."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Collection, Mapping

from streams.history.recorded_event import Place


def last_erased(db: sqlite3.Connection, known: int | None = None) -> int:
    """The latest high-water time (µs) of an event that was erased, recorded by `known`; 0: none was. Raises sqlite3.Error."""
    text = "select max(coalesce(high, recorded)) from erased where :known is null or recorded <= :known"
    [found] = db.execute(text, {"known": known}).fetchone()
    return found or 0


def erased_by_cause(db: sqlite3.Connection) -> Mapping[int, Collection[Place]]:
    """Their rows, by the short fingerprint of the event that led to each: few are erased. Raises sqlite3.Error."""
    found = defaultdict[int, set[Place]](set)
    for cause, namespace, key in db.execute("select causeh, ns, key from erased where causeh is not null"):
        found[cause].add((namespace, key))
    return found
