"""The child's side of two versions of one code: it folds what it is sent, with the handlers that it has."""

from __future__ import annotations

import time
from collections import OrderedDict
from contextlib import suppress
from typing import IO

from streams.app import App
from streams.codec import codec_of
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
"""Events whose rows a child keeps, to answer for their emissions."""


class CodeServer:
    """One for each process: it keeps all rows. A handler that hangs is told by `hung`, since `serve` cannot."""

    def __init__(self, app: App) -> None:
        self._codec = codec_of(app)
        self._handlers, self._reader = ApplicationHandlers(app, self._codec), RowReader(self._codec)
        self._rows: dict[Place, Entry] = {}
        self._refused: dict[Place, str] = {}
        """Rows that this code cannot tell any more, and why."""
        self._recent: OrderedDict[LogPlace, tuple[RecordedEvent, Record | None]] = OrderedDict()
        self._handling: tuple[LogPlace, float] | None = None
        """The place of the event that is being handled, and since when."""

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
        """What to answer instead if a handler has not returned for so long; for another thread."""
        handling = self._handling
        if handling is None or time.monotonic() - handling[1] < seconds:
            return None
        return Failed(f"its handler has not returned for {seconds:.0f} s, for the event {position_name(*handling[0])}")

    def _fold(self, request: Fold) -> Rows:
        found: list[bytes | None] = []
        timers: dict[int, list[Emitted]] = {}
        counts: dict[int, int] = {}
        refused: dict[int, str] = {}
        for text in request.schemas:
            with suppress(InvalidSchema):  # what is written with it says so when it is read
                self._codec.add_schema(text)
        for number, record in enumerate(request.records):
            if self._codec.is_unhandled(record[-2]):  # to this code, nothing has happened
                found.append(None)
                continue
            self._handling = record[1:4], time.monotonic()
            event = self._reader.event(record)
            place = record[1], event.key
            if place not in self._refused:
                try:
                    found.append(self._told(event, number, counts, timers))
                    continue
                except CodeChanged as error:
                    self._refused[place] = error.why
                    self._rows.pop(place, None)
            refused[number] = self._refused[place]
            found.append(None)
        while len(self._recent) > KEPT:
            self._recent.popitem(last=False)
        return Rows(found, timers, counts, refused)

    def _told(
        self, event: RecordedEvent, number: int, counts: dict[int, int], timers: dict[int, list[Emitted]]
    ) -> bytes | None:
        """The row behind an event, as `Rows` has it. Raises CodeChanged."""
        place = event.order[1], event.key
        before = self._rows.get(place, ABSENT)
        entry, emissions, later = fold_whole(self._handlers, before, event)
        row = entry[0]
        try:
            value = None if row is before[0] else b"" if row is None else self._handlers.codec.encode_frozen(row)[1]
        except Exception as error:  # a worker parks the event for it
            raise now_raises(event, error) from error
        self._rows[place] = entry
        if emissions:
            counts[number] = len(emissions)
        if later:
            timers[number] = _listed(later)
        self._recent[event.order[1:4]] = event, before[0]
        return value

    def _emissions(self, request: EmissionsQuestion) -> EmissionsAnswer | Failed:
        found = self._recent.get(request.place)
        if found is None:
            return Failed(f"the event at {position_name(*request.place)} was folded too long ago")
        self._handling = request.place, time.monotonic()
        try:
            return EmissionsAnswer(_listed(emitted(self._handlers, *found)))
        except CodeChanged:  # of an event that was rejected: its row is known, and what it emitted is not
            return EmissionsAnswer([])


def _listed(emissions: EmissionsByReference) -> list[Emitted]:
    return [(reference, value, to_micros(time)) for reference, (value, time) in emissions.items()]
