"""Executing an admitted event: its handler is called, and the result is added to the batch's changes."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from streams.data import Record
from streams.engine.attempts import Attempt, Attempts
from streams.engine.changes import HandledRecord, PendingCall
from streams.engine.emissions import EmissionRecords, Emissions
from streams.engine.envelope import Arrival
from streams.engine.event_handlers import EventHandler, EventHandlers, Limits
from streams.engine.identity import timer_number
from streams.engine.overlay import Overlay
from streams.engine.readable import readable, shortened
from streams.engine.records import ACCEPTED, NO_OFFSET, REASON_LIMIT, REJECTED, Entry
from streams.engine.times import to_micros
from streams.engine.wire_format import WireFormat
from streams.errors import InvalidEvent
from streams.outcome import Emission, Rejected

BELIEVED_AHEAD = 3_600_000_000
"""µs that a cause's recorded time may be ahead of this clock: one that is further ahead has no effect."""
ABSENT: Entry = (None, 0)


class Decision(msgspec.Struct):
    """A handler's decision; with a `reason` the event was rejected, and the row stays. A deleted row has no bytes."""

    emit: Sequence[Emission] = ()
    row: Record | None = None
    row_bytes: bytes = b""
    reason: str | None = None
    wrong_version: bool = False


class Execution:
    """Executes the events of one batch in its overlay."""

    def __init__(self, handlers: EventHandlers, wire: WireFormat, overlay: Overlay, attempts: Attempts) -> None:
        self.attempts, self.emissions = attempts, Emissions(handlers.source, wire)
        self._handlers, self._wire, self._overlay, self._changes = handlers, wire, overlay, overlay.changes

    def out_of_time(self) -> bool:
        """Whether the batch should call no more handlers."""
        return self.attempts.out_of_time()

    def execute(self, arrival: Arrival) -> BaseException | None:
        """Call the handler and record the result. If it raised, returns the exception and records nothing."""
        try:
            decided = self._decide(self._handlers.by_event[type(arrival.event.data)], arrival)
        except BaseException as error:  # whatever a handler raises parks its event, and stops nobody else
            if self.is_ctrl_c(error):
                raise
            return error
        return self.conclude(arrival, decided)

    def is_ctrl_c(self, error: BaseException) -> bool:
        """Whether it is Ctrl-C, in a test or a fold, and no handler's; Python raises it in no other thread."""
        return isinstance(error, KeyboardInterrupt) and self.attempts.ctrl_c

    def rejected(self, arrival: Arrival, no: Rejected) -> BaseException | None:
        """Record that the handler has raised `no`. If that is odd, returns the exception and records nothing."""
        try:
            decided = _rejection(no)
        except BaseException as error:  # its reason is whatever a handler gave
            if self.is_ctrl_c(error):
                raise
            return error
        return self.conclude(arrival, decided)

    def conclude(self, arrival: Arrival, decided: Decision) -> BaseException | None:
        """Record what was decided. If its emissions raise, returns the exception and records nothing."""
        event, envelope, key, emit = arrival.event, arrival.envelope, arrival.key, decided.emit
        handler, recorded = self._handlers.by_event[type(event.data)], self._recorded(arrival)
        try:
            around = envelope.hops, envelope.trace
            following = self.emissions.of(event, around, recorded, emit, handler.emits) if emit else None
        except BaseException as error:  # a generator's may be anything
            if self.is_ctrl_c(error):
                raise
            return error
        if decided.reason is not None:
            handled = self._note_rejected(arrival, recorded, decided.reason, wrong_version=decided.wrong_version)
        else:
            handled = self._note(arrival, recorded)
            if handler.function is None:
                offset, timer = self._overlay.position_of(arrival)
                self._overlay.ask(
                    PendingCall(event, recorded, offset, handled.value, envelope.carried, envelope.hops, timer)
                )
            else:
                self._changes.rows[key] = (decided.row, handled.sequence)
                self._changes.row_bytes[key] = decided.row_bytes
        if following is not None:
            self.follow(handled, following)
        return None

    def _decide(self, handler: EventHandler, arrival: Arrival) -> Decision:
        """Raises what the handler raised, except Rejected, and InvalidEvent for a row that cannot be encoded."""
        row, version = self._overlay.entry(arrival.key) or ABSENT
        expected = arrival.envelope.expected_version
        if expected is not None and (reason := wrong_version(expected, row, version)) is not None:
            return Decision(reason=reason, wrong_version=True)
        changes, attempts = self._changes, self.attempts
        number = timer_number(arrival.event.reference) if arrival.timer else arrival.record[0]
        try:
            attempts.began(Attempt(changes.partition, changes.inbox_next, number, handler.event_type, arrival.key))
            try:
                outcome = self._handlers.decide(handler, row, arrival.event)
            finally:
                attempts.ended()
        except Rejected as no:
            return _rejection(no)
        if handler.function is None:
            return Decision(outcome.emit)
        return Decision(outcome.emit, *self._encoded_row(handler, outcome.row))  # a mapping of its own that refuses is a bug

    def follow(self, handled: HandledRecord, following: EmissionRecords) -> None:
        """Add what follows from an event."""
        handled.emissions = following.emissions
        self._changes.emitted += following.now
        self._changes.counters.emitted += len(following.now)
        for due in following.later:
            self._overlay.schedule(due)

    def reject(self, arrival: Arrival, reason: str, by: str) -> None:
        """Reject the event without calling its handler."""
        self._note_rejected(arrival, self._recorded(arrival), reason, by=by)

    def _note(self, arrival: Arrival, recorded: int, outcome: str = ACCEPTED) -> HandledRecord:
        """Append to the log, add the id to the duplicate window, and count."""
        changes, counters, envelope, event = self._changes, self._changes.counters, arrival.envelope, arrival.event
        offset, record_key, value, _, _ = arrival.record
        assert value is not None
        changes.sequence = sequence = changes.sequence + 1
        changes.recorded = recorded
        if outcome == ACCEPTED:
            counters.accepted += 1
        if arrival.digest is not None:
            changes.remembered[arrival.digest] = (sequence, hash(value), outcome)
        fingerprint = self._wire.codec.fingerprint(value)
        handled = HandledRecord(
            offset, outcome, event, sequence, recorded, None, False, False, (), record_key or b"", value, envelope.carried,
            fingerprint,
        )  # fmt: skip
        if envelope.id is None or envelope.time is None:
            handled.own_id = None if envelope.id else event.id
            handled.own_time = None if envelope.time else to_micros(event.time)
        if arrival.timer:
            handled.offset, handled.timer = NO_OFFSET, True
            counters.fired += 1
        changes.results.append(handled)
        return handled

    def _note_rejected(
        self, arrival: Arrival, recorded: int, reason: str, *, wrong_version: bool = False, by: str | None = None
    ) -> HandledRecord:
        """As `_note`."""
        handled, counters = self._note(arrival, recorded, REJECTED), self._changes.counters
        counters.rejected += 1
        counters.derived_rejected += arrival.event.cause is not None
        handled.reason, handled.wrong_version, handled.by = readable(reason), wrong_version, by
        return handled

    def _encoded_row(self, handler: EventHandler, row: Record | None) -> tuple[Record | None, bytes]:
        """The row frozen all the way down, and its bytes (none for a deleted row)."""
        if row is None:
            return None, b""
        frozen, encoded = self._wire.codec.encode_frozen(row)
        if len(encoded) > self._wire.limits.row_bytes:
            raise row_too_large(handler, encoded, self._wire.limits)
        return frozen, encoded

    def _recorded(self, arrival: Arrival) -> int:
        """Later than the partition's last record and than its cause, if that is at most an hour ahead (rules 10 and 18)."""
        ahead = None if arrival.event.cause is None else arrival.envelope.cause_time
        return recorded_time(self._changes.recorded, self._overlay.now, ahead)


def recorded_time(last: int, now: int, cause: int | None) -> int:
    """Of a record behind one of the time `last`. All are in µs; None: it has no cause."""
    recorded = max(last + 1, now)
    return max(recorded, cause + 1) if cause is not None and cause <= now + BELIEVED_AHEAD else recorded


def _rejection(no: Rejected) -> Decision:
    """What a handler has decided by raising it."""
    return Decision(no.emit, reason=shortened(str(no.reason), REASON_LIMIT))


def row_too_large(handler: EventHandler, encoded: bytes, limits: Limits) -> InvalidEvent:
    """The error for a row that is larger than allowed."""
    return InvalidEvent(
        f"the row that {handler.event_type} leaves holds {len(encoded)} bytes; a row may hold {limits.row_bytes}"
    )


def wrong_version(expected: int | None, row: Record | None, version: int) -> str | None:
    """The reason to reject an event whose row is not at the version that its publisher expects (0: there is no row)."""
    if expected is None or expected == version or (expected == 0 and row is None):
        return None
    return f"wrong version: expected {expected}, the row is at {version if row else 0}"
