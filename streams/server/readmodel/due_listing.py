"""What is due, as the file has it: timers and calls of gateways, the earliest first."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import NamedTuple

from streams.server.readmodel.list_query import counts_by, page_of

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
    targets: list[str] | None = None
    key: str | None = None
    after: DueOrder | None = None


def due_page(db: sqlite3.Connection, query: DueQuery) -> tuple[list[ListedDue], bool]:
    """And whether there are more. Raises sqlite3.Error."""
    named = {"kind": query.kind, "target": query.targets, "key": query.key}
    found, more = page_of(db, f"select {COLUMNS} from due", named, ORDER, query.after, query.limit)
    return [ListedDue(*row) for row in found], more


def due_counts(db: sqlite3.Connection, targets: list[str] | None = None) -> dict[str, int]:
    """By kind, for these namespaces; None: for all."""
    return counts_by(db, "due", "kind", {"target": targets})
