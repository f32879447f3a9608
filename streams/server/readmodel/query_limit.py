"""A limit of the time that questions to a file take: a question without an index reads all rows of its table."""

from __future__ import annotations

import re
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

from streams.server.readmodel.row_columns import unmarked

STEPS: Final = 10_000
"""Of SQLite's machine, after each of which the time is looked at: less than a millisecond."""
INDEX: Final = re.compile(r"USING (?:COVERING )?INDEX by [^:]+: (\S+)")
KEYS: Final = re.compile(r"SEARCH \S+ USING (?:COVERING )?INDEX sqlite_autoindex_")
SCAN: Final = "scan"


class QueryTooSlow(Exception):
    """The time was over before the answer was found."""


@contextmanager
def limited(db: sqlite3.Connection, seconds: float) -> Iterator[None]:
    """Raises QueryTooSlow from what runs longer within the block."""
    deadline = time.monotonic() + seconds
    db.set_progress_handler(lambda: time.monotonic() > deadline, STEPS)
    try:
        yield
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode == sqlite3.SQLITE_INTERRUPT:
            raise QueryTooSlow from error
        raise
    finally:
        db.set_progress_handler(None, 0)


def plan_of(db: sqlite3.Connection, text: str, values: Sequence[Any]) -> str:
    """`index customer,-placed` if a declared index is used, `index _key` if a part of the keys is looked through, else `scan`."""
    details = " ".join(row[3] for row in db.execute(f"explain query plan {text}", values))
    if (found := INDEX.search(details)) is not None:
        return f"index {unmarked(found[1])}"
    return "index _key" if KEYS.search(details) else SCAN
