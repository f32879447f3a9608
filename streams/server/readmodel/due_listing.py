"""What is due, as the file has it: timers and calls of gateways, the earliest first."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import Any, NamedTuple

COLUMNS = "at, ns, part, id, target, key, value"
ORDER = "at, ns, part, id"


class DueOrder(NamedTuple):
    """Where one stands in the list: its time in µs since 1970, then its partition and its id."""

    at: int
    namespace: str
    partition: int
    id: str


class ListedDue(NamedTuple):
    """`target` is the namespace whose key it is about; `namespace` the one that waits for it. `value` in the wire format."""

    at: int
    namespace: str
    partition: int
    id: str
    target: str
    key: str
    value: bytes

    @property
    def order(self) -> DueOrder:
        return DueOrder(self.at, self.namespace, self.partition, self.id)


@dataclass(frozen=True)
class DueQuery:
    """`kind` is timer or call. None: any. `after` is the last one of the page before."""

    kind: str
    limit: int
    target: str | None = None
    key: str | None = None
    after: DueOrder | None = None


def due_page(db: sqlite3.Connection, query: DueQuery) -> tuple[list[ListedDue], bool]:
    """And whether there are more. Raises sqlite3.Error."""
    named = {"kind": query.kind, "target": query.target, "key": query.key}
    filters = {name: value for name, value in named.items() if value is not None}
    conditions, values = [f"{name} = ?" for name in filters], list[Any](filters.values())
    if query.after is not None:
        conditions.append(f"({ORDER}) > (?, ?, ?, ?)")
        values += query.after
    text = f"select {COLUMNS} from due where {' and '.join(conditions)} order by {ORDER} limit ?"
    found = [ListedDue(*row) for row in db.execute(text, [*values, query.limit + 1])]
    return found[: query.limit], len(found) > query.limit


def due_counts(db: sqlite3.Connection) -> dict[str, int]:
    """By kind."""
    return dict(db.execute("select kind, count(*) from due group by kind").fetchall())
