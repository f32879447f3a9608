"""The child's side of two versions of one code: it folds what it is sent, with the handlers that it has."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import IO, Any

from streams.app import App
from streams.codec import PREFIX, codec_of
from streams.data import Record
from streams.engine.execution import ABSENT
from streams.engine.records import Entry
from streams.engine.times import to_micros
from streams.errors import CodeChanged, InvalidSchema, StreamsError
from streams.history.code.application_handlers import ApplicationHandlers, now_raises
from streams.history.code.code_messages import (
    PIECE,
    PROTOCOL,
    EmissionsAnswer,
    EmissionsQuestion,
    Emitted,
    Failed,
    Fold,
    Hello,
    Rows,
    read_message,
    read_request,
    write_message,
)  # fmt: skip
from streams.history.code.local_code import emitted, fold_whole
from streams.history.code.recorded_code import EmissionsByReference
from streams.history.recorded_event import LogPlace, Place, RecordedEvent, position_name
from streams.history.stored.stored_events import RowReader

KEPT = 4 * PIECE
"""Events whose rows a child keeps, to answer for their emissions; it may be twice as many."""
Recent = dict[LogPlace, tuple[RecordedEvent, Record | None]]


class CodeServer:
    """One for each process: it keeps all rows. A handler that hangs is told by `hung`, since `serve` cannot."""

    def __init__(self, app: App) -> None:
        self._codec = codec_of(app)
        self._handlers, self._reader = ApplicationHandlers(app, self._codec), RowReader(self._codec)
        self._rows: dict[Place, Entry] = {}
        self._refused: dict[Place, str] = {}
        """Rows that this code cannot tell any more, and why."""
        self._recent, self._before = Recent(), Recent()
        """Events, and the rows before them: the last ones, and those before."""
        self._handled = set[bytes]()
        """How values begin that this application has a class for."""
        self._handling: tuple[Any, ...] | None = None
        """The row of the event that is being handled."""
        self._watched: tuple[tuple[Any, ...] | None, float] = None, 0.0
        """What was being handled when it was last asked for, and since when."""

    def serve(self, requests: IO[bytes], answers: IO[bytes], schemas: list[str]) -> None:
        """Until `requests` ends."""
        write_message(answers, Hello(self._handlers.app.name, schemas, PROTOCOL))
        while (content := read_message(requests)) is not None:
            request = read_request(content)
            try:
                answer = self._fold(request) if isinstance(request, Fold) else self._emissions(request)
            except StreamsError as error:
                answer = Failed(str(error))
            finally:
                self._handling = None
            write_message(answers, answer)

    def hung(self, seconds: float) -> Failed | None:
        """What to answer instead if a handler has not returned for so long; for another thread, which asks again and again."""
        handling, now = self._handling, time.monotonic()
        if handling is not self._watched[0]:
            self._watched = handling, now
        if handling is None or now - self._watched[1] < seconds:
            return None
        return Failed(f"its handler has not returned for {seconds:.0f} s, for the event {position_name(*handling[1:4])}")

    def _fold(self, request: Fold) -> Rows:
        told = Rows([], [], [], {}, {})
        for text in request.schemas:
            with suppress(InvalidSchema):  # what is written with it says so when it is read
                self._codec.add_schema(text)
        for number, record in enumerate(request.records):
            value, count = None, 0
            if self._is_handled(record[-2]):
                self._handling = record
                event = self._reader.event(record)
                place = record[1], event.key
                why = self._refused.get(place) if self._refused else None
                if why is None:
                    try:
                        value, count = self._told(event, place, number, told)
                    except CodeChanged as error:
                        why = self._refused[place] = error.why
                        self._rows.pop(place, None)
                if why is not None:
                    told.refused[number] = why
            told.rows.append(value)
            told.counts.append(count)
        if len(self._recent) > KEPT:
            self._recent, self._before = {}, self._recent
        return told

    def _is_handled(self, value: bytes) -> bool:
        """Otherwise, to this code, nothing has happened."""
        prefix = value[:PREFIX]
        if prefix not in self._handled:
            if self._codec.is_unhandled(value):
                return False
            self._handled.add(prefix)
        return True

    def _told(self, event: RecordedEvent, place: Place, number: int, told: Rows) -> tuple[bytes | None, int]:
        """The row behind an event, and how many it emits, as `Rows` has them; what is seldom is in `told`. Raises CodeChanged."""
        before = self._rows.get(place, ABSENT)
        folded, later = fold_whole(self._handlers, before, event)
        row, value = folded.entry[0], folded.row_bytes
        if row is before[0]:
            value = None
        elif value is None:  # a correction's step has set it
            value = b"" if row is None else self._encoded(event, row)
        self._rows[place] = folded.entry
        if folded.entry is before and event.accepted:
            told.requests.append(number)
        if later:
            told.timers[number] = _listed(later)
        self._recent[event.order[1:4]] = event, before[0]
        return value, len(folded.emissions)

    def _encoded(self, event: RecordedEvent, row: Record) -> bytes:
        try:
            return self._handlers.codec.encode_frozen(row)[1]
        except Exception as error:  # a worker parks the event for it
            raise now_raises(event, error) from error

    def _emissions(self, request: EmissionsQuestion) -> EmissionsAnswer | Failed:
        found = self._recent.get(request.place) or self._before.get(request.place)
        if found is None:
            return Failed(f"the event at {position_name(*request.place)} was folded too long ago")
        self._handling = 0, *request.place
        try:
            return EmissionsAnswer(_listed(emitted(self._handlers, *found)))
        except CodeChanged:  # of an event that was rejected: its row is known, and what it emitted is not
            return EmissionsAnswer([])


def _listed(emissions: EmissionsByReference) -> list[Emitted]:
    return [(reference, value, to_micros(time)) for reference, (value, time) in emissions.items()]
