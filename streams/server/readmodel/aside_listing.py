"""What is set aside, as the file has it: parked, unanswered and quarantined events, in the order of their inboxes."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from streams.engine.envelope import ParkedHeader, parked_header, without_packed
from streams.engine.records import LAST
from streams.history.stored.kept_headers import unpacked
from streams.kafka.parked import InboxOffset, ParkedEntry
from streams.server.readmodel.list_query import counts_by, page_of

TIMER = f"case instr(place, '-') when 0 then {LAST} else cast(substr(place, instr(place, '-') + 1) as integer) end"
ORDER = f"ns, part, cast(place as integer), {TIMER}"
COLUMNS = "ns, part, place, status, recorded, key, type, id, reason"


class ListedAside(NamedTuple):
    """`place` is that in its partition, `1042` or `1042-1`; `key` is None for what is quarantined, which blocks no key."""

    namespace: str
    partition: int
    place: str
    status: str
    recorded: int
    key: str | None
    event_type: str | None
    id: str | None
    reason: str

    @property
    def inbox_offset(self) -> InboxOffset:
        return offset_of(self.namespace, self.partition, self.place)


@dataclass(frozen=True)
class AsideQuery:
    """None: any. `after` is the last one of the page before."""

    limit: int
    namespaces: list[str] | None = None
    key: str | None = None
    status: str | None = None
    after: InboxOffset | None = None


def offset_of(namespace: str, partition: int, place: str) -> InboxOffset:
    offset, _, timer = place.partition("-")
    return InboxOffset(namespace, partition, int(offset), int(timer or 0))


def aside_page(db: sqlite3.Connection, query: AsideQuery) -> tuple[list[ListedAside], bool]:
    """And whether there are more. Raises sqlite3.Error."""
    after = None
    if query.after is not None:
        namespace, partition, (offset, timer) = query.after.order
        after = (namespace, partition, offset, timer)
    named = {"ns": query.namespaces, "key": query.key, "status": query.status}
    found, more = page_of(db, f"select {COLUMNS} from aside", named, ORDER, after, query.limit)
    return [ListedAside(*row) for row in found], more


def aside_counts(db: sqlite3.Connection, namespaces: list[str] | None = None) -> dict[str, int]:
    """By status, of these namespaces; None: of all."""
    return counts_by(db, "aside", "status", {"ns": namespaces})


def aside_entries(db: sqlite3.Connection, at: InboxOffset) -> Sequence[ParkedEntry]:
    """What is set aside at an offset, with all of its key, in order: what is decided about it is checked by these.

    Empty if there is nothing. Raises sqlite3.Error.
    """
    one = (at.namespace, at.partition, str(at.position))
    found = db.execute("select key from aside where ns = ? and part = ? and place = ?", one).fetchone()
    if found is None:
        return ()
    some = "ns = ? and part = ? and place = ?" if found[0] is None else "ns = ? and part = ? and key = ?"
    values = one if found[0] is None else (at.namespace, at.partition, found[0])
    text = f"select ns, part, place, value, headers from aside where {some} order by {ORDER}"
    return [_entry(*row) for row in db.execute(text, values)]


def _entry(namespace: str, partition: int, place: str, value: bytes, headers: bytes) -> ParkedEntry:
    given = unpacked(headers)
    header: ParkedHeader = parked_header(given)
    return ParkedEntry(offset_of(namespace, partition, place), header, value, without_packed(given))


def set_aside_since(db: sqlite3.Connection, at: InboxOffset) -> int | None:
    """When what is at an offset was set aside (µs since 1970); None: nothing is there."""
    text = "select recorded from aside where ns = ? and part = ? and place = ?"
    found = db.execute(text, (at.namespace, at.partition, str(at.position))).fetchone()
    return None if found is None else int(found[0])


def count_aside(db: sqlite3.Connection, at: InboxOffset, key: str) -> int:
    """How many events of a key of this partition are set aside."""
    text = "select count(*) from aside where ns = ? and part = ? and key = ?"
    [count] = db.execute(text, (at.namespace, at.partition, key)).fetchone()
    return int(count)
