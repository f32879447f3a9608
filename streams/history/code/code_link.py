"""The code that made a past, in a process of its own: rows come over a pipe, in the order of the past."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import IO, Any

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
    Failed,
    Fold,
    Hello,
    Rows,
    read_answer,
    read_message,
    write_message,
)  # fmt: skip
from streams.history.code.recorded_code import EmissionsByReference, without_recorded
from streams.history.past import Past
from streams.history.recorded_event import LogPlace, RecordedEvent, position_name
from streams.history.stored.stored_events import StoredRow

PATIENCE = 120.0
"""Seconds that the other code may say nothing. It tells itself of a handler that has not returned, which is sooner."""


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
        self._texts, self._give_up = [*schemas], give_up
        self._gave_up = False
        self._handlers, self._records, self._requests, self._answers = handlers, records, requests, answers
        self._sent: deque[list[LogPlace]] = deque()
        self._folded: dict[LogPlace, tuple[bytes | None, int]] = {}
        """By an event's place in its log: the bytes of the row behind it, and how many events it emitted."""
        self._asked = set[LogPlace]()
        """Events that a gateway is to answer."""
        self._timers: dict[LogPlace, list[Emitted]] = {}
        self._refused: dict[LogPlace, str] = {}
        self._count = 0
        hello: Hello = self._receive(Hello)
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
            self._sent.append([record[1:4] for record in piece])
            self._tell(Fold(piece, self._texts))
            self._texts = []

    def _tell(self, message: object) -> None:
        try:
            with self._bounded():
                write_message(self._requests, message)
        except OSError as error:
            while self._answer() is not None:  # it may have said why
                pass
            raise self._ended() from error

    def _receive(self, kind: type[Any]) -> Any:
        answer = self._answer()
        if answer is None:
            raise self._ended()
        if not isinstance(answer, kind):
            raise HistoryError(
                f"the process with the other code said {type(answer).__name__}; {kind.__name__} was expected"
            )
        return answer

    def _answer(self) -> Any:
        """None: there is no other one. Raises HistoryError if the other code has failed."""
        try:
            with self._bounded():
                content = read_message(self._answers)
        except (OSError, EOFError):
            return None
        answer = None if content is None else read_answer(content)
        if isinstance(answer, Failed):
            raise HistoryError(f"the other code cannot tell this past: {answer.why}")
        return answer

    @contextmanager
    def _bounded(self) -> Iterator[None]:
        """Give up if it takes too long."""
        if self._give_up is None:
            yield
            return
        timer = threading.Timer(PATIENCE, self._end_it)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def _end_it(self) -> None:
        self._gave_up = True
        if self._give_up is not None:
            self._give_up()

    def _ended(self) -> HistoryError:
        if not self._gave_up:
            return HistoryError("the process with the other code has ended; its last words are above")
        if not self._sent:
            return HistoryError(f"the other code has said nothing for {PATIENCE:.0f} s: does it load?")
        first = position_name(*self._sent[0][0])
        return HistoryError(
            f"the other code has said nothing for {PATIENCE:.0f} s: it was handling {first}, or one of the "
            f"{len(self._sent[0]):,} events from there on"
        )

    def fold(self, entry: Entry, it: RecordedEvent) -> Entry:
        place = it.order[1:4]
        try:
            value, _ = self._told(it, place)
            keeps_version = not it.accepted or place in self._asked
        finally:
            if place in self._folded:
                self._forget(place)
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
        self._read_up_to(it, place)
        self._forget(place)
        self._timers.pop(place, None)

    def _forget(self, place: LogPlace) -> None:
        """All but its timers, which are asked for once it is folded."""
        _, self._count = self._folded.pop(place)
        self._refused.pop(place, None)
        self._asked.discard(place)

    def count(self) -> int:
        return self._count

    def agrees(self, entry: Entry, it: RecordedEvent, decided: DecidedEvent) -> bool:
        """Bytes are compared: the rows of this code need not be decoded."""
        place = it.order[1:4]
        value, count = self._told(it, place)
        if count != len(decided.emissions) or (self._timers and not self._schedules(place, decided)):
            return False
        if value is None:
            if decided.row is not entry[0] and decided.row != entry[0]:
                return False
        elif value != decided.row_bytes or bool(value) == (decided.row is None):  # of a row that stays there are no bytes, too
            return False
        del self._folded[place]
        self._asked.discard(place)
        self._timers.pop(place, None)
        return True

    def _schedules(self, place: LogPlace, decided: DecidedEvent) -> bool:
        timers = self._timers.get(place)
        return timers is None or sorted(it[1:] for it in timers) == timers_of(decided, self._handlers.codec)

    def _told(self, it: RecordedEvent, place: LogPlace) -> tuple[bytes | None, int]:
        found = self._folded.get(place)
        if found is None:
            self._read_up_to(it, place)
            found = self._folded[place]
        if self._refused and place in self._refused:
            raise CodeChanged(self._refused[place])
        return found

    def _read_up_to(self, it: RecordedEvent, place: LogPlace) -> None:
        while place not in self._folded:
            if not self._sent:
                self._send()
            if not self._sent:
                raise HistoryError(f"{it.name} was recorded after this past was read")
            self._take_rows()
            self._send()

    def in_flight(self, past: Past, it: RecordedEvent, row: Record | None) -> EmissionsByReference:  # noqa: ARG002 - the child knows the row
        self._settle()
        self._tell(EmissionsQuestion(it.order[1:4]))
        return without_recorded(past, it, _by_reference(self._receive(EmissionsAnswer).emissions))

    def _settle(self) -> None:
        """Read the rows that are on their way: answers come in the order of the questions."""
        while self._sent:
            self._take_rows()

    def _take_rows(self) -> None:
        found = self._receive(Rows)
        places = self._sent.popleft()
        self._folded.update(zip(places, zip(found.rows, found.counts, strict=True), strict=True))
        self._asked.update(places[number] for number in found.requests)
        self._timers.update({places[number]: timers for number, timers in found.timers.items()})
        self._refused.update({places[number]: why for number, why in found.refused.items()})

    def scheduled(self, it: RecordedEvent) -> EmissionsByReference:
        return _by_reference(self._timers.pop(it.order[1:4], ()))
