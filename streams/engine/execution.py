"""An event that may be handled: its handler is asked, and what follows is noted in the batch's changes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from streams.data import Record
from streams.engine.emissions import Emissions
from streams.engine.envelope import Arrival, Envelope, LogHeader, pack, readable, to_micros
from streams.engine.overlay import Overlay
from streams.engine.records import ACCEPTED, REASON_LIMIT, REJECTED, WRONG_VERSION, Call, Entry, LogRecord
from streams.engine.rules import Rule, Rules
from streams.engine.wire import Wire
from streams.errors import InvalidEvent
from streams.event import Event
from streams.outcome import Emission, Rejected

HOUR = 3_600_000_000
ABSENT: Entry = (None, 0)


class Execution:
    """Of one batch: adds to its overlay."""

    def __init__(self, rules: Rules, wire: Wire, overlay: Overlay) -> None:
        self._rules, self._wire, self._overlay, self._changes = rules, wire, overlay, overlay.changes

    def execute(self, arrival: Arrival) -> BaseException | None:
        """Ask the handler, and note what follows. What it raised is given back: nothing is noted then."""
        changes, envelope, event = self._changes, arrival.envelope, arrival.event
        rule, key = self._rules.by_event[type(event.data)], event.key
        row, version = self._overlay.entry(key) or ABSENT
        emit: Sequence[Emission]
        reason, new, row_bytes = None, row, None
        recorded = self._recorded(arrival)
        try:
            try:
                expected = envelope.expected_version
                if expected is not None and expected != version and (expected or row is not None):
                    raise Rejected(f"{WRONG_VERSION} expected {expected}, the row is at {version if row else 0}")
                outcome = self._rules.decide(rule, row, event)
                emit = outcome.emit
                if rule.handler is not None:
                    new, row_bytes = self._settle(rule, outcome.row)
            except Rejected as no:
                emit, reason = no.emit, str(no.reason)[:REASON_LIMIT]
            following = self._emissions(event, envelope, recorded).of(emit, rule.emits) if emit else None
        except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever a handler raises parks its event, and stops nobody else
            return error
        self._accept_or_reject(arrival, recorded, reason)
        if following is not None:
            changes.emitted += following.now
            for due in following.later:
                self._overlay.schedule(due)
            changes.counters.emitted += len(following.now)
        if row_bytes is not None:
            changes.rows[key] = (new, changes.sequence)
            changes.row_bytes[key] = row_bytes
        elif reason is None:
            offset, _, value, _, _ = arrival.record
            place = offset if arrival.place is None else arrival.place
            self._overlay.ask(Call(event, recorded, place, value or b"", envelope.carried, envelope.hops))
        return None

    def reject(self, arrival: Arrival, reason: str) -> None:
        """Without asking the handler."""
        self._accept_or_reject(arrival, self._recorded(arrival), reason)

    def _emissions(self, cause: Event[Any], envelope: Envelope, recorded: int) -> Emissions:
        return Emissions(self._rules.source, self._wire, cause, envelope, recorded, self._overlay.now)

    def _accept_or_reject(self, arrival: Arrival, recorded: int, reason: str | None) -> None:
        """Append to the log, remember the id, and count; with a `reason` it was rejected."""
        changes, event = self._changes, arrival.event
        outcome = ACCEPTED if reason is None else REJECTED
        reason = None if reason is None else readable(reason)
        changes.sequence += 1
        changes.recorded = recorded
        self._log(arrival, outcome, reason)
        if arrival.digest is not None:
            changes.remembered[arrival.digest] = (changes.sequence, hash(arrival.record[2]), outcome)
        if reason is None:
            changes.counters.accepted += 1
            changes.accepted.append(event)
        else:
            changes.counters.rejected += 1
            changes.counters.derived_rejected += event.cause is not None

    def _settle(self, rule: Rule, row: Record | None) -> tuple[Record | None, bytes]:
        """The row frozen all the way down, and its bytes (none for a deleted row)."""
        if row is None:
            return None, b""
        frozen, encoded = self._wire.codec.settle(row)
        if len(encoded) > self._wire.limits.row_bytes:
            raise InvalidEvent(
                f"the row that {rule.event_type} leaves holds {len(encoded)} bytes; "
                f"a row may hold {self._wire.limits.row_bytes}"
            )
        return frozen, encoded

    def _recorded(self, arrival: Arrival) -> int:
        """Later than the partition's last and than its cause, which is believed up to an hour ahead (rules 10 and 18)."""
        recorded = max(self._overlay.now, self._changes.recorded + 1)
        ahead = arrival.envelope.cause_time
        if ahead is not None and arrival.event.cause is not None and ahead <= self._overlay.now + HOUR:
            recorded = max(recorded, ahead + 1)
        return recorded

    def _log(self, arrival: Arrival, outcome: str, reason: str | None) -> None:
        (offset, record_key, value, _, _), envelope, event = arrival.record, arrival.envelope, arrival.event
        assert value is not None
        sequence = self._changes.sequence
        header = LogHeader(
            sequence,
            self._changes.recorded,
            offset,
            outcome,
            self._wire.codec.fingerprint(value),
            reason,
            None if envelope.id else event.id,
            None if envelope.time else to_micros(event.time),
        )
        key = b"%b@%d" % (record_key or b"", sequence)
        self._changes.log.append(LogRecord(key, value, [*envelope.carried, pack(header)]))
