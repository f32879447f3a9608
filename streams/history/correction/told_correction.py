"""What a correction that was begun has changed: the rows that its steps have set, and the events that are otherwise."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Sequence
from typing import NamedTuple

from streams.errors import HistoryError, StreamsError
from streams.history.branch.branch import what_if
from streams.history.branch.branch_rows import row_before
from streams.history.branch.change import Change
from streams.history.code.application_handlers import ApplicationHandlers
from streams.history.correction.corrected_past import CorrectedPast
from streams.history.correction.correction_plan import PlannedEvent, PlannedRow, plain, touched
from streams.history.correction.merged_change import added_to, merged
from streams.history.correction.planning import told_events
from streams.history.past import Past

MOST = 20_000
"""Rows and events that are kept, of all that were told together."""


class ToldCorrection(NamedTuple):
    """As in a CorrectionPlan; the events are those of the log by now."""

    rows: tuple[PlannedRow, ...]
    missing: tuple[PlannedEvent, ...]
    surplus: tuple[PlannedEvent, ...]
    changed: tuple[PlannedEvent, ...]

    @property
    def touches(self) -> tuple[str, ...]:
        """As of a plan, by now: events that were in flight may have led to more than it said."""
        return touched(self.rows, (*self.missing, *self.surplus, *self.changed))

    @property
    def size(self) -> int:
        """How many rows and events it tells."""
        return sum(map(len, self))


class ToldCorrections:
    """What was told of corrections, for who asks again about the same log. Used by any thread; one at a time decides.

    The oldest is dropped when more than `most` rows and events are kept. What was told last is kept, however large it is.
    """

    def __init__(self, most: int = MOST) -> None:
        self._most, self._turn = most, threading.Lock()
        self._kept: dict[Hashable, ToldCorrection] = {}

    def of(self, key: Hashable, tell: Callable[[], ToldCorrection]) -> ToldCorrection:
        """What was told for a key, or is now."""
        with self._turn:
            found = self._kept.pop(key, None) or tell()
            self._kept[key] = found
            while len(self._kept) > 1 and sum(it.size for it in self._kept.values()) > self._most:
                del self._kept[next(iter(self._kept))]
            return found


def told_correction(
    log: Past, handlers: ApplicationHandlers, correction: str, before: Sequence[Change], change: Change, limit: int | None = None
) -> ToldCorrection:
    """`before` are the corrections that were begun before it. Raises as `what_if`."""
    past = CorrectedPast(log, handlers, merged(log, before)).past
    branch = what_if(past, handlers, added_to(past, before, change), limit=limit)
    return ToldCorrection(_rows(log, handlers, correction), *told_events(past, branch.past, branch.difference))


def _rows(log: Past, handlers: ApplicationHandlers, correction: str) -> tuple[PlannedRow, ...]:
    """Those that were set, in order; one may have been set again."""
    found = list[PlannedRow]()
    for it in log.steps():
        step = it.event.data
        if step.correction == correction:
            before = row_before(log, handlers, it.place, it.order).base[0]
            try:
                after = step.row_of(handlers.codec, handlers.spaces[it.namespace].row_type)
            except StreamsError as error:
                raise HistoryError(f"the row that {it.name} has set does not read here: {error}") from error
            counts = len(step.added), len(step.dropped)
            found.append(PlannedRow(it.namespace, it.key, step.expected, plain(before), plain(after), *counts))
    return tuple(found)
