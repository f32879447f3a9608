"""What a file does not know of high-water times, since it does not keep all events (the setting `history`)."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection

from streams.history.high_water import LEAST
from streams.server.readmodel.store_meta import meta_value

LEFT_OUT_OF = "select seq from left_out where ns = ? and key = ?"
ASKED = 500
"""Ids that are looked up at once."""


def latest_left_out(db: sqlite3.Connection) -> int | None:
    """µs: the high-water time of no event that is left out is as late as this; None: none is left out. Raises sqlite3.Error."""
    if db.execute("select 1 from left_out_log limit 1").fetchone() is None:
        return None
    return int(meta_value(db, "left_out_times") or 0)


class MissingEvents:
    """Of one step of filling in. All that reads may raise sqlite3.Error.

    An answer is a time as late as which no event that is missing depends on (µs); LEAST: none is missing.
    """

    def __init__(self, db: sqlite3.Connection, causes: Collection[int]) -> None:
        """`causes` are the ids, as 64 bits, that the step may ask for."""
        self._db, self._bound = db, latest_left_out(db)
        self._ids = set[int]() if self._bound is None else set(_left_out_ids(db, [*causes]))
        [last] = db.execute("select max(recorded) from left_out_log").fetchone()
        self._last = LEAST if last is None else last
        """When the last one was recorded that is left out (µs)."""
        self._keys: dict[tuple[str, str], int] = {}

    def behind(self, namespace: str, key: str, sequence: int) -> int:
        """Of the events of a key behind `sequence`, which are the last ones before another event."""
        if self._bound is None:
            return LEAST
        place = namespace, key
        if place not in self._keys:
            found = self._db.execute(LEFT_OUT_OF, place).fetchone()
            self._keys[place] = 0 if found is None else found[0]
        return self._bound if self._keys[place] > sequence else LEAST

    def cause(self, short: int) -> int:
        """Of a cause that is there, if another event of its id is left out: it is not known which one led to it."""
        return LEAST if self._bound is None or short not in self._ids else self._bound

    def left_out_cause(self, recorded: int) -> int | None:
        """Of a cause that is not there, and was recorded at a time (µs); None: it is not left out."""
        return self._bound if self._bound is not None and recorded <= self._last else None


def _left_out_ids(db: sqlite3.Connection, asked: list[int]) -> list[int]:
    found = list[int]()
    for at in range(0, len(asked), ASKED):
        some = asked[at : at + ASKED]
        text = f"select idh from left_out_id where idh in ({', '.join('?' * len(some))})"
        found += (idh for (idh,) in db.execute(text, some))
    return found
