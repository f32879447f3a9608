"""Rows that a branch has reached and the code that made the past cannot tell any more, such as after a stricter fix."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from streams.engine.readable import named
from streams.engine.times import to_micros
from streams.errors import CodeChanged
from streams.history.branch.branch_decision import as_recorded, changes
from streams.history.branch.branch_findings import BranchFindings
from streams.history.branch.branch_lineage import BranchLineage
from streams.history.branch.branch_queue import BranchTurn
from streams.history.branch.branch_rows import BranchRow, waited_of
from streams.history.code.recorded_code import EmissionsByReference, RecordedCode, without_recorded
from streams.history.difference.difference import UntoldRow
from streams.history.past import ErasedEvent, Past
from streams.history.recorded_event import OrderKey, Place, RecordedEvent


def first_erased_events(past: Past, namespaces: Iterable[str]) -> Mapping[Place, ErasedEvent]:
    """By row."""
    places = ((namespace, key) for namespace in namespaces for key in past.erased_keys(namespace))
    return {place: gone for place in places if (gone := past.first_erased(place)) is not None}


def _behind(gone: ErasedEvent, was: RecordedEvent) -> UntoldRow | None:
    """What is not told of a row from this event on, if it stands behind the one that was erased."""
    if not was.has_position or was.order.sequence < gone.sequence:
        return None
    return UntoldRow(was.place, None, f"the row {named(was.key)!r} of {was.namespace} cannot be told: {gone.sentence}")


class RowsOfBase:
    """Folds the rows of a branch as they were.

    From an event on that `base` refuses though it was accepted, a row is not known, and the recorded outcome stands: what
    happened to the row from there on stays in the branch as it was, with all that it led to, and is not compared. Where the branch
    does not have that event, or has it with other data, only the row as it was is not known, and the branch decides on.

    So it is with the events behind one that an operator has erased: they are left as they were. `erased` has the first one of each
    such row, where all rows are decided.
    """

    def __init__(
        self, past: Past, base: RecordedCode, lineage: BranchLineage, findings: BranchFindings, erased: Mapping[Place, ErasedEvent]
    ) -> None:
        self._past, self._base, self._lineage, self._findings, self.erased = past, base, lineage, findings, erased

    def fold(self, row: BranchRow, was: RecordedEvent, *, in_branch: bool = True) -> EmissionsByReference:
        """Take a row as it was one event further; returns the event's timers that have not fired in the past.

        `in_branch`: the branch has this event, as it was.
        """
        row.was_stopped = row.was_stopped or was.is_parked
        if self.erased and row.untold is None and (gone := self.erased.get(was.place)) is not None:
            row.untold = _behind(gone, was)
        if row.untold is not None or row.told_anew is not None:
            self._base.leave(was)
            return {}
        try:
            row.base = self._base.fold(row.base, was)
        except CodeChanged as error:
            untold = UntoldRow(was.place, was, error.why)
            if in_branch:
                row.untold = untold
            else:
                row.told_anew = untold
                self._findings.tell(untold)
            return {}
        pending = without_recorded(self._past, was, self._base.scheduled(was))
        if pending and (left := self._lineage.left):
            pending = {reference: it for reference, it in pending.items() if left.get(reference, it) == it}
        if pending:
            found = ((reference, waited_of(was, to_micros(time), value)) for reference, (value, time) in pending.items())
            row.waited.update(found)
        return pending

    def step(self, row: BranchRow, was: RecordedEvent) -> None:
        """A correction's step: the row is as it says, whatever it was; of one of another generation's code that is not known."""
        if row.untold is None:
            try:
                row.base, row.told_anew = self._base.fold(row.base, was), None
            except CodeChanged as error:
                row.told_anew = UntoldRow(was.place, was, error.why)

    def leave(self, order: OrderKey, turn: BranchTurn, untold: UntoldRow) -> None:
        """An event of such a row is not decided."""
        was, effects = turn.was, self._lineage.effects(order, turn)
        now = as_recorded(order, turn, None, None) if was is None else as_recorded(order, turn, was.reason, was.by)
        self._findings.leave(untold, was, now, () if was is None else changes(was, now))
        self._lineage.lead_to(turn.reference, {it.order for it in effects}, effects)
