"""The quick way of an event that other code decides as it was recorded, which most of a replay's events are.

It only ever says that nothing is otherwise. Whatever is not plain goes the careful way (streams/history/branch/branch_run.py).
"""

from __future__ import annotations

from collections.abc import Container, MutableMapping, Sequence, Set

from streams.data import EventData, Record
from streams.engine.event_handlers import EventHandler
from streams.engine.records import Entry
from streams.engine.times import checked_time, from_micros, to_micros
from streams.errors import CodeChanged
from streams.history.branch.branch_findings import BranchFindings
from streams.history.branch.branch_lineage import BranchLineage
from streams.history.branch.branch_rows import BranchRow
from streams.history.code.application_handlers import ApplicationHandlers, DecidedEvent
from streams.history.code.recorded_code import RecordedCode
from streams.history.past import Past
from streams.history.recorded_event import ANSWER, EMITTED, HANDLER, TIMER, OrderKey, Place, RecordedEvent
from streams.outcome import Emission, Scheduled

PLAIN = (None, HANDLER)
"""Who rejected an event that is decided again."""
NO_ROW: Entry = (None, 0)
AT_ONCE, LATER = frozenset({EMITTED}), frozenset({EMITTED, TIMER})
"""Kinds of what an event emits at once, and of timers that have fired."""


class UnchangedEvents:
    """Shares with a branch its `rows`, its `lineage`, what is `otherwise` and the `skipped` rows.

    Rows at the places `erased` are not all there.
    """

    def __init__(  # noqa: PLR0913 - what a branch consists of
        self,
        past: Past,
        base: RecordedCode,
        handlers: ApplicationHandlers,
        findings: BranchFindings,
        rows: MutableMapping[Place, BranchRow],
        lineage: BranchLineage,
        erased: Set[Place],
        otherwise: Container[OrderKey],
        skipped: set[Place],
    ) -> None:
        self._effects, self._base, self._handlers, self._findings = past.effects, base, handlers, findings
        self._rows, self._lineage, self._erased, self._otherwise, self._skipped = rows, lineage, erased, otherwise, skipped

    def take(self, it: RecordedEvent) -> bool:
        """Decide an event whose turn it is. False: it is not plainly as it was recorded, and nothing was done."""
        if it.expected is not None or it.by not in PLAIN or self._findings.has_open or not self._lineage.is_plain(it):
            return False
        order, event = it.order, it.event
        data: EventData = event.data
        namespace = order.namespace
        place, space = (namespace, getattr(data, data.key_field)), self._handlers.spaces.get(namespace)
        handler = None if space is None else space.by_event.get(type(data))
        row = self._rows.get(place) or BranchRow(order, NO_ROW, None, 0, [])
        if handler is None or not _is_as_it_was(row) or place in self._erased or order in self._otherwise:
            return False
        decided = self._decided(handler, it, row.row)
        try:
            if decided is None or not self._base.agrees(row.base, it, decided):
                return False
        except CodeChanged:
            return False
        if it.accepted and handler.function is not None:
            row.row, row.token, row.base = decided.row, order.sequence, (decided.row, order.sequence)
        if row.since is order:
            self._rows[place] = row
        if self._skipped:
            self._skipped.discard(place)
        self._lineage.repeat(it, place)
        self._findings.repeat(it)
        return True

    def _decided(self, handler: EventHandler, it: RecordedEvent, row: Record | None) -> DecidedEvent | None:
        """None: it is not decided as it was, or does not plainly lead to what it led to."""
        effects = self._effects(it.reference)
        if handler.function is None:
            return DecidedEvent(row) if it.accepted and _is_answered(it, effects) else None
        try:
            decided = self._handlers.decide(it.order.namespace, handler, row, it.event)
        except Exception:  # noqa: BLE001 - a handler may raise anything, and does so again on the careful way
            return None
        if (decided.reason is not None) if it.accepted else (decided.reason is None or decided.reason != it.reason):
            return None
        emissions = decided.emissions
        is_same = len(emissions) == len(effects) and self._emits_the_same(handler, it, emissions, effects)
        return decided if is_same else None

    def _emits_the_same(
        self, handler: EventHandler, it: RecordedEvent, emissions: Sequence[Emission], effects: Sequence[RecordedEvent]
    ) -> bool:
        """Whether each of different types or keys was recorded with this data, in this order by key; there are as many.

        A timer was if it has fired.
        """
        if not emissions:
            return True
        if len(emissions) == 1:
            return self._is_emitted(handler, it, emissions[0], effects[0])
        left, last = [*effects], dict[Place, OrderKey]()
        for emission in emissions:
            found = next((effect for effect in left if self._is_emitted(handler, it, emission, effect)), None)
            if found is None or (type(emission) is not Scheduled and found.order < last.get(found.place, found.order)):
                return False
            if type(emission) is not Scheduled:
                last[found.place] = found.order
            left.remove(found)
        return True

    def _is_emitted(self, handler: EventHandler, it: RecordedEvent, emission: Emission, effect: RecordedEvent) -> bool:
        data, time, kinds = (emission.data, None, LATER) if isinstance(emission, Scheduled) else (emission, it.event.time, AT_ONCE)
        if type(data) not in handler.emits:
            return False
        try:
            if isinstance(emission, Scheduled):
                time = from_micros(to_micros(checked_time("a timer", emission.at)))
            data, value = self._handlers.codec.encode_frozen(data)
        except Exception:  # noqa: BLE001 - a worker parks the event for it, and so does the careful way
            return False
        if effect.value != value and effect.event.data != data:  # of an older schema, the bytes are others
            return False
        return not effect.ordinal and effect.kind in kinds and effect.event.time == time and effect.order > it.order


def _is_as_it_was(row: BranchRow) -> bool:
    """Whether it is so in the branch. A timer that waited in the past as well does not fire before an event as it was."""
    if row.base[0] is not row.row:
        if row.base[0] != row.row:
            return False
        row.base = row.row, row.base[1]  # so they are compared once
    if row.timers and not all(it.known and not it.again for it in row.timers):
        return False
    return not row.stopped and row.untold is None and row.told_anew is None


def _is_answered(request: RecordedEvent, effects: Sequence[RecordedEvent]) -> bool:
    """Whether a gateway's request has the one answer that was recorded, or was not answered yet when the past was read."""
    return not effects or (len(effects) == 1 and effects[0].kind == ANSWER and effects[0].order > request.order)
