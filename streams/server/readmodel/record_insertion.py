"""Puts records of logs into the file: by rows, or by many rows of one statement, so that other threads of Python run meanwhile."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from itertools import chain

from streams.server.readmodel.log_record import NAMES, LogRecord

MOST = 512
"""Records of one statement. While SQLite takes them, some ms, Python's lock is free; with 19 values each they are as many
variables as any SQLite takes."""


def insert_records(db: sqlite3.Connection, records: Iterable[LogRecord]) -> None:
    """One by one, for a thread that nobody else waits for. Raises sqlite3.Error."""
    for count, found in _by_length(records).items():
        db.executemany(_statement(count, 1), found)


def insert_by_pieces(db: sqlite3.Connection, records: Iterable[LogRecord]) -> None:
    """The same, for a thread beside another one: a statement for each record would wait for Python's lock each time."""
    for count, found in _by_length(records).items():
        at = 0
        while left := len(found) - at:
            piece = min(MOST, 1 << left.bit_length() - 1)  # a power of two, so that there are few statements
            db.execute(_statement(count, piece), [*chain.from_iterable(found[at : at + piece])])
            at += piece


def _by_length(records: Iterable[LogRecord]) -> Mapping[int, Sequence[LogRecord]]:
    """Those that have so many values: nulls at the end are left out."""
    found = defaultdict[int, list[LogRecord]](list)
    for record in records:
        found[len(record)].append(record)
    return found


@cache
def _statement(values: int, records: int) -> str:
    row = f"(?{', ?' * (values - 1)})"
    return f"insert or replace into record({', '.join(NAMES[:values])}) values{row}{f', {row}' * (records - 1)}"
