"""Corrections of what a World has handled."""

from __future__ import annotations

from collections.abc import Sequence

from streams.engine.projector import Projector
from streams.engine.step import CorrectionStep, encode_step
from streams.engine.times import to_micros
from streams.history.branch.change import Change
from streams.history.code.application_handlers import ApplicationHandlers
from streams.history.correction.corrected_log import CorrectedLog, KnownCorrection
from streams.history.correction.corrected_past import Signature
from streams.history.correction.correction_plan import CorrectionPlan, refuse_edited, refuse_other_log
from streams.history.correction.fixed_point import check_steps, reach_fixed_point
from streams.history.past_tables import PastTables
from streams.testing.codecs import codec_for
from streams.testing.memory_application import MemoryApplication
from streams.testing.world_history import recorded_past


class MemoryCorrections:
    """The corrections of one World, in their order."""

    def __init__(self, run: MemoryApplication) -> None:
        self._run = run
        self._handlers = ApplicationHandlers(run.app, codec_for(run.app))
        self._changes: dict[str, Change] = {}
        self._known: dict[str, KnownCorrection] = {}

    @property
    def so_far(self) -> CorrectedLog:
        log = recorded_past(self._handlers, self._run.spaces.values())
        known = [*self._known.values()]
        return CorrectedLog(log, [*self._changes.values()], [it.known_from for it in known], known)

    def begin(self, plan: CorrectionPlan) -> Signature:
        """Take a plan on. Raises StalePlan for one that was edited, or is of another log, and as `check_steps`."""
        refuse_edited(plan)
        refuse_other_log(plan, self._run.app.name, self.so_far.log)
        by = Signature(plan.correction, plan.by, plan.why)
        changes = {**self._changes}
        changes.setdefault(plan.correction, plan.change.read(self._handlers.codec))
        check_steps(self.so_far.log, self._handlers, [*changes.values()], by)  # what cannot be done is not begun
        self._changes = changes
        begun = to_micros(self._run.now)
        self._known.setdefault(plan.correction, KnownCorrection(plan.correction, plan.by, plan.why, begun, plan.change))
        return by

    def apply(self, plan: CorrectionPlan) -> int:
        """Returns how many steps were taken. Raises as `begin`, and HistoryError where the past cannot be corrected."""
        by, changes = self.begin(plan), [*self._changes.values()]
        self._run.settle()
        taken = reach_fixed_point(lambda: self.so_far.log, self._handlers, changes, by, self._publish)
        self.fold_projections()
        return taken

    def _publish(self, steps: Sequence[CorrectionStep]) -> None:
        for step in steps:
            self._put(step)
        self._run.settle()

    def _put(self, step: CorrectionStep) -> None:
        self._run.publish(step.namespace, step.entity.encode(), encode_step(step))

    def fold_projections(self) -> None:
        """Anew, over the corrected past: a projection keeps nothing by which an event could be taken back."""
        past = self.so_far.past(self._handlers)
        projecting: Projector = self._run.projecting
        projecting.rows = {name: dict(rows) for name, rows in PastTables(past, self._handlers).projections.items()}
