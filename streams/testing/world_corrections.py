"""Corrections of what a World has handled."""

from __future__ import annotations

from collections.abc import Sequence

from streams.codec import codec_of
from streams.data import namespace_of
from streams.engine.attributes import time_text
from streams.engine.projector import Projector
from streams.engine.step import CorrectionStep, encode_step
from streams.engine.times import to_micros
from streams.history.branch.change import Change
from streams.history.code.application_handlers import ApplicationHandlers
from streams.history.correction.corrected_log import CorrectedLog, KnownCorrection
from streams.history.correction.corrected_past import Signature
from streams.history.correction.correction_calls import (
    ASK,
    CorrectionCall,
    UndoEvent,
    refuse_unknown_policy,
    settle_calls,
)
from streams.history.correction.correction_plan import CorrectionPlan, refuse_edited, refuse_other_log
from streams.history.correction.fixed_point import check_steps, reach_fixed_point
from streams.history.correction.last_corrected import LastCorrected
from streams.history.correction.merged_change import refuse_stale
from streams.history.past import MemoryPast
from streams.history.past_tables import PastTables
from streams.history.recorded_event import RecordedEvent
from streams.testing.memory_application import MemoryApplication
from streams.testing.world_history import events_of
from streams.testing.world_io import headers_of


class MemoryCorrections:
    """The corrections of one World, in their order."""

    def __init__(self, run: MemoryApplication) -> None:
        self._run = run
        self._handlers = ApplicationHandlers(run.app, codec_of(run.app))
        self._changes: dict[str, Change] = {}
        self._known: dict[str, KnownCorrection] = {}
        self._read: dict[str, list[RecordedEvent]] = {}
        """What is read of the log of each namespace."""
        self._last: MemoryPast | None = None
        self._decided = LastCorrected(self._handlers, ())
        self.calls: dict[str, CorrectionCall] = {}
        """Those that corrections have made wrong, by the reference of the request."""

    @property
    def so_far(self) -> CorrectedLog:
        log = self._log()
        known = [*self._known.values()]
        return CorrectedLog(log, [*self._changes.values()], [it.known_from for it in known], known)

    def _log(self) -> MemoryPast:
        """The same one until more is handled."""
        count = sum(map(len, self._read.values()))
        for space in self._run.spaces.values():
            known = self._read.setdefault(space.name, [])
            known += events_of(self._handlers, space, len(known))
        events = [it for known in self._read.values() for it in known]
        if self._last is None or len(events) != count:
            self._last = MemoryPast(events)
        return self._last

    def begin(self, plan: CorrectionPlan) -> Signature:
        """Take a plan on. Raises StalePlan for one that was edited, or is of another log, and as `check_steps`."""
        refuse_edited(plan)
        refuse_other_log(plan, self._run.app.name, self.so_far.log)
        by = Signature(plan.correction, plan.by, plan.why)
        changes = {**self._changes}
        if plan.correction not in changes:
            changes[plan.correction] = change = plan.change.read(self._handlers.codec)
            refuse_stale(self._log(), [*self._changes.values()], change)
        decided = LastCorrected(self._handlers, [*changes.values()])
        check_steps(decided.of(self._log()), by)  # what cannot be done is not begun
        self._changes, self._decided = changes, decided
        begun = to_micros(self._run.now)
        self._known.setdefault(plan.correction, KnownCorrection(plan.correction, plan.by, plan.why, begun, plan.change, True))
        return by

    def apply(self, plan: CorrectionPlan, calls: str = ASK) -> int:
        """Returns how many steps were taken. Raises as `begin`, and HistoryError where the past cannot be corrected."""
        refuse_unknown_policy(calls)
        by, changes = self.begin(plan), [*self._changes.values()]
        self._run.settle()
        taken = reach_fixed_point(self._log, self._handlers, changes, by, self._publish, decided=self._decided)
        if self._run.app.gateways:
            self._settle_calls(by, calls)
        self.fold_projections()
        return taken

    def _settle_calls(self, by: Signature, calls: str) -> None:
        log = self._log()
        corrected = self._decided.of(log)
        changed, over = settle_calls(
            corrected, log, self._handlers, self.calls, correction=by.correction, by=by.who, policy=calls,
            now=to_micros(self._run.now), publish=self._undo,
        )  # fmt: skip
        self.calls |= {it.reference: it for it in changed}
        for it in over:
            del self.calls[it.reference]
        self._run.settle()

    def _undo(self, event: UndoEvent) -> None:
        data = event.data
        headers = headers_of(data, event.id, event.source, time_text(self._run.now))
        self._run.publish(namespace_of(data.event_type), data.key.encode(), self._handlers.codec.encode(data), headers)

    def _publish(self, steps: Sequence[CorrectionStep]) -> None:
        for step in steps:
            self._put(step)
        self._run.settle()

    def _put(self, step: CorrectionStep) -> None:
        self._run.publish(step.namespace, step.entity.encode(), encode_step(step))

    def fold_projections(self) -> None:
        """Anew, over the corrected past: a projection keeps nothing by which an event could be taken back."""
        past = self._decided.of(self._log()).past
        projecting: Projector = self._run.projecting
        projecting.rows = {name: dict(rows) for name, rows in PastTables(past, self._handlers).projections.items()}
