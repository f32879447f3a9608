"""The code that made a past, in a process of its own: rows come over a pipe, in the order of the past."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import IO

from streams.data import Record
from streams.engine.records import Entry
from streams.engine.times import from_micros
from streams.errors import CodeChanged, HistoryError, StreamsError
from streams.history.code.application_handlers import ApplicationHandlers, DecidedEvent, timers_of
from streams.history.code.code_messages import (
    PIECE,
    PROTOCOL,
    EmissionsAnswer,
    EmissionsQuestion,
    Emitted,
    Fold,
    Hello,
    Rows,
)
from streams.history.code.code_pipe import CodePipe
from streams.history.code.recorded_code import EmissionsByReference, without_recorded
from streams.history.past import Past
from streams.history.recorded_event import LogPlace, RecordedEvent, position_name
from streams.history.stored.stored_events import StoredRow

PATIENCE = 120.0
"""Seconds that the other code may say nothing. It tells itself of a handler that has not returned, which is sooner."""


ToldRow = tuple[StoredRow, bytes | None, int]
"""The row of an event in the file; bytes of the row behind it; how many events it emitted."""


def _leaves(value: bytes | None, entry: Entry, decided: DecidedEvent) -> bool:
    """Whether the row that was decided is the one that the child has told."""
    if value is None:
        return decided.row is entry[0] or decided.row == entry[0]
    return value == decided.row_bytes and decided.reason is None and bool(value) == (decided.row is not None)


def _by_reference(emissions: Sequence[Emitted]) -> EmissionsByReference:
    return {reference: (value, from_micros(time)) for reference, value, time in emissions}


def _refuse_other(hello: Hello, handlers: ApplicationHandlers) -> None:
    """Raises HistoryError for code that is not to be compared with."""
    if hello.application != handlers.app.name:
        raise HistoryError(
            f"the other code is of the application {hello.application!r}, and this one is {handlers.app.name!r}: a change is "
            "compared with a past of its own application"
        )
    if hello.protocol != PROTOCOL:
        raise HistoryError(
            "the other code runs with another version of retold, which speaks otherwise: name a Python that has this one "
            "with --python"
        )


class CodeLink:
    """The parent's side, a RecordedCode. `records` are the rows of all events, in the total order; `schemas` wrote them.

    `give_up` ends the other process, which is done if it says nothing for `PATIENCE`.
    """

    def __init__(
        self,
        handlers: ApplicationHandlers,
        records: Iterator[StoredRow],
        requests: IO[bytes],
        answers: IO[bytes],
        schemas: Sequence[str] = (),
        give_up: Callable[[], None] | None = None,
    ) -> None:
        self._texts, self._handlers, self._records = [*schemas], handlers, records
        self._sent: deque[list[StoredRow]] = deque()
        self._pipe = CodePipe(requests, answers, self._sent, PATIENCE, give_up)
        self._in_order: Iterator[ToldRow] = iter(())
        """Of what the child has told last, and is not in `_folded`: an event's row, as `Rows` has it."""
        self._folded: dict[LogPlace, tuple[bytes | None, int]] = {}
        """By an event's place in its log: the bytes of the row behind it, and how many events it emitted."""
        self._asked = set[LogPlace]()
        """Events that a gateway is to answer."""
        self._timers: dict[LogPlace, list[Emitted]] = {}
        self._refused: dict[LogPlace, str] = {}
        self._count = 0
        hello: Hello = self._pipe.receive(Hello)
        _refuse_other(hello, handlers)
        self._schemas = hello.schemas
        self._send()

    @property
    def schemas(self) -> list[str]:
        """Those that rows come with; the codec must know them before the first row is read."""
        return self._schemas

    def _send(self) -> None:
        """The next records, so that the child works while its last rows are looked at."""
        piece = list(islice(self._records, PIECE))
        if piece:
            self._sent.append(piece)
            self._pipe.tell(Fold(piece, self._texts))
            self._texts = []

    def fold(self, entry: Entry, it: RecordedEvent) -> Entry:
        place = it.order[1:4]
        try:
            value, _ = self._told(place)
            keeps_version = not it.accepted or place in self._asked
        finally:
            if place in self._folded:
                self.leave(it)
        if value is None:
            return entry if keeps_version else (entry[0], it.order.sequence)
        space = self._handlers.spaces.get(it.namespace)
        if not value or space is None:  # of a namespace that this code has not, nothing is told
            return None, it.order.sequence
        try:
            row = self._handlers.codec.decode_row(space.row_type, value)
        except StreamsError as error:
            raise HistoryError(
                f"a row of {it.namespace} that the other code made does not read here: {error}"
            ) from error
        return row, it.order.sequence

    def leave(self, it: RecordedEvent) -> None:
        place = it.order[1:4]
        self._read_up_to(place)
        _, self._count = self._folded.pop(place)
        self._refused.pop(place, None)
        self._asked.discard(place)

    def count(self) -> int:
        return self._count

    def agrees(self, entry: Entry, it: RecordedEvent, decided: DecidedEvent) -> bool:
        return self._agrees_at(it.order[1:4], entry, decided)

    def agrees_with(self, record: StoredRow, entry: Entry, decided: DecidedEvent) -> bool:
        """The same of an event's row, which mostly is the next one of those that were sent."""
        if self._folded and (place := record[1:4]) in self._folded:
            return self._agrees_at(place, entry, decided)
        told = next(self._in_order, None)
        if told is None:
            self._take_next()
            told = next(self._in_order, None)
        if told is None or told[0] is not record:
            self._keep(told)
            return self._agrees_at(record[1:4], entry, decided)
        if told[2] == len(decided.emissions) and _leaves(told[1], entry, decided):
            return True
        self._keep(told)
        return False

    def _agrees_at(self, place: LogPlace, entry: Entry, decided: DecidedEvent) -> bool:
        value, count = self._told(place)
        if count != len(decided.emissions) or (self._timers and not self._schedules(place, decided)):
            return False
        if not _leaves(value, entry, decided):
            return False
        del self._folded[place]
        self._asked.discard(place)
        self._timers.pop(place, None)
        return True

    def _schedules(self, place: LogPlace, decided: DecidedEvent) -> bool:
        timers = self._timers.get(place)
        return timers is None or sorted(it[1:] for it in timers) == timers_of(decided, self._handlers.codec)

    def _told(self, place: LogPlace) -> tuple[bytes | None, int]:
        found = self._folded.get(place)
        if found is None:
            self._read_up_to(place)
            found = self._folded[place]
        if self._refused and place in self._refused:
            raise CodeChanged(self._refused[place])
        return found

    def _read_up_to(self, place: LogPlace) -> None:
        self._keep_all()
        while place not in self._folded:
            if not self._take_next():
                raise HistoryError(f"{position_name(*place)} was recorded after this past was read")
            self._keep_all()

    def _take_next(self) -> bool:
        """False: there are no more."""
        if not self._sent:
            self._send()
        if not self._sent:
            return False
        self._take_rows()
        self._send()
        return True

    def _keep(self, told: ToldRow | None) -> None:
        """For who asks for it by its place."""
        if told is not None:
            self._folded[told[0][1:4]] = told[1:]

    def _keep_all(self) -> None:
        for told in self._in_order:
            self._keep(told)

    def in_flight(self, past: Past, it: RecordedEvent, row: Record | None) -> EmissionsByReference:  # noqa: ARG002 - the child knows the row
        self._settle()
        self._pipe.tell(EmissionsQuestion(it.order[1:4]))
        return without_recorded(past, it, _by_reference(self._pipe.receive(EmissionsAnswer).emissions))

    def _settle(self) -> None:
        """Read the rows that are on their way: answers come in the order of the questions."""
        while self._sent:
            self._take_rows()
        self._keep_all()

    def _take_rows(self) -> None:
        found = self._pipe.receive(Rows)
        records = self._sent.popleft()
        self._keep_all()
        self._in_order = zip(records, found.rows, found.counts, strict=True)
        if not (found.requests or found.timers or found.refused):
            return
        self._keep_all()
        places = [record[1:4] for record in records]
        self._asked.update(places[number] for number in found.requests)
        self._timers.update({places[number]: timers for number, timers in found.timers.items()})
        self._refused.update({places[number]: why for number, why in found.refused.items()})

    def scheduled(self, it: RecordedEvent) -> EmissionsByReference:
        return _by_reference(self._timers.pop(it.order[1:4], ()))
