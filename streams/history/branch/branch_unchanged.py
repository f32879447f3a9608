"""The quick way of an event that other code decides as it was recorded, which most of a replay's events are.

It only ever says that nothing is otherwise. Whatever is not plain goes the careful way (streams/history/branch/branch_run.py).
"""

from __future__ import annotations

from collections.abc import MutableMapping, Sequence, Set

from streams.data import EventData
from streams.engine.event_handlers import EventHandler
from streams.engine.records import Entry
from streams.errors import CodeChanged
from streams.history.branch.branch_findings import BranchFindings
from streams.history.branch.branch_lineage import BranchLineage
from streams.history.branch.branch_rows import BranchRow
from streams.history.code.application_handlers import ApplicationHandlers
from streams.history.code.recorded_code import RecordedCode
from streams.history.past import Past
from streams.history.recorded_event import EMITTED, HANDLER, OrderKey, Place, RecordedEvent
from streams.outcome import Emission, Scheduled

PLAIN = (None, HANDLER)
"""Who rejected an event that is decided again."""
NO_ROW: Entry = (None, 0)


class UnchangedEvents:
    """Shares with a branch its `rows` and its `lineage`. Rows at the places `erased` are not all there."""

    def __init__(
        self,
        past: Past,
        base: RecordedCode,
        handlers: ApplicationHandlers,
        findings: BranchFindings,
        rows: MutableMapping[Place, BranchRow],
        lineage: BranchLineage,
        erased: Set[Place],
    ) -> None:
        self._past, self._base, self._handlers, self._findings = past, base, handlers, findings
        self._rows, self._lineage, self._erased = rows, lineage, erased

    def take(self, order: OrderKey, it: RecordedEvent) -> bool:
        """Decide an event whose turn it is. False: it is not plainly as it was recorded, and nothing was done."""
        if it.expected is not None or it.by not in PLAIN or order != it.order:
            return False
        if self._findings.has_open or not self._lineage.is_plain(it):
            return False
        namespace, event = order.namespace, it.event
        data: EventData = event.data
        place, space = (namespace, getattr(data, data.key_field)), self._handlers.spaces.get(namespace)
        row = self._rows.get(place) or BranchRow(order, NO_ROW, None, 0, [])
        handler = None if space is None else space.by_event.get(type(data))
        if row.timers or row.stopped or row.base[0] is not row.row or handler is None or handler.function is None:
            return False
        if row.untold is not None or row.told_anew is not None or place in self._erased:
            return False
        try:
            decided = self._handlers.decide(namespace, handler, row.row, event)
        except Exception:  # noqa: BLE001 - a handler may raise anything, and does so again on the careful way
            return False
        same = decided.reason is None if it.accepted else decided.reason == it.reason and decided.reason is not None
        if not same or not self._emits_the_same(handler, it, decided.emissions):
            return False
        try:
            if not self._base.agrees(row.base, it, decided):
                return False
        except CodeChanged:
            return False
        if it.accepted:
            row.row, row.token, row.base = decided.row, order.sequence, (decided.row, order.sequence)
        self._rows[place] = row
        self._lineage.repeat(it, place)
        self._findings.repeat(it)
        return True

    def _emits_the_same(self, handler: EventHandler, it: RecordedEvent, emissions: Sequence[Emission]) -> bool:
        """Whether each of different types or keys was recorded with this data, in this order by key, and nothing else was."""
        effects = self._past.effects(it.reference)
        if len(emissions) != len(effects):
            return False
        if not emissions:
            return True
        if len(emissions) == 1:
            return self._is_emitted(handler, it, emissions[0], effects[0])
        left, last = [*effects], dict[Place, OrderKey]()
        for emission in emissions:
            found = next((effect for effect in left if self._is_emitted(handler, it, emission, effect)), None)
            if found is None or found.order < last.get(found.place, found.order):
                return False
            last[found.place] = found.order
            left.remove(found)
        return True

    def _is_emitted(self, handler: EventHandler, it: RecordedEvent, emission: Emission, effect: RecordedEvent) -> bool:
        if isinstance(emission, Scheduled) or type(emission) not in handler.emits:
            return False
        try:
            data, value = self._handlers.codec.encode_frozen(emission)
        except Exception:  # noqa: BLE001 - a worker parks the event for it, and so does the careful way
            return False
        if effect.value != value and effect.event.data != data:  # of an older schema, the bytes are others
            return False
        if effect.ordinal or effect.kind != EMITTED:
            return False
        return effect.event.time == it.event.time and effect.order > it.order
