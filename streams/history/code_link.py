"""The code that made a past, in a process of its own: rows come over a pipe, in the order of the past.

A message is its length in 4 bytes and MessagePack. The parent sends records by the hundred and asks for emissions; the child
answers with the rows that its handlers make of them. It is told nothing else, and writes nothing else.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import islice
from typing import IO, Any

import msgspec

from streams.app import App
from streams.codec import codec_of
from streams.data import Record
from streams.engine.envelope import from_micros, to_micros
from streams.engine.execution import ABSENT
from streams.engine.records import Entry
from streams.errors import HistoryError, InvalidSchema, StreamsError
from streams.history.application_handlers import ApplicationHandlers
from streams.history.local_code import emitted, scheduled
from streams.history.past import Past
from streams.history.recorded_code import Unhandled, without_recorded
from streams.history.recorded_event import Place, RecordedEvent
from streams.history.stored_events import RowReader, StoredRow
from streams.history.stored_scan import LogPlace

PIECE = 1_000
"""Records of one message."""
PROTOCOL = 3
"""Of these messages: the other code may run with another version of retold."""
LARGEST = 1 << 30
"""Bytes of a message."""
KEPT = 4 * PIECE
"""Events whose rows a child keeps, to answer for their emissions."""


class Fold(msgspec.Struct, frozen=True, tag="fold"):
    """Rows of a file's records, as `COLUMNS` names their values; `schemas` are those that were not sent before."""

    records: list[StoredRow]
    schemas: list[str] = []


class EmissionsQuestion(msgspec.Struct, frozen=True, tag="emissions"):
    """A question for what the event at a place of a log has emitted."""

    place: LogPlace


class Hello(msgspec.Struct, frozen=True, tag="hello"):
    """The child's first message: which application it has loaded, and the schemas that its rows are written with."""

    application: str
    schemas: list[str]
    protocol: int = 1


Emitted = tuple[str, bytes, int]
"""Reference, value and time (µs)."""


class Rows(msgspec.Struct, frozen=True, tag="rows"):
    """For each record its row's bytes, empty for none; None: it stays as it was. And by its number the timers that it scheduled."""

    rows: list[bytes | None]
    timers: dict[int, list[Emitted]] = {}


class EmissionsAnswer(msgspec.Struct, frozen=True, tag="emitted"):
    """All that an event has emitted."""

    emissions: list[Emitted]


class Failed(msgspec.Struct, frozen=True, tag="failed"):
    """Why this code cannot tell this past."""

    why: str


_requests = msgspec.msgpack.Decoder(Fold | EmissionsQuestion)
_answers = msgspec.msgpack.Decoder(Hello | Rows | EmissionsAnswer | Failed)


def _write(pipe: IO[bytes], message: object) -> None:
    content = msgspec.msgpack.encode(message)
    pipe.write(len(content).to_bytes(4, "big") + content)
    pipe.flush()


def _read(pipe: IO[bytes]) -> bytes | None:
    """None at its end. Raises OSError or EOFError for a message that is cut off."""
    size = pipe.read(4)
    if not size:
        return None
    wanted = int.from_bytes(size, "big")
    content = pipe.read(wanted) if wanted <= LARGEST else b""
    if len(size) != 4 or len(content) != wanted:
        raise EOFError
    return content


class CodeServer:
    """The child's side: folds what it is sent, with the handlers that it has."""

    def __init__(self, app: App) -> None:
        self._codec = codec_of(app)
        self._handlers, self._reader = ApplicationHandlers(app, self._codec), RowReader(self._codec)
        self._rows: dict[Place, Entry] = {}
        self._recent: OrderedDict[LogPlace, tuple[RecordedEvent, Record | None]] = OrderedDict()

    def serve(self, requests: IO[bytes], answers: IO[bytes], schemas: list[str]) -> None:
        """Until `requests` ends."""
        _write(answers, Hello(self._handlers.app.name, schemas, PROTOCOL))
        while (content := _read(requests)) is not None:
            request = _requests.decode(content)
            try:
                answer = self._fold(request) if isinstance(request, Fold) else self._emissions(request)
            except StreamsError as error:
                answer = Failed(str(error))
            _write(answers, answer)

    def _fold(self, request: Fold) -> Rows:
        found: list[bytes | None] = []
        timers: dict[int, list[Emitted]] = {}
        for text in request.schemas:
            with suppress(InvalidSchema):  # what is written with it says so when it is read
                self._codec.add_schema(text)
        for number, record in enumerate(request.records):
            if self._codec.is_unhandled(record[-2]):  # to this code, nothing has happened
                found.append(None)
                continue
            event = self._reader.event(record)
            place = record[1], event.key
            before = self._rows.get(place, ABSENT)
            entry, emissions = self._handlers.fold_and_emit(before, event)
            self._rows[place] = entry
            if emissions and (later := scheduled(self._handlers, event, emissions)):
                timers[number] = _listed(later)
            self._recent[event.order[1:4]] = event, before[0]
            row = entry[0]
            same = row is before[0]
            found.append(None if same else b"" if row is None else self._handlers.codec.encode_frozen(row)[1])
        while len(self._recent) > KEPT:
            self._recent.popitem(last=False)
        return Rows(found, timers)

    def _emissions(self, request: EmissionsQuestion) -> EmissionsAnswer | Failed:
        found = self._recent.get(request.place)
        if found is None:
            return Failed(f"the event at {request.place} was folded too long ago")
        return EmissionsAnswer(_listed(emitted(self._handlers, *found)))


