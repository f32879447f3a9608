"""The events of all logs, the latest first, a page at a time."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, NamedTuple

from streams.engine.records import ACCEPTED, CORRECTED, REJECTED
from streams.engine.step import step_of
from streams.history.recorded_event import STEP, OrderKey
from streams.server.readmodel.list_query import equal_to

SCANNED = 20_000
"""Events that one page looks through: a filter that few events pass would otherwise read the whole past."""
PERMITTED_AT_ONCE = 200
"""Events of which it is asked together whether they may be told."""
ORDER = "recorded desc, ns desc, part desc, seq desc"
COLUMNS = (
    "recorded, ns, part, seq, time, key, type, id, kind, accepted, by, reason, inbox, "
    f"case kind when '{STEP}' then value end as step"
)
OUTCOMES = {ACCEPTED: f"accepted and kind <> '{STEP}'", REJECTED: "not accepted", CORRECTED: f"kind = '{STEP}'"}
"""How each is found; to the rows' tables a correction's step is as good as an accepted event."""


class ListedEvent(NamedTuple):
    """Times in µs since 1970. `inbox` is below 0 for what was never in an inbox.

    `by` and `reason` are who rejected it and why; of a correction's step, who corrected and why.
    """

    recorded: int
    namespace: str
    partition: int
    sequence: int
    time: int
    key: str
    event_type: str
    id: str
    kind: str
    outcome: str
    by: str | None
    reason: str | None
    inbox: int

    @property
    def order(self) -> OrderKey:
        return OrderKey(self.recorded, self.namespace, self.partition, self.sequence)


@dataclass(frozen=True)
class EventQuery:
    """None: any. `before` is the last event of the page before, in the order of all logs."""

    limit: int
    namespaces: list[str] | None = None
    event_type: str | None = None
    key: str | None = None
    event_id: str | None = None
    outcome: str | None = None
    before: OrderKey | None = None

    @property
    def named(self) -> dict[str, Any]:
        return {"ns": self.namespaces, "type": self.event_type, "key": self.key, "id": self.event_id}


class EventPage(NamedTuple):
    """`last` is where the next page goes on; None: there is none. It may be behind events that no filter lets pass."""

    events: list[ListedEvent]
    last: OrderKey | None


Permit = Callable[[Sequence[ListedEvent]], Sequence[ListedEvent]]
"""Those of some events that may be told, in their order."""


def event_page(db: sqlite3.Connection, query: EventQuery, scanned: int = SCANNED, permit: Permit | None = None) -> EventPage:
    """It looks through at most `scanned` events. Raises sqlite3.Error.

    What `permit` leaves out is left out before the page is cut, so that `last` does not tell of it.
    """
    conditions, wanted = equal_to(query.named)
    conditions += [OUTCOMES[query.outcome]] if query.outcome else []
    filtered = bool(conditions) or permit is not None
    looked = scanned if filtered else query.limit + 1
    behind, values = "", list[Any]()
    if query.before is not None:
        behind, values = "where (recorded, ns, part, seq) < (?, ?, ?, ?)", [*query.before[:4]]
    latest = f"select {COLUMNS} from record {behind} order by {ORDER} limit {looked}"
    text = f"select * from ({latest}) where {' and '.join(conditions) or 'true'}"
    told = _told(db.execute(text, [*values, *wanted]), permit)
    found = [*islice(told, query.limit + 1)]
    if len(found) > query.limit:
        return EventPage(found[: query.limit], found[query.limit - 1].order)
    if not filtered:
        return EventPage(found, None)
    end = f"select recorded, ns, part, seq from record {behind} order by {ORDER} limit 1 offset {looked - 1}"
    last = db.execute(end, values).fetchone()
    return EventPage(found, None if last is None else OrderKey(*last))


def _told(rows: sqlite3.Cursor, permit: Permit | None) -> Iterator[ListedEvent]:
    if permit is None:
        yield from map(_listed, rows)
        return
    while some := [_listed(row) for row in rows.fetchmany(PERMITTED_AT_ONCE)]:
        yield from permit(some)


def _listed(row: tuple[Any, ...]) -> ListedEvent:
    accepted, by, reason, inbox, value = row[-5:]
    outcome = ACCEPTED if accepted else REJECTED
    if (step := step_of(value)) is not None:
        outcome, by, reason = CORRECTED, step.who, step.why
    return ListedEvent._make((*row[:-5], outcome, by, reason, inbox))
