"""The quick way to handle an event: for what most records are, in one flat pass with few calls.

The careful way, `Admission` with `Execution`, is the reference: it handles every record, and says what is wrong with one. The quick
way gives the same changes, or leaves the record to the careful one before anything has happened. A handler is asked once: what it
says that is not common, such as a rejection, is recorded by `Execution.conclude`.
"""

from __future__ import annotations

from typing import Any

from streams.data import EventData
from streams.engine.attempts import UNWATCHED, Attempt
from streams.engine.changes import HandledRecord, PendingCall
from streams.engine.emissions import Around
from streams.engine.envelope import HOPS_LIMIT, Arrival
from streams.engine.event_handlers import EventHandlers, Inbox
from streams.engine.execution import BELIEVED_AHEAD, Execution, row_too_large
from streams.engine.identity import answer_id, emitted_id, fingerprint_of
from streams.engine.overlay import Overlay
from streams.engine.parking import Parking
from streams.engine.quick_types import PREFIX, QuickType, QuickTypes
from streams.engine.records import ACCEPTED, PLAIN_KEY, Headers, InboxRecord
from streams.engine.timers import Timers
from streams.engine.wire_format import WireFormat
from streams.event import OURS, Event, reference_of
from streams.outcome import Rejected


class QuickHandling:
    """The quick way of one batch, in its overlay."""

    def __init__(  # noqa: PLR0913 - one parameter a part of the engine
        self,
        handlers: EventHandlers,
        wire: WireFormat,
        inbox: Inbox,
        types: QuickTypes,
        overlay: Overlay,
        parking: Parking,
        execution: Execution,
        timers: Timers,
    ) -> None:
        image, changes = overlay.image, overlay.changes
        self._types, self._plans, self._limits, self._envelopes = types, wire.envelopes.quick_plans, wire.limits, wire.envelopes
        self._decide, self._partition_of, self._now = handlers.decide, inbox.partition_of, overlay.now
        self._overlay, self._parking, self._execution, self._timers = overlay, parking, execution, timers
        self._changes, self._image, self._scheduled = changes, image, overlay.scheduled
        self._kept, self._owners = image.rows.kept, image.due.owners
        self._young, self._old = image.window.generations

    def take(self, record: InboxRecord) -> bool:  # noqa: C901, PLR0912, PLR0915 - one flat pass, for each call costs time
        """Handle a record. False: it is left to the careful way, and nothing has happened."""
        changes, image = self._changes, self._image
        whole: Any = record  # what is missing raises
        _, record_key, value, headers, _ = whole
        request = None
        try:
            names, values = zip(*headers)  # noqa: B905 - each is a pair
            plan: Any = self._plans[names]
            kind, found = self._types[value[:PREFIX]], plan.attributes(values)
            if found is None or len(value) > self._limits.event_bytes:
                return False
            event_id, name, time, shared, trace, cause, ahead, chain = found
            source, type_name, cause_source, ordinal, revision, hops, is_workers, seed = shared
            if (type_name != kind.name and type_name is not None) or hops > HOPS_LIMIT:
                return False
            data = kind.read(value, PREFIX)
            key: str = getattr(data, kind.key_field)
            if key.encode() != record_key or key in image.parked or key in changes.queues:
                return False
            entry = changes.rows.get(key) or self._kept.get(key)
            if entry is None:
                if not (len(key) < PLAIN_KEY and key[0] > "\x01") or not self._is_ours(record_key):
                    return False
                row = None
            elif isinstance(row := entry[0], bytes):
                row = image.rows.entry(key)[0]  # type: ignore[index]  # it is there
            if cause is None:
                if is_workers:
                    return False
                digest = seed + name if seed else b""
                if not 16 < len(digest) <= 80:
                    digest = fingerprint_of(source, event_id)
                event: Event[EventData] = Event(data, event_id, time, None, event_id, source)
            else:
                reference = reference_of(cause_source, cause)
                if kind.is_answer:
                    if event_id != answer_id(reference) or not self._overlay.is_pending(reference):
                        return False
                    request = reference
                elif event_id != emitted_id(reference, kind.name, key, ordinal, revision):
                    return False
                digest = fingerprint_of(source, event_id) if seed else name
                event = Event(data, event_id, time, cause, chain, source)
            if digest in changes.remembered or digest in self._young or digest in self._old:
                return False
            if digest in changes.parked_ids or digest in image.parked_ids:
                return False
            if (key in self._owners or key in self._scheduled) and self._timers.fires_before(event):
                return False
        except Exception:  # noqa: BLE001 - whatever it is, the careful way finds it again, and says what it is
            return False
        recorded = changes.recorded + 1
        if recorded < self._now:
            recorded = self._now
        if ahead is not None and recorded <= ahead <= self._now + BELIEVED_AHEAD:
            recorded = ahead + 1
        self._execute(record, kind, event, key, digest, row, (hops, trace), recorded)
        if request is not None:
            changes.settled[request] = None
        changes.inbox_next = record[0] + 1
        changes.handled += 1
        changes.taken += 1
        return True

    def _is_ours(self, key: bytes) -> bool:
        return self._partition_of is None or self._partition_of(key) == self._changes.partition

    def _execute(  # noqa: PLR0913 - what `take` has found
        self,
        record: InboxRecord,
        kind: QuickType,
        event: Event[Any],
        key: str,
        digest: bytes,
        row: Any,
        around: Around,
        recorded: int,
    ) -> None:
        """As `Execution.execute`, and parks the event if its handler raised."""
        whole: Any = record
        offset, record_key, value, headers, _ = whole
        changes, handler, attempts = self._changes, kind.handler, self._execution.attempts
        outcome = following = None
        try:
            if attempts is UNWATCHED:
                outcome = self._decide(handler, row, event)
            else:
                attempts.began(Attempt(changes.partition, changes.inbox_next, offset, kind.name, key))
                try:
                    outcome = self._decide(handler, row, event)
                finally:
                    attempts.ended()
            is_request = handler.function is None  # whose row stays
            new, encoded = (None, b"") if outcome.row is None or is_request else kind.settle(outcome.row)
            if len(encoded) > self._limits.row_bytes:
                raise row_too_large(handler, encoded, self._limits)
            if emit := outcome.emit:
                following = self._execution.emissions.of(event, around, recorded, emit, handler.emits)
        except BaseException as error:  # whatever a handler raises parks its event, and stops nobody else
            if self._execution.is_ctrl_c(error):
                raise
            self._conclude(record, event, digest, error, by_handler=outcome is None)
            return
        changes.sequence = sequence = changes.sequence + 1
        changes.recorded = recorded
        changes.counters.accepted += 1
        changes.remembered[digest] = sequence, hash(value), ACCEPTED
        handled = HandledRecord(
            offset, ACCEPTED, event, sequence, recorded, None, False, False, (), record_key, value, headers, kind.fingerprint
        )
        changes.results.append(handled)
        if is_request:
            derived = event.id if event.cause is not None and event.source.startswith(OURS) else ""  # `take` has derived it
            self._overlay.ask(PendingCall(event, recorded, offset, value, headers, around[0]), derived)
            return
        changes.rows[key] = new, sequence
        changes.row_bytes[key] = encoded
        if following is not None:
            self._execution.follow(handled, following)

    def _conclude(
        self, record: InboxRecord, event: Event[Any], digest: bytes, error: BaseException, *, by_handler: bool
    ) -> None:
        """Record what a handler raised, or what its answer led to."""
        headers: Headers = record[3] or []
        arrival = Arrival(record, self._envelopes.read(headers), event, event.key, digest)
        raised: BaseException | None = error
        if by_handler and isinstance(error, Rejected):
            raised = self._execution.rejected(arrival, error)
        if raised is not None:
            self._parking.enqueue(self._parking.raised(arrival, raised))
