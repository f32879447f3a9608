"""A past that is in a file: the table `record` of a read model, read a piece at a time."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Hashable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from typing import Protocol

from streams.engine.identity import short_fingerprints
from streams.engine.records import Codec
from streams.errors import InvalidSchema
from streams.history.branch.branch_aside import NOTHING_ASIDE
from streams.history.high_water import LEAST
from streams.history.past import ErasedEvent, answered
from streams.history.recorded_event import ROOT, STEP, NamespacePartition, OrderKey, Place, RecordedEvent
from streams.history.stored.erased_events import erased_by_cause
from streams.history.stored.stored_events import StoredEvents, StoredRow
from streams.history.stored.stored_scan import EffectsScan, StoredScan

PIECE = 256
"""Events of a row that are read at once."""
IS_STEP = f"kind = '{STEP}'"
"""Spelt out, so that SQLite takes the index of steps."""


class SchemaRegister(Protocol):
    """A codec that learns schemas."""

    def add_schema(self, text: str) -> int: ...


def learn_schemas(db: sqlite3.Connection, codec: SchemaRegister) -> None:
    """Make known what a file's records were written with, so that they can be read without Kafka. Raises sqlite3.Error."""
    for (text,) in db.execute("select text from schema").fetchall():
        with suppress(InvalidSchema):  # what is written with it says so when it is read
            codec.add_schema(text)


def noted_frontier(db: sqlite3.Connection) -> int | None:
    """µs: what was recorded until then has its high-water time, and can change no more. None: that is not known yet.

    Raises sqlite3.Error.
    """
    found = db.execute("select value from meta where name = 'frontier'").fetchone()
    return None if found is None else int(found[0])


