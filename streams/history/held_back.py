"""Events that happened by a time and are not told as of it, since each depends on a later one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from typing import Any, NamedTuple, Self

import msgspec

from streams.app import App
from streams.data import namespace_of
from streams.engine.times import to_micros
from streams.history.cut_past import moment_text
from streams.history.past_views import AskedTables
from streams.history.recorded_event import OrderKey, Place, RecordedEvent, position_name
from streams.history.stored.stored_rows import StoredRows

BACK = "high > time and recorded <= ? and time <= ? and high > ?"
NOT_OF = "(ns, key) not in (select json_extract(value, '$[0]'), json_extract(value, '$[1]') from json_each(?))"
ALL = 2**62
"""µs: after all times."""
MOST_ROWS = 5_000
"""Rows that are asked for one by one: of more, those of the whole table are told."""
NOTHING: Set[str] = frozenset()


class HeldBack(NamedTuple):
    """The first of them by its position, type, time and the time from which on it counts (both in µs), and how many there are."""

    name: str
    event_type: str
    time: int
    counts_from: int
    events: int


def held_back(rows: StoredRows, app: App, asked: AskedTables) -> HeldBack | None:
    """Of what would change the rows that are asked for. None: no event, as where a cut has no time that it is as of.

    Of a row that corrections have made otherwise, its events are those that count. Raises sqlite3.Error.
    """
    changing = _Changing.of(app, asked)
    if rows.past.cut.as_of is None or changing.is_empty:
        return None
    counted = _counted(rows, changing)
    logged, first = _logged(rows, changing)
    firsts = [it for it in (*map(_named, counted), first) if it is not None]
    if not firsts:
        return None
    order, name, event_type, high = min(firsts)
    return HeldBack(name, event_type, order[0], high, logged + len(counted))


class _First(NamedTuple):
    """Of an event its time (µs) and place, position, type, and from when on it counts (µs)."""

    order: tuple[int, OrderKey]
    name: str
    event_type: str
    high: int


def _named(it: RecordedEvent) -> _First:
    return _First((to_micros(it.event.time), it.order), it.name, it.event_type, it.high or 0)


class _Changing(NamedTuple):
    """Which events would change what is asked for.

    Those of namespaces, by name with the keys of rows (None: of all), and accepted ones of some types, which projections fold.
    """

    keys: Mapping[str, Set[str] | None]
    types: Set[str]

    @classmethod
    def of(cls, app: App, asked: AskedTables) -> Self:
        keys = dict[str, Set[str] | None]()
        for space in app.namespaces:
            if (found := asked.of.get(space.name, NOTHING)) is None or len(found) > MOST_ROWS:
                keys[space.name] = None
            elif found:
                keys[space.name] = found
        return cls(keys, {data.event_type for it in app.projections if it.name in asked.of for data in it.folds_by})

    @property
    def is_empty(self) -> bool:
        return not (self.keys or self.types)

    def has(self, it: RecordedEvent) -> bool:
        return self.has_row(it.place) or (it.accepted and it.event_type in self.types)

    def has_row(self, place: Place) -> bool:
        keys = self.keys.get(place[0], NOTHING)
        return keys is None or place[1] in keys

    def rows_of(self, places: Iterable[Place]) -> list[Place]:
        """Those that may have such events."""
        folded = {namespace_of(it) for it in self.types}
        return [it for it in places if it[0] in folded or self.has_row(it)]

    def condition(self) -> tuple[str, list[str]]:
        """The same in SQL, with its values."""
        conditions, values = list[str](), list[str]()
        for namespace, keys in self.keys.items():
            conditions.append("ns = ?" if keys is None else f"ns = ? and key in ({_marks(keys)})")
            values += [namespace, *([] if keys is None else sorted(keys))]
        if self.types:
            conditions.append(f"accepted and type in ({_marks(self.types)})")
            values += sorted(self.types)
        return " or ".join(conditions), values


def _logged(rows: StoredRows, changing: _Changing) -> tuple[int, _First | None]:
    """How many there are in the log, and the first of them."""
    db, cut, (condition, values) = rows.db, rows.past.cut, changing.condition()
    where = f"from record indexed by record_held_back where {BACK} and ({condition})"
    limits = (ALL if cut.known is None else cut.known, cut.as_of, cut.as_of)
    if there := changing.rows_of(rows.corrected):
        where += f" and {NOT_OF}"
        values.append(msgspec.json.encode(there).decode())
    [count] = db.execute(f"select count(*) {where}", (*limits, *values)).fetchone()
    if not count:
        return 0, None
    text = f"select time, recorded, ns, part, seq, type, high {where} order by time, recorded, ns, part, seq limit 1"
    time, *place, event_type, high = db.execute(text, (*limits, *values)).fetchone()
    order = OrderKey(*place)
    return count, _First((time, order), position_name(*order[1:4]), event_type, high)


def _counted(rows: StoredRows, changing: _Changing) -> list[RecordedEvent]:
    """Those of rows that corrections have made otherwise."""
    counted = rows.counted
    if counted is None:
        return []
    events = (it for place in changing.rows_of(rows.corrected) for it in counted.whole.key_events(place))
    return [it for it in events if changing.has(it) and counted.is_held_back(it)]


def _marks(values: Set[str]) -> str:
    return ", ".join("?" * len(values))


def held_back_members(found: HeldBack | None) -> dict[str, Any] | None:
    """For programs."""
    if found is None:
        return None
    first = {
        "position": found.name, "type": found.event_type, "time": moment_text(found.time),
        "counts_from": moment_text(found.counts_from),
    }  # fmt: skip
    return {"events": found.events, "first": first}
