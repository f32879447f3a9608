"""Handling of correction steps: a row is set, and its timers with it, if it still is at the version that the step expects."""

from __future__ import annotations

from streams.data import Record
from streams.engine.changes import HandledRecord, PendingTimer
from streams.engine.event_handlers import MOST_AHEAD, EventHandlers
from streams.engine.execution import ABSENT, recorded_time
from streams.engine.overlay import Overlay
from streams.engine.records import CORRECTED, EmittedRecord, InboxRecord
from streams.engine.step import CorrectionStep, refuse_misplaced
from streams.engine.times import from_micros, to_micros
from streams.engine.wire_format import WireFormat, too_large
from streams.errors import InvalidEvent
from streams.event import Event


class Steps:
    """Handles the steps of one batch in its overlay."""

    def __init__(self, handlers: EventHandlers, wire: WireFormat, overlay: Overlay) -> None:
        self._handlers, self._wire, self._overlay, self._changes = handlers, wire, overlay, overlay.changes

    def take(self, record: InboxRecord, step: CorrectionStep) -> bool:
        """Take a step. False: its row has moved, or it is of another generation; it does nothing, and whoever sent it plans again.

        Raises InvalidEvent or UndecodableRecord for one that cannot be taken, and UnsupportedSchema for a row that cannot be read
        here yet. Then nothing changes.
        """
        refuse_misplaced(step, self._handlers.namespace, record[1])
        if record[3]:
            raise InvalidEvent("it is a step of a correction with headers; it has none, since the log keeps all of it")
        if len(record[2] or b"") > self._wire.limits.event_bytes:
            raise too_large("it", record[2] or b"", self._wire.limits)
        _, version = self._overlay.entry(step.entity) or ABSENT
        if version != step.expected or not step.is_of(self._handlers.generation):
            self._changes.counters.control += 1
            return False
        row, row_bytes = self._row(step)
        sequence = self._note(record, step)
        self._changes.rows[step.entity] = (row, sequence)
        self._changes.row_bytes[step.entity] = row_bytes
        self._set_timers(step)
        return True

    def _row(self, step: CorrectionStep) -> tuple[Record | None, bytes]:
        row = step.row_of(self._wire.codec, self._handlers.row_type)
        if row is None:
            return None, b""
        frozen, encoded = self._wire.codec.encode_frozen(row)
        if len(encoded) > self._wire.limits.row_bytes:
            raise InvalidEvent(
                f"the row that a correction sets holds {len(encoded)} bytes; a row may hold {self._wire.limits.row_bytes}"
            )
        return frozen, encoded

    def _note(self, record: InboxRecord, step: CorrectionStep) -> int:
        """Append it to the log; returns its sequence.

        It stands behind what it was decided on, also where this clock is hours slow: whoever sent it has compared that time with a
        clock of its own. Else what its key does next would stand before it in the order.
        """
        changes, now = self._changes, self._overlay.now
        changes.sequence += 1
        changes.recorded = recorded_time(changes.recorded, now, None)
        if step.after <= now + MOST_AHEAD:
            changes.recorded = max(changes.recorded, step.after + 1)
        time = from_micros(changes.recorded)
        event = Event(step, step.event_id, time, None, step.event_id)
        changes.results.append(
            HandledRecord(
                record[0], CORRECTED, event, changes.sequence, changes.recorded, key=record[1] or b"", value=record[2] or b"",
                own_id=step.event_id, own_time=to_micros(time),
            )
        )  # fmt: skip
        changes.counters.corrected += 1
        return changes.sequence

    def _set_timers(self, step: CorrectionStep) -> None:
        for gone in step.dropped:
            if self._overlay.is_scheduled(gone.event_id):
                self._changes.settled[gone.event_id] = None

        for it in step.added:
            emitted = EmittedRecord(it.namespace, it.key.encode(), it.value, list(it.headers))
            self._overlay.schedule(PendingTimer(it.at, emitted, it.event_id, step.entity, it.own))