class StoredPast:
    """The Past of a file, as far as it reached when this was made; what is written afterwards is not seen.

    `until` (µs) leaves out what was recorded later. Used by one thread, as its connection is. All that reads may raise
    sqlite3.Error, and HistoryError for an event that does not read here.
    """

    aside = NOTHING_ASIDE

    def __init__(self, db: sqlite3.Connection, codec: Codec, until: int | None = None) -> None:
        self._db, self._codec = db, codec
        found = db.execute(
            "select ns, part, seq from position where kind = 'log' and seq is not null order by ns, part"
        )
        self.last: dict[NamespacePartition, int] = {(ns, part): seq for ns, part, seq in found.fetchall()}
        """The last sequence of each partition of a log."""
        if until is not None:
            self.last = {at: self._last_until(at, last, until) for at, last in self.last.items()}
        self._stored, self._scan = StoredEvents(db, codec), StoredScan(db, codec, self.last)

    def _last_until(self, at: NamespacePartition, last: int, until: int) -> int:
        """The last sequence of a partition that was recorded by then, by halving: recorded times only grow in it."""
        text = "select seq, recorded from record where ns = ? and part = ? and seq >= ? and seq <= ? order by seq limit 1"
        low = 0
        while low < last:
            middle = (low + last + 1) // 2
            found = self._db.execute(text, (*at, middle, last)).fetchone()
            if found is not None and found[1] <= until:
                low = found[0]
            else:
                last = middle - 1
        return low

    def until(self, known: int) -> StoredPast:
        """The part of it that was recorded by then (µs)."""
        return StoredPast(self._db, self._codec, known)

    @property
    def db(self) -> sqlite3.Connection:
        """The file that it is in, for what is no event."""
        return self._db

    def __len__(self) -> int:
        text = "select count(*) from record where ns = ? and part = ? and seq > ?"
        [count] = self._db.execute("select count(*) from record").fetchone()
        for at, last in self.last.items():
            count -= self._db.execute(text, (*at, last)).fetchone()[0]
        return int(count)

    def extent(self, namespace: str) -> tuple[int, int | None, int | None]:
        """How many events of a namespace there are, and when the first and the last one were recorded (µs)."""
        text = "select count(*) from record where ns = ? and part = ? and seq <= ?"
        edge = "select recorded from record where ns = ? and part = ? and seq <= ? order by seq {} limit 1"
        count, edges = 0, list[int]()
        for at, last in self.last.items():
            if at[0] == namespace:
                count += self._db.execute(text, (*at, last)).fetchone()[0]
                for order in ("asc", "desc"):
                    edges += (found[0] for found in self._db.execute(edge.format(order), (*at, last)))
        return count, min(edges, default=None), max(edges, default=None)

    def events(self) -> Iterator[RecordedEvent]:
        return self._scan.events(self.last)

    def logged(self) -> Iterator[StoredRow]:
        """The rows of all events, in the total order, as the file has them; nothing is decoded."""
        return self._scan.rows(self.last)

    def namespace_events(self, namespace: str) -> Iterator[RecordedEvent]:
        """All of one namespace, in the total order."""
        return self.events_of({namespace})

    def events_of(self, namespaces: Collection[str]) -> Iterator[RecordedEvent]:
        """All of some namespaces, in the total order."""
        return self._scan.events([at for at in self.last if at[0] in namespaces])

    def effects_scan(self) -> EffectsScan:
        """For who reads all of it and asks for the effects of each event."""
        return EffectsScan(self._db, self._codec, self.last, self.effects)

    def key_events(self, place: Place) -> Sequence[RecordedEvent]:
        return sorted(self._where("ns = ? and key = ?", *place), key=lambda it: it.order)

    def key_events_behind(self, place: Place, sequence: int) -> Iterator[RecordedEvent]:
        """Those of one row that stand behind a sequence of its log, in order, read a piece at a time."""
        text = f"ns = ? and key = ? and seq > ? order by seq limit {PIECE}"
        while piece := list(self._where(text, *place, sequence)):
            yield from piece
            if len(piece) < PIECE:
                return
            sequence = piece[-1].order.sequence

    def first_erased(self, place: Place) -> ErasedEvent | None:
        old = self._db.execute("select seq from left_out where ns = ? and key = ?", place).fetchone()
        if old is not None:
            return ErasedEvent(0, None, None, old[0])
        text = "select seq, recorded, high from erased where ns = ? and key = ? order by seq limit 1"
        found = self._db.execute(text, place).fetchone()
        return None if found is None else ErasedEvent(*found)

    def is_erased(self, place: Place) -> bool:
        """Whether an operator has erased an event of this row."""
        return self._db.execute("select 1 from erased where ns = ? and key = ? limit 1", place).fetchone() is not None

    @cached_property
    def unsure_until(self) -> int:
        text = "select max(value) from meta where name = 'left_out_times' and exists(select 1 from left_out_log)"
        [found] = self._db.execute(text).fetchone()
        return LEAST if found is None else int(found)

    def left_out_until(self) -> int | None:
        """When the last event was recorded (µs) that is too old to be kept; None: all are kept."""
        [found] = self._db.execute("select max(recorded) from left_out_log").fetchone()
        return None if found is None else int(found)

    def is_left_out(self, namespace: str, partition: int, sequence: int) -> bool:
        """Whether the event at this position is too old to be kept, if it is not here."""
        text = "select 1 from left_out_log where ns = ? and part = ? and seq >= ?"
        return self._db.execute(text, (namespace, partition, sequence)).fetchone() is not None

    def erased_keys(self, namespace: str) -> Sequence[str]:
        text = "select key from erased where ns = :ns union select key from left_out where ns = :ns order by key"
        found = self._db.execute(text, {"ns": namespace}).fetchall()
        return [key for (key,) in found]

    def find(self, reference: str) -> RecordedEvent | None:
        return next(iter(self.find_all(reference)), None)

    def find_all(self, reference: str) -> Sequence[RecordedEvent]:
        found = [it for it in self._where("idh in (?, ?)", *short_fingerprints(reference)) if it.reference == reference]
        return sorted(found, key=lambda it: it.order) if len(found) > 1 else found

    def effects(self, reference: str) -> Sequence[RecordedEvent]:
        found = [it for it in self._where("causeh in (?, ?)", *short_fingerprints(reference)) if it.cause == reference]
        return sorted(found, key=lambda it: it.order)

    def erased_effects(self, reference: str) -> Collection[Place]:
        return [place for it in short_fingerprints(reference) for place in self._erased_by_cause.get(it, ())]

    @cached_property
    def _erased_by_cause(self) -> Mapping[int, Collection[Place]]:
        return erased_by_cause(self._db)

    def at(self, namespace: str, partition: int, sequence: int) -> RecordedEvent | None:
        """By its position, such as `user-3:7`."""
        return next(self._where("ns = ? and part = ? and seq = ?", namespace, partition, sequence), None)

    def at_offset(self, namespace: str, partition: int, offset: int) -> RecordedEvent | None:
        """By its offset in the inbox, such as `user-3@1042`: also a duplicate, which stands for the first of its id."""
        found = next(self._where("ns = ? and part = ? and inbox = ?", namespace, partition, offset), None)
        if found is not None:
            return found
        text = "select seq from duplicate where ns = ? and part = ? and inbox = ?"
        again = self._db.execute(text, (namespace, partition, offset)).fetchone()
        return None if again is None else self.at(namespace, partition, again[0])

    def with_id(self, event_id: str, most: int = 10) -> Sequence[RecordedEvent]:
        """Those of an id: several publishers may have chosen it, or one for several rows. At most `most`."""
        if found := [it for it in self._where("idh in (?, ?)", *short_fingerprints(event_id)) if it.reference == event_id]:
            return found[:most]
        places = self._db.execute("select ns, part, seq from record where id = ? limit ?", (event_id, most)).fetchall()
        return [it for place in places if (it := self.at(*place)) is not None]

    def steps(self) -> Sequence[RecordedEvent]:
        return sorted(self._where(IS_STEP), key=lambda it: it.order)

    def first_root_after(self, time: int, behind: OrderKey | None = None) -> RecordedEvent | None:
        """Most events were recorded after they had happened: those before `time` are looked at only if they are of the future."""
        first = -(2**62) if behind is None else behind.recorded
        early = self._first_root("time > recorded and recorded <= ?", time, first, time, behind)
        late = self._first_root("recorded > ?", time, first, time, behind)
        return min((it for it in (early, late) if it is not None), key=lambda it: it.order, default=None)

    def _first_root(
        self, condition: str, value: int, first: int, time: int, behind: OrderKey | None
    ) -> RecordedEvent | None:
        text = f"""select recorded, ns, part, seq from record where {condition} and recorded >= ? and kind = ? and time > ?
        order by recorded, ns, part, seq"""
        for recorded, ns, part, seq in self._db.execute(text, (value, first, ROOT, time)):
            order = OrderKey(recorded, ns, part, seq)
            if seq <= self.last.get((ns, part), 0) and (behind is None or order > behind):
                return self.at(ns, part, seq)
        return None

    def end(self) -> OrderKey | None:
        text = "select recorded, ns, part, seq from record where ns = ? and part = ? and seq <= ? order by seq desc limit 1"
        found = [self._db.execute(text, (*at, last)).fetchone() for at, last in self.last.items()]
        return max((OrderKey(*it) for it in found if it is not None), default=None)

    def former(self, reference: str) -> Sequence[RecordedEvent]:
        return self.find_all(reference)

    def former_answer(self, request: str) -> tuple[bytes, RecordedEvent] | None:
        return answered(self, request)

    def _where(self, condition: str, *values: object) -> Iterator[RecordedEvent]:
        for row in self._stored.where(condition, *values):
            if row[3] <= self.last.get((row[1], row[2]), 0):
                yield self._stored.event(row)


def state_of(past: StoredPast) -> tuple[Hashable, ...]:
    """Pasts of one application that have the same state tell the same. Its last part: how far each log goes. Raises sqlite3.Error.

    Of a log only what an operator has erased and what is too old ever goes, and a topic that is made again has another id.
    """
    names = "'topics', 'left_out_times'"
    meta = past.db.execute(f"select name, value from meta where name in ({names}) order by name").fetchall()
    [erased] = past.db.execute("select count(*) from erased").fetchone()
    return tuple(meta), erased, tuple(past.last.items())
