"""Whether what waits is what the log says is open: gateways' calls, timers, and what is set aside (rules 12 and 23)."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple

from streams.engine.envelope import (
    CALL,
    KEY_HEADER,
    TIMER,
    DueHeader,
    Envelope,
    ParkedHeader,
    due_header,
    parked_header,
    without_packed,
)
from streams.engine.records import PARKED, QUARANTINED, UNANSWERED, Headers, QueuePosition
from streams.engine.times import to_micros
from streams.errors import SchemaNotFound, StreamsError, UnsupportedSchema
from streams.history.recorded_event import NamespacePartition, position_name
from streams.history.verification.verification_emissions import FoundEvent
from streams.history.verification.verification_events import EventReader, StoredEvent, is_as_written
from streams.history.verification.verification_findings import (
    ANSWER,
    PENDING,
    UNREADABLE,
    Findings,
    offset_name,
)
from streams.history.verification.verification_records import hash_of, identity_of


class OpenCall(NamedTuple):
    """A request that has no answer in the log yet. One that is not `due` may not be readable as a whole yet."""

    sequence: int
    reference: str
    key: str
    recorded: int
    hash: int
    due: bool


class SetAsideEvent(NamedTuple):
    """`event` is None if it does not read, `hash` if only its inbox has its bytes."""

    position: QueuePosition
    header: ParkedHeader
    value: bytes
    event: StoredEvent | None
    hash: int | None


class DueEvent(NamedTuple):
    """What the due topic holds under `name`."""

    name: str
    header: DueHeader
    value: bytes
    event: StoredEvent
    hash: int


class PendingCheck:
    """Of one partition."""

    def __init__(self, at: NamespacePartition, findings: Findings, reader: EventReader) -> None:
        self._at, self._findings, self._reader = at, findings, reader
        self._due: dict[str, tuple[bytes, Headers]] = {}
        self._parked: dict[QueuePosition, tuple[bytes, Headers]] = {}
        self._open: dict[int, OpenCall] = {}
        self._strays: list[tuple[int, int, str]] = []
        """Answers without an open request: that one's identity, the answer's sequence, its event."""
        self._for_others: list[FoundEvent] = []
        """Timers of schemas that this code does not read."""
        self.touched: set[str] = set()
        """References of calls that were asked or answered after the due topic was read."""
        self.timers = self.calls = self.released = 0
        """Pending: timers, calls, and of the timers those that are published when they are due."""

    @property
    def parked_count(self) -> int:
        return len(self._parked)

    @property
    def strays(self) -> set[int]:
        return {request for request, _, _ in self._strays}

    def take_due(self, name: str, value: bytes | None, headers: Headers) -> None:
        if value is None:
            self._due.pop(name, None)
        else:
            self._due[name] = (value, headers)

    def take_parked(self, position: QueuePosition, value: bytes | None, headers: Headers) -> None:
        if value is None:
            self._parked.pop(position, None)
        else:
            self._parked[position] = (value, headers)

    def by_reference(self) -> set[int]:
        return {position.offset for position, (value, _) in self._parked.items() if not value}

    def ask(self, request: int, call: OpenCall) -> None:
        self._open[request] = call

    def answer(self, request: int, sequence: int, event_type: str) -> None:
        if self._open.pop(request, None) is None:
            self._strays.append((request, sequence, event_type))

    def set_aside(self) -> Iterator[SetAsideEvent]:
        """What is set aside now, read."""
        for position, (value, headers) in self._parked.items():
            carried = without_packed(headers)
            try:
                header = parked_header(headers)
            except StreamsError as error:
                self._unreadable(f"what is set aside at {position}", error, position.offset)
                continue
            key = next((text for name, text in headers if name == KEY_HEADER), b"")
            by_reference = header.status == QUARANTINED and not value
            event = None
            try:
                event = self._reader.read(value, self._reader.wire.envelopes.read(carried), header.id, header.time)
            except StreamsError:
                if header.status != QUARANTINED:
                    self._findings.unchecked("parked events that do not read here", offset_name(self._at, position.offset))
            yield SetAsideEvent(position, header, value, event, None if by_reference else hash_of(key, value, carried))

    def pending(self) -> list[DueEvent]:
        """What is due or waits for an answer, read."""
        found = []
        for name, (value, headers) in self._due.items():
            try:
                header, carried = due_header(headers), without_packed(headers)
                own_id = header.id or (name if header.kind == TIMER else None)
                envelope = self._reader.wire.envelopes.read(carried)
            except StreamsError as error:
                self._unreadable(f"what is due as {name}", error)
                continue
            try:
                event = self._reader.read(value, envelope, own_id, header.time)
            except StreamsError as error:  # a schema that nobody knows may be a bit that flipped
                if not isinstance(error, UnsupportedSchema) or isinstance(error, SchemaNotFound):
                    self._unreadable(f"what is due as {name}", error)
                    continue
                self._unsupported(name, header, envelope, error)
            else:
                found.append(DueEvent(name, header, value, event, hash_of(header.key.encode(), value, carried)))
            self.timers += header.kind == TIMER
            self.calls += header.kind == CALL
            self.released += header.kind == TIMER and not header.own
        return found

    def _unsupported(self, name: str, header: DueHeader, envelope: Envelope, error: UnsupportedSchema) -> None:
        """Something for other code: it is there, and nothing is said of what it holds."""
        self._findings.unchecked(f"timers and calls that this application cannot read ({error})", f"{self._at[0]}-{self._at[1]}")
        if header.kind == TIMER and envelope.cause is not None:
            cause = identity_of(envelope.cause_source, envelope.cause)
            event_id = identity_of(envelope.source, envelope.id or name)
            self._for_others.append(FoundEvent(None, event_id, cause, envelope.type or "", self._at, 0, is_offset=False))

    def timers_found(self, pending: Sequence[DueEvent]) -> Iterator[FoundEvent]:
        """The timers that are pending, as derived events."""
        yield from self._for_others
        for name, header, value, event, _ in pending:
            if header.kind != TIMER:
                continue
            at = to_micros(event.event.time)
            if at != header.at or name != event.event.id or event.cause is None or not is_as_written(event):
                expected = f"the timer {event.event.id}, due at {at} (µs since 1970) as its event says, with its cause"
                self._wrong(expected, f"{name}, due at {header.at}", None)
            if event.cause is not None:
                saying = self._reader.recorded_saying(event, value, in_place=header.own)
                yield FoundEvent(saying, event.id, event.cause, saying.event_type, self._at, 0, is_offset=False)

    def check_calls(
        self, aside: Sequence[SetAsideEvent], pending: Sequence[DueEvent], excused: Collection[str], *, exact: bool, whole: bool
    ) -> None:
        """Compare what waits with the requests that the log leaves open.

        Calls of `excused` keys may be gone: an operator gave one up, or deleted an answer. `exact`: nothing was handled here
        meanwhile. `whole`: the log was read to its end.
        """
        parked = {it.event.id: it for it in aside if it.header.status == UNANSWERED and it.event is not None}
        answers = {it.event.cause for it in aside if it.header.status == PARKED and it.event is not None and it.event.request}
        calls = {it.event.id: it for it in pending if it.header.kind == CALL}
        for request, call in self._open.items():
            at = position_name(*self._at, call.sequence)
            due, unanswered = calls.pop(request, None), parked.get(request)
            if due is not None:
                if due.hash != call.hash or due.header.at != call.recorded:
                    self._wrong(f"the call of {at} with its bytes and its time", "others", call)
            elif unanswered is not None:
                if unanswered.hash != call.hash:
                    self._wrong(f"the request {at}, set aside with its bytes", "others", call)
            elif call.due and whole and not (request in answers or call.key in excused or call.reference in self.touched):
                self._wrong("its answer in the log, or the call pending, or one of them set aside", "none of them", call)
        for due in calls.values() if exact else ():
            expected = f"the request of the pending call {due.name} in the log, without an answer"
            self._wrong(expected, "it was answered, or is not there", None)

    def check_answers(self, known: Collection[int], opaque: Collection[int], *, whole: bool) -> None:
        """`known` has the ids that are in the log, `opaque` those that could not be read or decided there.

        `whole`: the log could be read from its first record.
        """
        for request, sequence, event_type in self._strays:
            if request in opaque or (not whole and request not in known):
                self._findings.unchecked("answers whose request could not be read", position_name(*self._at, sequence))
            else:
                found = "its request was answered before" if request in known else "its request is in no log"
                self._findings.add(ANSWER, self._at, f"an open request for this {event_type}", found, sequence=sequence)

    def _unreadable(self, what: str, error: Exception, offset: int | None = None) -> None:
        self._findings.add(UNREADABLE, self._at, f"{what} to be what a worker writes", str(error), offset=offset)

    def _wrong(self, expected: str, found: str, call: OpenCall | None) -> None:
        sequence, key = (0, None) if call is None else (call.sequence, call.key)
        self._findings.add(PENDING, self._at, expected, found, sequence=sequence, key=key)
