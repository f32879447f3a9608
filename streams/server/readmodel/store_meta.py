"""What the read model's file says of itself, by name: the table `meta`. All raise sqlite3.Error."""

from __future__ import annotations

import sqlite3
from typing import Any


def meta_value(db: sqlite3.Connection, name: str) -> Any:
    """None if it is not there."""
    [found] = db.execute("select max(value) from meta where name = ?", (name,)).fetchone()
    return found


def set_meta(db: sqlite3.Connection, **values: object) -> None:
    """Within the transaction that is open, if one is."""
    db.executemany("insert or replace into meta(name, value) values(?, ?)", values.items())
