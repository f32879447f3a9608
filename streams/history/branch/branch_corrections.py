"""Steps of corrections in a branch: what they set stands, or it is what a correction asks for, and is decided again."""

from __future__ import annotations

from streams.history.branch.branch_findings import BranchFindings
from streams.history.branch.branch_lineage import BranchLineage
from streams.history.branch.branch_queue import BranchQueue
from streams.history.branch.branch_rows import ReachedRows
from streams.history.branch.branch_untold import RowsOfBase
from streams.history.branch.step_timers import timers_behind, timers_left
from streams.history.code.application_handlers import ApplicationHandlers
from streams.history.difference.difference import UntoldRow
from streams.history.past import Past
from streams.history.recorded_event import STEP, OrderKey, RecordedEvent


class StepsInBranch:
    """`stand`: a row is what the step has set. Otherwise the branch has the corrections themselves, so it takes no step.

    Then all rows that were ever set are decided again, and `base` alone is as the log has it: a row that differs lacks a step.
    """

    def __init__(
        self,
        past: Past,
        handlers: ApplicationHandlers,
        reached: ReachedRows,
        were: RowsOfBase,
        lineage: BranchLineage,
        findings: BranchFindings,
        *,
        stand: bool,
    ) -> None:
        self._past, self._handlers, self._reached, self._were = past, handlers, reached, were
        self._lineage, self._findings, self._stand = lineage, findings, stand

    def begin(self, queue: BranchQueue) -> None:
        if not self._stand:
            self._reached.left = self._lineage.left = timers_left(self._past.steps())
            for it in self._past.steps():
                queue.push(it.order, it)
                for timer in it.event.data.added:
                    self._come_for_good(queue, timer.event_id)

    def _come_for_good(self, queue: BranchQueue, timer: str) -> None:
        """What a step's timer became is told by its cause, which the past may have never had: without that it is gone."""
        for it in self._past.find_all(timer):
            if it.kind != STEP and not self._past.find_all(it.cause or ""):
                self._lineage.orphans.add(it.order)
                queue.push(it.order, it)

    def take(self, order: OrderKey, was: RecordedEvent) -> None:
        """A step whose turn it is."""
        if self._lineage.has_seen(was):
            return
        self._lineage.repeat(was, was.place)
        row = self._reached.reach(was.place, order)
        as_it_was = row.base[0] == row.row and row.untold is None
        if not self._stand:
            self._were.step(row, was)
            self._findings.found.unchanged += 1
            if row.told_anew is None and row.base[0] == row.row:  # so a publisher that has seen this version has seen this row
                row.token = row.base[1]
            return
        self._were.fold(row, was)
        if as_it_was and row.untold is None:
            self._findings.repeat(was)
            row.row, row.token = row.base
            row.timers = timers_behind(self._handlers, row.timers, was.event.data, was.place)
        else:
            row.untold = row.untold or UntoldRow(was.place, was, _why(was))
            self._findings.leave(row.untold, was, was, ())


def _why(was: RecordedEvent) -> str:
    return (
        f"the row {was.key!r} of {was.namespace} was set by a correction as {was.name}, and the branch has it otherwise before "
        "that: what the correction makes of it then is not known here"
    )

