"""A transaction of the one writer of a file, which never leaves it half open."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def transaction(db: sqlite3.Connection) -> Iterator[None]:
    """Begin one, and commit it at the end of the block, or roll it back if anything is raised there. Raises sqlite3.Error."""
    with rolled_back(db):
        db.execute("begin immediate")
        yield
        db.execute("commit")


@contextmanager
def rolled_back(db: sqlite3.Connection) -> Iterator[None]:
    """Roll the present transaction back if anything is raised, also Ctrl-C: else no other one could begin.

    SQLite has done so itself after some errors, such as of a full disk.
    """
    try:
        yield
    except BaseException:
        if db.in_transaction:
            db.execute("rollback")
        raise
