"""Rows and timers of the present, as the log tells them: what a corrected past is compared with.

A row that a correction has set by code of another generation is not told by its log. Workers keep rows of this generation, which
were built from what the corrections made of the past by then: so what these make of it is what is there. So it is behind an event
that this code refuses, though it was accepted, and that a correction has taken out or given other data since.
"""

from __future__ import annotations

from collections.abc import Set
from functools import cached_property
from typing import NamedTuple

from streams.engine.readable import named
from streams.engine.records import Entry
from streams.engine.step import DroppedTimer, StepTimer
from streams.engine.times import to_micros
from streams.errors import CodeChanged, HistoryError
from streams.history.branch.branch_past import BranchPast
from streams.history.branch.branch_queue import BranchTimer
from streams.history.branch.branch_rows import BranchRow
from streams.history.branch.branch_run import BranchRun
from streams.history.branch.change import Change
from streams.history.code.application_handlers import ApplicationHandlers
from streams.history.code.local_code import LocalCode
from streams.history.code.recorded_code import without_recorded
from streams.history.code.recorded_row import RecordedRow
from streams.history.correction.decided_change import decided_change
from streams.history.past import Past
from streams.history.recorded_event import STEP, OrderKey, Place, RecordedEvent


class WaitingTimer(NamedTuple):
    """A timer of the present: its bytes, when it is due (µs), and what took it away if it were to go."""

    value: bytes
    due: int
    gone: DroppedTimer


WaitingTimers = dict[str, WaitingTimer]
"""By event id."""


class RowsAsKept:
    """Of a log; `applied` is what the corrections change together that were applied to their end."""

    def __init__(self, log: Past, handlers: ApplicationHandlers, applied: Change | None) -> None:
        self._log, self._handlers, self._applied = log, handlers, applied

    def base(self, place: Place, row: BranchRow) -> Entry:
        """Of a row that a branch has reached: what it is, and its version."""
        if row.told_anew is None:
            return row.base
        return self._of_applied(place, row).row, version_in(self._log, self._handlers, place)

    def timers(self, place: Place, row: BranchRow) -> WaitingTimers:
        """Those that wait at a row that a branch has reached."""
        if row.told_anew is None and place not in self._with_steps:  # the branch has folded all of its events
            return {
                name: WaitingTimer(it.value, it.due, DroppedTimer(name, it.cause, it.source)) for name, it in row.waited.items()
            }
        if (until := self._unknown_until(place)) is None:
            return live_timers(self._log, self._handlers, place)
        found = {it.turn.event.id: self._waiting(it) for it in self._of_applied(place, row).timers}
        for it in self._log.key_events(place):  # and what steps of this generation have changed since
            if it.kind == STEP and it.order > until:
                _set(found, it)
        return {name: it for name, it in found.items() if not has_come(self._log, name)}

    @cached_property
    def _with_steps(self) -> Set[Place]:
        return {it.place for it in self._log.steps()}

    @cached_property
    def _set_by_others(self) -> dict[Place, RecordedEvent]:
        """Rows that code of another generation has set, and the last such step."""
        return {it.place: it for it in filter(self._handlers.is_of_another_generation, self._log.steps())}

    def _unknown_until(self, place: Place) -> OrderKey | None:
        """Behind what the log tells which timers wait at a row: the last step of others, or the last event that is refused.

        None: it tells all of them.
        """
        if (by := self._set_by_others.get(place)) is not None:
            return by.order
        row, until = RecordedRow(LocalCode(self._handlers).fold), None
        for it in self._log.key_events(place):
            row.take(it)
            if row.refused is it:
                until = it.order
        return until

    @cached_property
    def _run(self) -> BranchRun:
        if self._applied is None:
            raise HistoryError("corrections have set rows that the code here cannot tell, and what they make of these is not known")
        return decided_change(self._log, self._handlers, self._applied)

    def _waiting(self, it: BranchTimer) -> WaitingTimer:
        event, cause = it.turn.event, self._past.find(it.turn.cause or "")
        gone = DroppedTimer(event.id, "" if cause is None else cause.event.id, "" if cause is None else cause.event.source)
        return WaitingTimer(it.turn.value, it.due, gone)

    @cached_property
    def _past(self) -> BranchPast:
        return self._run.past()

    def _of_applied(self, place: Place, reached: BranchRow) -> BranchRow:
        """Raises HistoryError if it cannot be told: CodeChanged where no correction was applied that has reached it."""
        row = self._run.reached.get(place)
        if row is None:
            why = None if reached.told_anew is None else reached.told_anew.why
            raise CodeChanged(why or f"the row {named(place[1])!r} of {place[0]} cannot be told: this code refuses an event of it")
        if row.untold is not None:
            raise HistoryError(row.untold.why)
        return row


def version_in(log: Past, handlers: ApplicationHandlers, place: Place) -> int:
    """The version of a row: of its last event that set it, whatever it did to it."""
    for it in reversed(log.key_events(place)):
        handler = handlers.handler_of(it.namespace, it.event)
        if it.kind == STEP or (it.accepted and handler is not None and handler.function is not None):
            return it.version
    return 0


def live_timers(log: Past, handlers: ApplicationHandlers, place: Place) -> WaitingTimers:
    """The timers that wait at a row, as its log tells: what its events scheduled and has not fired, as steps have left it.

    An id may be handled twice: what an earlier event of its cause's id has led to is not this one.
    """
    code, found = LocalCode(handlers), WaitingTimers()
    current: Entry = (None, 0)
    for it in log.key_events(place):
        current = code.fold(current, it)
        if it.kind == STEP:
            _set(found, it)
            for each in it.event.data.added:
                if has_come(log, each.event_id):
                    del found[each.event_id]
        else:
            for name, (value, time) in without_recorded(log, it, code.scheduled(it)).items():
                found[name] = WaitingTimer(value, to_micros(time), DroppedTimer(name, it.event.id, it.event.source))
    return found


def _set(found: WaitingTimers, step: RecordedEvent) -> None:
    for gone in step.event.data.dropped:
        found.pop(gone.event_id, None)
    found.update({each.event_id: _added(each) for each in step.event.data.added})


def _added(it: StepTimer) -> WaitingTimer:
    headers = dict(it.headers)
    cause, source = (headers.get(name, b"").decode() for name in ("ce_causationid", "ce_causationsource"))
    return WaitingTimer(it.value, it.at, DroppedTimer(it.event_id, cause, source))


def has_come(log: Past, event_id: str) -> bool:
    return any(it.kind != STEP for it in log.find_all(event_id))
