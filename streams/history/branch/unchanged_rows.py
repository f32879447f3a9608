"""The quick way of what is read from a file: no event is made of a row that other code decides as it was recorded.

It says of fewer events that nothing is otherwise than the quick way of events does (streams/history/branch/branch_unchanged.py),
which all others go.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, MutableMapping, Sequence, Set
from typing import Any

from streams.data import EventData, Record
from streams.engine.event_handlers import EventHandler
from streams.engine.records import Entry
from streams.engine.times import checked_time, from_micros, to_micros
from streams.errors import CodeChanged, StreamsError
from streams.event import Event, reference_of
from streams.history.branch.branch_findings import BranchFindings
from streams.history.branch.branch_lineage import BranchLineage
from streams.history.branch.branch_queue import BranchQueue
from streams.history.branch.branch_rows import BranchRow
from streams.history.branch.branch_unchanged import NO_ROW, PLAIN, is_as_it_was
from streams.history.code.application_handlers import ApplicationHandlers, DecidedEvent
from streams.history.code.code_link import CodeLink
from streams.history.recorded_event import ANSWER, EMITTED, TIMER, OrderKey, Place, RecordedEvent
from streams.history.stored.read_event import ReadEvent
from streams.history.stored.stored_events import StoredRow
from streams.history.stored.stored_scan import EffectsScan
from streams.outcome import Emission, Scheduled

ORDER, KIND, ORDINAL, VALUE = slice(0, 4), 7, 8, -2
"""Where these are in a row."""
AT_ONCE, LATER = (EMITTED,), (EMITTED, TIMER)
"""Kinds of what an event emits at once, and of timers that have fired."""


class UnchangedRows:
    """Shares with a branch what UnchangedEvents does. `base` is the code that made the past, in a process of its own.

    The branch knows nothing of what was decided here until an event is left to it: then all is put there that it has to know.
    """

    def __init__(  # noqa: PLR0913 - what a branch consists of
        self,
        scan: EffectsScan,
        base: CodeLink,
        handlers: ApplicationHandlers,
        findings: BranchFindings,
        rows: MutableMapping[Place, BranchRow],
        lineage: BranchLineage,
        erased: Set[Place],
        otherwise: Collection[OrderKey],
        skipped: set[Place],
    ) -> None:
        self._scan, self._reader, self._base, self._handlers, self._findings = scan, scan.reader, base, handlers, findings
        self._rows, self._lineage, self._erased, self._otherwise, self._skipped = rows, lineage, erased, otherwise, skipped
        self._handled = {
            data: (space.namespace, handler) for space in handlers.spaces.values() for data, handler in space.by_event.items()
        }
        self._met, self._by_reference = lineage.read, False
        """Ids that were met; whether events are known by their references, too, so that these are asked for."""
        self._entries: dict[Place, Entry] = {}
        """Rows that are as they were, since an event was left to the branch."""
        self._taken, self._last = 0, ""
        """How many events since then, and the type of the last one."""

    def left(self, queue: BranchQueue, skip: int) -> Iterator[RecordedEvent]:
        """The first `skip` events, and those that are not plainly as they were recorded; the others are decided, each in turn."""
        until, is_open = _first(queue), False
        for piece in self._scan.pieces():
            for it in piece:
                if skip:
                    skip -= 1
                elif not is_open and (until is None or it.row < until) and self._take(it):
                    continue
                self._tell()
                yield self._scan.turned(it)
                until, is_open = _first(queue), self._findings.has_open
                self._by_reference = self._lineage.knows_references or bool(self._otherwise)
            self._tell_count()
        self._tell()

    def _tell(self) -> None:
        """What was decided becomes known in the branch."""
        self._tell_count()
        for place, entry in self._entries.items():
            there = self._rows[place]
            there.base, (there.row, there.token) = entry, entry
        self._entries.clear()

    def _tell_count(self) -> None:
        self._findings.repeat_many(self._taken, self._last)
        self._taken = 0

    def _take(self, it: ReadEvent) -> bool:
        """Decide an event whose turn it is. False: it is not plainly as it was recorded, and nothing was done."""
        row = it.row
        _, namespace, _, sequence, _, event_id, _, _, _, accepted, by, _, expected, *_ = row
        text, source = self._reader.sources_of(it)
        if expected is not None or by not in PLAIN or event_id in self._met:  # one that was met before is no new one
            return False
        if (self._by_reference or it.cause is None) and not self._is_new(event_id, it, source):
            return False
        data = it.data or self._decoded(row[VALUE])
        known = None if data is None else self._handled.get(type(data))
        if data is None or known is None or known[0] != namespace:
            return False
        handler = known[1]
        place = namespace, getattr(data, data.key_field)
        entry = self._entries.get(place) or self._entry(place)
        if entry is None:
            return False
        event = self._reader.event_of(it, data, text)
        try:
            decided = self._decided(handler, it, event, entry[0], it.source if source else None)
            if decided is None or not self._base.agrees_with(row, entry, decided):
                return False
        except CodeChanged:
            return False
        if entry is NO_ROW and place not in self._rows:
            self._rows[place] = BranchRow(OrderKey(*row[ORDER]), NO_ROW, None, 0, [])
        if accepted and handler.function is not None:
            self._entries[place] = decided.row, sequence
        if self._skipped:
            self._skipped.discard(place)
        self._met[event_id] = row[ORDER], place, event.time, source
        self._taken += 1
        self._last = handler.event_type
        return True

    def _entry(self, place: Place) -> Entry | None:
        """A row that the branch has; None: it is not as it was."""
        there = self._rows.get(place)
        if place in self._erased or (there is not None and not is_as_it_was(there)):
            return None
        return NO_ROW if there is None else there.base

    def _is_new(self, event_id: str, it: ReadEvent, source: str | None) -> bool:
        """Whether nothing has been found out yet about it and what led to it."""
        if it.cause is None:
            self._lineage.meet_root(is_unique=source is None)
            self._by_reference = self._by_reference or self._lineage.knows_references
        if not self._by_reference:
            return True
        order = OrderKey(*it.row[ORDER])
        reference = event_id if source is None else reference_of(source, event_id)
        return order not in self._otherwise and self._lineage.is_plain_at(reference, self._reader.cause_reference(it), order)

    def _decoded(self, value: bytes) -> EventData | None:
        try:
            return self._handlers.codec.decode(value)
        except StreamsError:  # told on the other way
            return None

    def _decided(
        self, handler: EventHandler, it: ReadEvent, event: Event[Any], row: Record | None, named: bytes | None
    ) -> DecidedEvent | None:
        """None: it is not decided as it was, or does not plainly lead to what it led to.

        Its effects must name it as their cause: by its id, and by the source `named`, if its id alone is not its reference.
        """
        effects = self._scan.effects_of(it)
        for effect in effects:
            if effect.cause != it.row[5] or (effect.cause_source or None) != named:
                return None
        if handler.function is None:
            return DecidedEvent(row) if it.row[9] and _is_answered(it, effects) else None
        try:
            decided = self._handlers.decide(it.row[1], handler, row, event)
        except Exception:  # noqa: BLE001 - a handler may raise anything, and does so again on the careful way
            return None
        reason = it.row[11]
        if (decided.reason is not None) if it.row[9] else (decided.reason is None or decided.reason != reason):
            return None
        emissions = decided.emissions
        if len(emissions) != len(effects):
            return None
        return decided if not emissions or self._emits_the_same(handler, it, emissions, effects) else None

    def _emits_the_same(
        self, handler: EventHandler, it: ReadEvent, emissions: Sequence[Emission], effects: Sequence[ReadEvent]
    ) -> bool:
        """As UnchangedEvents has it."""
        if len(emissions) == 1:
            return self._is_emitted(handler, it, emissions[0], effects[0])
        left, last = [*effects], dict[Place, Any]()
        for emission in emissions:
            found = next((effect for effect in left if self._is_emitted(handler, it, emission, effect)), None)
            if found is None:
                return False
            if not isinstance(emission, Scheduled):
                place = found.row[1], emission.key
                if found.row < last.get(place, found.row):
                    return False
                last[place] = found.row
            left.remove(found)
        return True

    def _is_emitted(self, handler: EventHandler, it: ReadEvent, emission: Emission, effect: ReadEvent) -> bool:
        is_timer, row = isinstance(emission, Scheduled), effect.row
        data = emission.data if isinstance(emission, Scheduled) else emission
        if type(data) not in handler.emits:
            return False
        try:
            data, value = self._handlers.codec.encode_frozen(data)
            if isinstance(emission, Scheduled):
                time = from_micros(to_micros(checked_time("a timer", emission.at)))
                is_then = self._reader.time_of(effect) == time
            else:
                is_then = effect.at == it.at and it.at is not None
        except Exception:  # noqa: BLE001 - a worker parks the event for it, and so does the careful way
            return False
        if row[VALUE] != value or not is_then or row[ORDINAL] or row[KIND] not in (LATER if is_timer else AT_ONCE):
            return False
        effect.data = data  # so it need not be decoded
        return row > it.row


def _first(queue: BranchQueue) -> StoredRow | None:
    """As a row begins that is at the place of the first item that was put into the queue."""
    first = queue.first_pushed
    return None if first is None else first[:4]


def _is_answered(request: ReadEvent, effects: Sequence[ReadEvent]) -> bool:
    """Whether a gateway's request has the one answer that was recorded, or was not answered yet when the past was read."""
    return not effects or (len(effects) == 1 and effects[0].row[KIND] == ANSWER and effects[0].row > request.row)
