"""An event that may be handled: its handler is asked, and what follows is noted in the turn's changes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from streams.data import Record
from streams.engine.aside import REASON_LIMIT, Aside
from streams.engine.emissions import Emissions
from streams.engine.envelope import Arrival, LogHeader, pack, readable, to_micros
from streams.engine.image import Image
from streams.engine.records import ACCEPTED, REJECTED, WRONG_VERSION, Call, Changes, Entry, LogRecord
from streams.errors import InvalidEvent
from streams.outcome import Emission, Rejected

if TYPE_CHECKING:
    from streams.engine.engine import Engine, Rule

HOUR = 3_600_000_000
ABSENT: Entry = (None, 0)


class Deciding:
    """Of one turn: adds to its changes, which are the overlay over the image."""

    def __init__(self, engine: Engine, image: Image, changes: Changes, aside: Aside, now: int) -> None:
        self._engine, self._image, self._changes, self._aside, self._now = engine, image, changes, aside, now

    def decide(self, arrival: Arrival) -> bool:
        """Ask the handler, and note what follows. False: it raised, and the event is parked."""
        engine, changes, envelope, event = self._engine, self._changes, arrival.envelope, arrival.event
        rule, key = engine.rules[type(event.data)], event.key
        row, version = changes.rows.get(key) or self._image.rows.get(key) or ABSENT
        emit: Sequence[Emission]
        reason, new, row_bytes = None, row, None
        recorded = self._recorded(arrival)
        try:
            try:
                expected = envelope.expected_version
                if expected is not None and expected != version and (expected or row is not None):
                    raise Rejected(f"{WRONG_VERSION} expected {expected}, the row is at {version if row else 0}")
                outcome = engine.decide(rule, row, event)
                emit = outcome.emit
                if rule.handler is not None:
                    new, row_bytes = self._settle(rule, outcome.row)
            except Rejected as no:
                emit, reason = no.emit, str(no.reason)[:REASON_LIMIT]
            following = Emissions(engine, event, envelope, recorded, self._now).of(emit, rule.emits) if emit else None
        except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever a handler raises parks its event, and stops nobody else
            self._aside.raised(arrival, error)
            return False
        self._accept_or_reject(arrival, recorded, reason)
        if following is not None:
            changes.emitted += following.now
            changes.due += following.later
            changes.counters.emitted += len(following.now)
        if row_bytes is not None:
            changes.rows[key] = (new, changes.sequence)
            changes.row_bytes[key] = row_bytes
        elif reason is None:
            offset, _, value, _, _ = arrival.record
            place = offset if arrival.place is None else arrival.place
            call = Call(event, recorded, place, value or b"", envelope.carried, envelope.hops)
            changes.calls[event.reference] = call
        return True

    def reject(self, arrival: Arrival, reason: str) -> None:
        """Without asking the handler."""
        self._accept_or_reject(arrival, self._recorded(arrival), reason)

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
        frozen, encoded = self._engine.codec.settle(row)
        if len(encoded) > self._engine.limits.row_bytes:
            raise InvalidEvent(
                f"the row that {rule.event_type} leaves holds {len(encoded)} bytes; "
                f"a row may hold {self._engine.limits.row_bytes}"
            )
        return frozen, encoded

    def _recorded(self, arrival: Arrival) -> int:
        """Later than the partition's last and than its cause, which is believed up to an hour ahead (rules 10 and 18)."""
        recorded = max(self._now, self._changes.recorded + 1)
        ahead = arrival.envelope.cause_time
        if ahead is not None and arrival.event.cause is not None and ahead <= self._now + HOUR:
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
            self._engine.codec.fingerprint(value),
            reason,
            None if envelope.id else event.id,
            None if envelope.time else to_micros(event.time),
        )
        key = b"%b@%d" % (record_key or b"", sequence)
        self._changes.log.append(LogRecord(key, value, [*envelope.carried, pack(header)]))
