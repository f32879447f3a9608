"""Puts records of logs into the file."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Iterable
from functools import cache

from streams.server.readmodel.log_record import NAMES, LogRecord


def insert_records(db: sqlite3.Connection, records: Iterable[LogRecord]) -> None:
    """Nulls at the end of a record are left out, so there is a statement for each number of values. Raises sqlite3.Error."""
    found = defaultdict[int, list[LogRecord]](list)
    for record in records:
        found[len(record)].append(record)
    for count, of in found.items():
        db.executemany(_statement(count), of)


@cache
def _statement(values: int) -> str:
    return f"insert or replace into record({', '.join(NAMES[:values])}) values(?{', ?' * (values - 1)})"
