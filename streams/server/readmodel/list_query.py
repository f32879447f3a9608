"""A page of a list: rows that are equal to what is asked for, in an order, behind those of the page before."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any


def equal_to(named: Mapping[str, Any]) -> dict[str, Any]:
    """The columns that are asked about: None stands for any value."""
    return {name: value for name, value in named.items() if value is not None}


def page_of(
    db: sqlite3.Connection, select: str, named: Mapping[str, Any], order: str, after: Sequence[Any] | None, limit: int
) -> tuple[list[Any], bool]:
    """At most `limit` rows, and whether there are more. `after` has a value for each column of `order`. Raises sqlite3.Error."""
    filters = equal_to(named)
    conditions, values = [f"{name} = ?" for name in filters], [*filters.values()]
    if after is not None:
        conditions.append(f"({order}) > ({', '.join('?' * len(after))})")
        values += after
    where = f"where {' and '.join(conditions)}" if conditions else ""
    found = db.execute(f"{select} {where} order by {order} limit ?", [*values, limit + 1]).fetchall()
    return found[:limit], len(found) > limit