def _listed(emissions: Unhandled) -> list[Emitted]:
    return [(reference, value, to_micros(time)) for reference, (value, time) in emissions.items()]


def _by_reference(emissions: Sequence[Emitted]) -> Unhandled:
    return {reference: (value, from_micros(time)) for reference, value, time in emissions}


class CodeLink:
    """The parent's side, a RecordedCode. `records` are the rows of all events, in the total order; `schemas` wrote them."""

    def __init__(
        self,
        handlers: ApplicationHandlers,
        records: Iterator[StoredRow],
        requests: IO[bytes],
        answers: IO[bytes],
        schemas: Sequence[str] = (),
    ) -> None:
        self._texts = [*schemas]
        self._handlers, self._records, self._requests, self._answers = handlers, records, requests, answers
        self._sent: deque[list[LogPlace]] = deque()
        self._folded: dict[LogPlace, bytes | None] = {}
        """By an event's place in its log: the bytes of the row behind it."""
        self._timers: dict[LogPlace, list[Emitted]] = {}
        hello: Hello = self._receive(Hello)
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
            _write(self._requests, message)
        except OSError as error:
            raise HistoryError(
                f"the process with the other code has ended ({error.strerror}); its last words are above"
            ) from error

    def _receive(self, kind: type[Any]) -> Any:
        try:
            content = _read(self._answers)
        except (OSError, EOFError):
            content = None
        if content is None:
            raise HistoryError("the process with the other code has ended; its last words are above")
        answer = _answers.decode(content)
        if isinstance(answer, Failed):
            raise HistoryError(f"the other code cannot tell this past: {answer.why}")
        if not isinstance(answer, kind):
            raise HistoryError(
                f"the process with the other code said {type(answer).__name__}; {kind.__name__} was expected"
            )
        return answer

    def fold(self, entry: Entry, it: RecordedEvent) -> Entry:
        value = self._row_of(it)
        del self._folded[it.order[1:4]]
        if value is None:
            return entry if not it.accepted else (entry[0], it.order.sequence)
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

    def agrees(self, entry: Entry, it: RecordedEvent, row: Record | None) -> bool:
        """Bytes are compared: the rows of this code need not be decoded."""
        value, place = self._row_of(it), it.order[1:4]
        try:
            if value is None:
                same = row is entry[0] or row == entry[0]
            else:
                same = value == (b"" if row is None else self._handlers.codec.encode_frozen(row)[1])
        except StreamsError:  # what cannot be written is otherwise
            return False
        if not same or place in self._timers:
            return False
        del self._folded[place]
        return True

    def _row_of(self, it: RecordedEvent) -> bytes | None:
        place = it.order[1:4]
        while place not in self._folded:
            if not self._sent:
                self._send()
            if not self._sent:
                raise HistoryError(f"{it.name} was recorded after this past was read")
            self._take_rows()
            self._send()
        return self._folded[place]

    def unhandled(self, past: Past, it: RecordedEvent, row: Record | None) -> Unhandled:  # noqa: ARG002 - the child knows the row
        self._settle()
        self._tell(EmissionsQuestion(it.order[1:4]))
        return without_recorded(past, it, _by_reference(self._receive(EmissionsAnswer).emissions))

    def _settle(self) -> None:
        """Read the rows that are on their way: answers come in the order of the questions."""
        while self._sent:
            self._take_rows()

    def _take_rows(self) -> None:
        places, found = self._sent.popleft(), self._receive(Rows)
        self._folded.update(zip(places, found.rows, strict=True))
        self._timers.update({places[number]: timers for number, timers in found.timers.items()})

    def scheduled(self, it: RecordedEvent) -> Unhandled:
        return _by_reference(self._timers.pop(it.order[1:4], ()))
