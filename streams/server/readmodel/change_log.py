"""Which rows of a table have changed, in which order: streams of rows are read from it.

It is written in the transaction that changes the rows, so it never says more or less than they do. It is bounded: whoever has not
read what is dropped begins anew. When all rows of a table are made again, it has another generation.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from typing import Final, NamedTuple

CHANGE_LOG: Final = (
    "create table change(tbl text not null, tick integer not null, key text not null, primary key(tbl, tick)) without rowid",
    """create table change_end(tbl text primary key, generation text not null, tick integer not null, dropped integer not null)
    without rowid""",
)
KEPT: Final = 100_000
"""Changes of a table that are kept at least."""
PIECE: Final = 10_000
"""So many more are there before some are dropped."""


class ChangeEnd(NamedTuple):
    """`tick` is the number of the last change, `dropped` that of the last one that is not kept any more."""

    generation: str
    tick: int
    dropped: int

    @property
    def place(self) -> str:
        return place_text(self.generation, self.tick)


def place_text(generation: str, tick: int) -> str:
    return f"{generation}.{tick}"


def begin_changes(table: str) -> str:
    """The statement by which a new table gets its generation."""
    return f"insert into change_end values('{table}', lower(hex(randomblob(5))), 0, 0)"


def forget_changes(db: sqlite3.Connection, table: str) -> None:
    """Within the transaction that removes a table. Raises sqlite3.Error."""
    db.execute("delete from change where tbl = ?", (table,))
    db.execute("delete from change_end where tbl = ?", (table,))


def begin_changes_anew(db: sqlite3.Connection, table: str) -> None:
    """Within the transaction that puts other rows in the place of all there were. Raises sqlite3.Error."""
    forget_changes(db, table)
    db.execute(begin_changes(table))


def note_changes(db: sqlite3.Connection, table: str, keys: Iterable[str]) -> None:
    """Within the transaction that changes the rows of these keys. Raises sqlite3.Error."""
    end = change_end(db, table)
    noted = [(table, tick, key) for tick, key in enumerate(keys, end.tick + 1)]
    db.executemany("insert into change values(?, ?, ?)", noted)
    tick, dropped = end.tick + len(noted), end.dropped
    if tick - dropped > KEPT + PIECE:
        dropped = tick - KEPT
        db.execute("delete from change where tbl = ? and tick <= ?", (table, dropped))
    db.execute("update change_end set tick = ?, dropped = ? where tbl = ?", (tick, dropped, table))


def change_end(db: sqlite3.Connection, table: str) -> ChangeEnd:
    """Where the changes of a table end. Raises sqlite3.Error."""
    found = db.execute("select generation, tick, dropped from change_end where tbl = ?", (table,)).fetchone()
    return ChangeEnd(*found)


def change_places(db: sqlite3.Connection) -> dict[str, str]:
    """By table the place of its last change. Raises sqlite3.Error."""
    ends = db.execute("select tbl, generation, tick from change_end").fetchall()
    return {table: place_text(generation, tick) for table, generation, tick in ends}


def changed_keys(db: sqlite3.Connection, table: str, after: int, key: str | None = None) -> dict[str, int]:
    """The keys of rows that have changed after a tick, each with its last one, in the order of these. Raises sqlite3.Error."""
    only, values = ("", ()) if key is None else (" and key = ?", (key,))
    text = f"select key, tick from change where tbl = ? and tick > ?{only} order by tick"
    found = dict[str, int]()
    for changed, tick in db.execute(text, (table, after, *values)):
        found.pop(changed, None)  # so that it stands where it changed last
        found[changed] = tick
    return found


def keys_changed(db: sqlite3.Connection, table: str, after: int, upto: int) -> list[str]:
    """The key of each change behind one tick, up to another one: their numbers have no gaps. Raises sqlite3.Error."""
    text = "select key from change where tbl = ? and tick > ? and tick <= ? order by tick"
    return [key for (key,) in db.execute(text, (table, after, upto))]
