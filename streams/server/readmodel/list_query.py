"""A page of a list: rows that are equal to what is asked for, in an order, behind those of the page before."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any


def equal_to(named: Mapping[str, Any]) -> tuple[list[str], list[Any]]:
    """Conditions on columns, and their values: None stands for any value, a list for one of those in it."""
    conditions, values = list[str](), list[Any]()
    for name, value in named.items():
        if isinstance(value, list):
            conditions.append(f"{name} in ({', '.join('?' * len(value))})")
            values += value
        elif value is not None:
            conditions.append(f"{name} = ?")
            values.append(value)
    return conditions, values


def page_of(
    db: sqlite3.Connection, select: str, named: Mapping[str, Any], order: str, after: Sequence[Any] | None, limit: int
) -> tuple[list[Any], bool]:
    """At most `limit` rows, and whether there are more. `after` has a value for each column of `order`. Raises sqlite3.Error."""
    conditions, values = equal_to(named)
    if after is not None:
        conditions.append(f"({order}) > ({', '.join('?' * len(after))})")
        values += after
    where = f"where {' and '.join(conditions)}" if conditions else ""
    found = db.execute(f"{select} {where} order by {order} limit ?", [*values, limit + 1]).fetchall()
    return found[:limit], len(found) > limit


def counts_by(db: sqlite3.Connection, table: str, column: str, named: Mapping[str, Any]) -> dict[str, int]:
    """How many rows have each value of a column, of those that are equal to what is asked for. Raises sqlite3.Error."""
    conditions, values = equal_to(named)
    where = f"where {' and '.join(conditions)}" if conditions else ""
    return dict(db.execute(f"select {column}, count(*) from {table} {where} group by {column}", values).fetchall())
