"""What waits, in a file: the tables `due` and `aside` of a read model."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

from streams.data import EventData
from streams.engine.envelope import CALL, without_packed
from streams.engine.identity import short_fingerprints
from streams.engine.records import UNANSWERED, Codec
from streams.errors import StreamsError
from streams.event import reference_of
from streams.history.recorded_event import Place, RecordedEvent
from streams.history.stored.kept_headers import unpacked
from streams.history.story.waiting import WaitingEvent

DUE = "select kind, target, key, id, at, value, headers from due"
ASIDE = "select status, ns, part, place, key, type, id, recorded, reason, value, headers from aside"


class StoredWaiting:
    """The Waiting of a file. Used by one thread. All that reads may raise sqlite3.Error."""

    def __init__(self, db: sqlite3.Connection, codec: Codec) -> None:
        self._db, self._codec = db, codec

    def caused_by(self, reference: str) -> Sequence[WaitingEvent]:
        short = short_fingerprints(reference)
        due = [it for it, cause in self._due("causeh in (?, ?)", *short) if cause == reference and it.kind != CALL]
        aside = [
            it for it, cause, _ in self._aside("causeh in (?, ?)", *short) if cause == reference and it.kind != UNANSWERED
        ]
        return sorted([*due, *aside], key=lambda it: it.at)

    def request(self, it: RecordedEvent) -> WaitingEvent | None:
        reference = it.reference
        for called, _ in self._due("ns = ? and part = ? and id = ?", it.namespace, it.order.partition, reference):
            if called.kind == CALL:
                return called
        found = (aside for aside, _, own in self._aside("idh in (?, ?)", *short_fingerprints(reference)) if own == reference)
        return next((aside for aside in found if aside.kind == UNANSWERED), None)

    def of_key(self, place: Place, most: int) -> Sequence[WaitingEvent]:
        due = [it for it, _ in self._due("target = ? and key = ? order by at limit ?", *place, most)]
        aside = [it for it, _, _ in self._aside("ns = ? and key = ? order by inbox limit ?", *place, most)]
        return sorted([*due, *aside], key=lambda it: it.at)[:most]

    def count(self, status: str) -> int:
        """How many events are set aside with this status."""
        [found] = self._db.execute("select count(*) from aside where status = ?", (status,)).fetchone()
        return int(found)

    def set_aside(self, event_id: str) -> Sequence[WaitingEvent]:
        """What is set aside under an event's id."""
        return [it for it, _, _ in self._aside("id = ?", event_id)]

    def set_aside_at(self, namespace: str, partition: int, offset: int) -> Sequence[WaitingEvent]:
        return [it for it, _, _ in self._aside("ns = ? and part = ? and inbox = ?", namespace, partition, offset)]

    def _due(self, condition: str, *values: object) -> Iterator[tuple[WaitingEvent, str | None]]:
        """With the reference of what each was caused by."""
        for kind, target, key, name, at, value, headers in self._db.execute(
            f"{DUE} where {condition}", values
        ).fetchall():
            given = _texts(headers)
            data = self._data(value)
            of = data.event_type if data is not None else given.get("ce_type", "")
            yield WaitingEvent(kind, target, key, of, name, at, None, "", data), _cause(given)

    def _aside(self, condition: str, *values: object) -> Iterator[tuple[WaitingEvent, str | None, str]]:
        """With the reference of what each was caused by, and its own."""
        for status, ns, part, place, key, of, name, recorded, reason, value, headers in self._db.execute(
            f"{ASIDE} where {condition}", values
        ).fetchall():
            given, data = _texts(headers), self._data(value)
            found = WaitingEvent(
                status, ns, key or "", of or "", name or "", recorded, reason, f"{ns}-{part}@{place}", data
            )
            yield found, _cause(given), reference_of(given.get("ce_source", ""), name or "")

    def _data(self, value: bytes) -> EventData | None:
        with suppress(StreamsError):
            return self._codec.decode(value)
        return None


def _texts(headers: bytes) -> dict[str, str]:
    return {name: (value or b"").decode(errors="replace") for name, value in without_packed(unpacked(headers))}


def _cause(given: dict[str, Any]) -> str | None:
    cause = given.get("ce_causationid")
    return reference_of(given.get("ce_causationsource", ""), cause) if cause else None
