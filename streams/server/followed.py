"""What the server knows: tables, projections and the end of the logs, as they are committed, and up to where.

One thread writes (streams/server/follow.py); everyone else reads. The lock is held for moments only, so a task of the
event loop may take it.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from confluent_kafka import murmur2

from streams.app import App
from streams.data import Record, namespace_of
from streams.engine.marker import Marker
from streams.engine.projection import Projecting
from streams.engine.records import Codec
from streams.kafka.follow import LogEvent
from streams.server.bell import Bell
from streams.server.recent import Became, Outcomes, Recent

Place = tuple[str, int]
"""Namespace and partition."""
STARTING = "the server has not read the tables and logs yet"


class Unreadable(NamedTuple):
    """Stands for a row that the classes here do not read: a newer deployment wrote it."""

    reason: str


class Rows:
    """One table. `copy` gives a copy that nobody changes, the same one until the table changes."""

    def __init__(self) -> None:
        self.rows: dict[str, Any] = {}
        self.versions: dict[str, int] = {}
        self.unreadable: dict[str, str] = {}
        self._copy: tuple[Mapping[str, Any], Mapping[str, int]] | None = None

    def put(self, key: str, row: Any, version: int) -> None:
        """`row` is None for a deleted one."""
        self._copy = None
        for kept in (self.rows, self.versions, self.unreadable):
            kept.pop(key, None)
        if isinstance(row, Unreadable):
            self.unreadable[key] = row.reason
        elif row is not None:
            self.rows[key], self.versions[key] = row, version

    def copy(self) -> tuple[Mapping[str, Any], Mapping[str, int]]:
        """Rows and versions. To be called under the lock."""
        if self._copy is None:
            self._copy = dict(self.rows), dict(self.versions)
        return self._copy


class Projected:
    """One projection's rows. A fold that raises ends it: to skip an event would make it silently wrong."""

    def __init__(self, app: App, name: str, codec: Codec) -> None:
        [self.projection] = [it for it in app.projections if it.name == name]
        self._projecting = Projecting([self.projection], codec)
        self.rows: dict[str, Record] = self._projecting.rows[name]
        self.namespaces = sorted({namespace_of(data.event_type) for data in self.projection.folds_by})
        self.fault: str | None = None
        self._copy: Mapping[str, Record] | None = None

    def fold(self, event: LogEvent) -> None:
        if self.fault is not None or type(event.event.data) not in self.projection.folds_by:
            return
        self._copy = None
        try:
            self._projecting.fold(event.event)
        except Exception as error:  # noqa: BLE001 - the application's own function may raise anything
            self.fault = (
                f"the projection {self.projection.name} raised {type(error).__name__} ({error}) at "
                f"{event.event.data.event_type}, {event.namespace}-{event.partition}@{event.sequence}. It stands still: "
                "correct it and start the server again"
            )

    def copy(self) -> Mapping[str, Record]:
        """To be called under the lock."""
        if self._copy is None:
            self._copy = dict(self.rows)
        return self._copy


class Followed:
    """`waits` says in a sentence why there is no answer yet, None once there is one."""

    def __init__(self, app: App, codec: Codec) -> None:
        self.app, self._codec = app, codec
        self.lock = threading.Lock()
        self.bell = Bell()
        self.waits: str | None = STARTING
        self.faults: dict[str, str] = {}
        """What is wrong now, by what it is about."""
        self.begin({})

    def begin(self, counts: Mapping[str, int]) -> None:
        """Forget everything; `counts` has the number of partitions of each namespace."""
        with self.lock:
            self.waits = STARTING
            self.counts = dict(counts)
            self.tables = {space.name: Rows() for space in self.app.namespaces}
            self.markers: dict[Place, Marker] = {}
            self.logs: dict[Place, Recent] = {place: Recent() for place in self.places()}
            self.outcomes = Outcomes()
            self.projections = {it.name: Projected(self.app, it.name, self._codec) for it in self.app.projections}
            self.lags: dict[tuple[str, str, int], int] = {}
            self.faults = {}

    def places(self, namespaces: Iterable[str] | None = None) -> list[Place]:
        chosen = self.counts if namespaces is None else namespaces
        return [(name, number) for name in chosen for number in range(self.counts.get(name, 0))]

    def place_of(self, namespace: str, key: str) -> Place:
        return namespace, int(murmur2(key.encode("utf-8", "surrogatepass"), self.counts[namespace]))

    # Written by the one thread that follows.

    def committed(self, place: Place, last: Marker | None, rows: Mapping[str, tuple[Any, int]]) -> None:
        """One whole transaction of a table's partition, so that no half of it is ever shown."""
        with self.lock:
            table = self.tables[place[0]]
            for key, (row, version) in rows.items():
                table.put(key, row, version)
            if last is not None:
                self.markers[place] = last
                for offset, sequence, outcome in last.duplicates:
                    logged = outcome in ("accepted", "rejected")
                    became = Became(outcome, sequence if logged else None, duplicate=True)
                    self.outcomes.add((*place, offset), became)

    def logged(self, event: LogEvent, inbox_offset: int) -> None:
        """The next record of a partition's log."""
        inner = event.event
        became = Became(
            event.outcome, event.sequence, event.recorded, event.reason,
            event_type=inner.data.event_type, key=inner.key, id=inner.id,
        )  # fmt: skip
        with self.lock:
            self.logs[event.namespace, event.partition].add(event)
            self.outcomes.add((event.namespace, event.partition, inbox_offset), became)
            if event.outcome == "accepted":
                for projected in self.projections.values():
                    projected.fold(event)

    def set_aside(self, place: Place, offset: int, became: Became) -> None:
        with self.lock:
            self.outcomes.add((*place, offset), became)

    # Read by everyone.

    def became(self, place: Place, offset: int) -> Became | None:
        """What became of an inbox record, once its row is here too (rule 25); None if that is not known here."""
        last = self.markers.get(place)
        if last is None or last.inbox_next <= offset:
            return None
        return self.outcomes.get((*place, offset))

    def table_position(self, place: Place) -> int:
        """The last sequence whose row is in the table."""
        last = self.markers.get(place)
        return 0 if last is None else last.last

    def log_position(self, place: Place) -> int:
        """The last sequence that was folded into projections and is told to those who watch."""
        recent = self.logs.get(place)
        return 0 if recent is None else recent.last

    def lag(self, kinds: Iterable[str], places: Iterable[Place]) -> int:
        """Records of these tables or logs that are committed and not read here yet, when we last looked."""
        return sum(self.lags.get((kind, *place), 0) for kind in kinds for place in places)

    def snapshot(self) -> Snapshot:
        return Snapshot(self)


class Snapshot(Mapping[str, Mapping[str, Any]]):
    """All tables by name, each copied when it is first asked for."""

    def __init__(self, followed: Followed) -> None:
        self._followed = followed
        self._found: dict[str, Mapping[str, Any]] = {}

    def __getitem__(self, name: str) -> Mapping[str, Any]:
        if name not in self._found:
            followed = self._followed
            with followed.lock:
                projected = followed.projections.get(name)
                self._found[name] = followed.tables[name].copy()[0] if projected is None else projected.copy()
        return self._found[name]

    def __iter__(self) -> Iterator[str]:
        return iter([*self._followed.tables, *self._followed.projections])

    def __len__(self) -> int:
        return len(self._followed.tables) + len(self._followed.projections)
