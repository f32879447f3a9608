"""Events of the table `record` of a read model: from a row of it to an event of the recorded past."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from streams.engine.records import Codec
from streams.engine.times import from_micros
from streams.errors import HistoryError, StreamsError
from streams.event import Event, is_ours, is_uuid, is_workers, reference_of
from streams.history.recorded_event import NamespacePartition, OrderKey, RecordedEvent
from streams.history.stored.kept_headers import picker

COLUMNS = (
    "recorded, ns, part, seq, time, id, causeh, kind, ordinal, accepted, by, reason, expected, high, latest, null, value, headers"
)
WITH_EFFECTS = COLUMNS.replace("null", "(select count(*) from record it where it.causeh = record.idh)")
"""The same, with how many records name the event as their cause, by 64 bits of its reference."""
EFFECTS = -3
"""Where that number is; None: it was not asked for."""
VERSION = 15
"""Which character of a UUID says how it was made."""
REMEMBERED = 4_096
"""Sources, and times: what follows from an event has its time."""
StoredRow = tuple[Any, ...]
"""A row's values of these columns."""

_new = tuple.__new__
"""Makes a named tuple of all its items in a third of the time."""
_pick = picker("ce_source", "ce_time", "ce_causationid", "ce_causationsource", "ce_correlationid")


class RowReader:
    """Makes events of rows with these columns. Used by one thread."""

    def __init__(self, codec: Codec) -> None:
        self._decode = codec.decode
        self._sources: dict[bytes | None, tuple[str, bool, bool]] = {None: ("", False, True)}
        """A source's text; whether a worker writes it: then an id that was derived is a reference; and `is_ours`."""
        self._times: dict[bytes | None, datetime] = {}

    def event(self, row: StoredRow) -> RecordedEvent:
        """What `read_recorded` makes of the record; the columns say what took most of the time to find out.

        Raises HistoryError for one that does not read here.
        """
        (
            recorded, ns, part, seq, time, event_id, causeh, kind, ordinal, accepted, by, reason, expected, high, latest, _, value,
            headers,
        ) = row  # fmt: skip
        try:
            data = self._decode(value)
        except StreamsError as error:
            raise HistoryError(f"{ns}-{part}:{seq} of the recorded past does not read here: {error}") from error
        source_text, at, caused, caused_source, chain = _pick(headers)
        source, is_derived, ours = self._sources.get(source_text) or self._source(source_text or b"")
        when = self._times.get(at) or self._time(at, time)
        if causeh is None:
            reference, cause = event_id if ours and is_uuid(event_id) else reference_of(source, event_id), None
            event = Event(data, event_id, when, None, event_id, source)
        else:
            reference = event_id if is_derived else reference_of(source, event_id)
            caused_id = (caused or b"").decode()
            cause_source, _, ours = self._sources.get(caused_source) or self._source(caused_source or b"")
            cause = caused_id if ours and is_uuid(caused_id) else reference_of(cause_source, caused_id)
            event = Event(data, event_id, when, caused_id, chain.decode() if chain else None, source)
        order = _new(OrderKey, (recorded, ns, part, seq, 0, 0))
        return RecordedEvent(
            order, event, reference, kind, accepted == 1, value, cause, ordinal, by, reason, expected,
            high, latest,
        )  # fmt: skip

    def _time(self, text: bytes | None, time: int) -> datetime:
        if not text:
            return from_micros(time)
        if len(self._times) >= REMEMBERED:
            self._times.clear()
        when = self._times[text] = datetime.fromisoformat(text.decode())
        return when

    def _source(self, text: bytes) -> tuple[str, bool, bool]:
        if len(self._sources) >= REMEMBERED:
            self._sources.clear()
        source = text.decode()
        found = self._sources[text] = source, is_workers(source), is_ours(source)
        return found


class StoredEvents(RowReader):
    """Reads a file, by the thread that its connection is used by. Raises sqlite3.Error."""

    def __init__(self, db: sqlite3.Connection, codec: Codec) -> None:
        super().__init__(codec)
        self._db = db

    def rows(self, at: NamespacePartition, after: int, last: int, most: int, columns: str = COLUMNS) -> list[StoredRow]:
        """At most `most` of one partition, from behind the sequence `after` up to `last`."""
        text = f"select {columns} from record where ns = ? and part = ? and seq > ? and seq <= ? order by seq limit ?"
        found: list[StoredRow] = self._db.execute(text, (*at, after, last, most)).fetchall()
        return found

    def derived_roots(self) -> list[str]:
        """Ids of roots that look as a derived reference does: such an id may be another event's reference."""
        text = f"select id from record where causeh is null and substr(id, {VERSION}, 1) = '5'"
        return [found for (found,) in self._db.execute(text)]

    def known(self, short: Sequence[int]) -> Sequence[int]:
        """Of these 64 bits of references, as a record has them, those that a record has."""
        text = "select distinct idh from record where idh in (select value from json_each(?))"
        return [found for (found,) in self._db.execute(text, (json.dumps(short),))]

    def where(self, condition: str, *values: object) -> Sequence[StoredRow]:
        return self._db.execute(f"select {COLUMNS} from record where {condition}", values).fetchall()
