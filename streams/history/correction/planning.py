"""Planning a correction: the difference between the past as corrected so far, and as corrected once more."""

from __future__ import annotations

from typing import NamedTuple

import msgspec
from msgspec.structs import replace

from streams.engine.readable import shortened
from streams.errors import InvalidChange
from streams.event import derived_id
from streams.history.branch.branch import what_if
from streams.history.branch.branch_change import place_change
from streams.history.branch.branch_queue import END, BranchQueue
from streams.history.branch.change import Change
from streams.history.code.application_handlers import ApplicationHandlers
from streams.history.correction.corrected_log import CorrectedLog
from streams.history.correction.corrected_past import CorrectedPast, DifferentRow
from streams.history.correction.correction_plan import (
    CorrectionPlan,
    Planned,
    PlannedCall,
    PlannedEvent,
    PlannedRow,
    StoredChange,
    plain,
    planned_event,
    refuse_other_log,
    sealed,
    stored_change,
)
from streams.history.correction.merged_change import merged
from streams.history.correction.unknown_corrections import refuse_unknown
from streams.history.difference.difference import NOT, Difference
from streams.history.past import Past
from streams.history.recorded_event import OrderKey

LONGEST = 1_000
"""Characters of who corrects, and of why."""


class _Meant(NamedTuple):
    """A correction to be planned: its id, who corrects and why, its change, and the first event of its log."""

    correction: str
    by: str
    why: str
    change: StoredChange
    first: str | None


def plan_correction(
    so_far: CorrectedLog, handlers: ApplicationHandlers, change: Change, by: str, why: str, limit: int | None = None
) -> CorrectionPlan:
    """Raises InvalidChange for a change that cannot be made, and for nobody or no reason; else as `what_if`, also for `limit`."""
    refuse_unsigned(by, why)
    _refuse_unknown_steps(so_far)
    before = so_far.past(handlers)
    placed = with_places(before, so_far.log, handlers, change)
    merged(so_far.log, [*so_far.changes, placed])  # it refuses what cannot be kept
    stored = stored_change(handlers.codec, placed)
    first = next(iter(so_far.log.events()), None)
    told = [msgspec.json.encode(stored).hex(), by, why, len(so_far.changes)]
    name = derived_id("correction", handlers.app.name, *told)
    meant = _Meant(name, by, why, stored, None if first is None else first.exact_name)
    return _planned(so_far, before, handlers, meant, placed, limit)


def plan_again(
    so_far: CorrectedLog, handlers: ApplicationHandlers, kept: Planned, limit: int | None = None
) -> CorrectionPlan:
    """What a correction that was planned before would do by now: the digest is the same if all of it still is so.

    Raises as `plan_correction`, and StalePlan for one of another log.
    """
    refuse_other_log(kept, handlers.app.name, so_far.log)
    _refuse_unknown_steps(so_far)
    meant = _Meant(kept.correction, kept.by, kept.why, kept.change, kept.first)
    return _planned(so_far, so_far.past(handlers), handlers, meant, kept.change.read(handlers.codec), limit)


def _refuse_unknown_steps(so_far: CorrectedLog) -> None:
    if so_far.names is not None:
        refuse_unknown(so_far.log, so_far.names)


def _planned(
    so_far: CorrectedLog, before: Past, handlers: ApplicationHandlers, meant: _Meant, placed: Change, limit: int | None
) -> CorrectionPlan:
    log, first = so_far.log, not so_far.changes
    change = merged(log, [*so_far.changes, placed])
    corrected = CorrectedPast(log, handlers, change, applied=merged(log, so_far.changes), limit=limit if first else None)
    now, found = corrected.past, corrected.difference
    if not first:  # what it adds to those before, which the first one alone is decided with already
        ends = [it.end for it in so_far.changes if it.end is not None]
        branch = what_if(before, handlers, replace(placed, ends=ends), limit=limit)
        now, found = branch.past, branch.difference
    different = [*corrected.different_rows()]
    for it in different:
        corrected.refuse_fired(it)
    plan = CorrectionPlan(
        handlers.app.name, meant.correction, meant.by, meant.why, meant.change, meant.first, tuple(map(_row, different)),
        *told_events(before, now, found), tuple(_calls(handlers, found)), len(found.open), _projections(handlers, found),
    )  # fmt: skip
    return sealed(plan)


class ToldEvents(NamedTuple):
    """The events that are not there any more, those that are new, and those that are otherwise."""

    missing: tuple[PlannedEvent, ...]
    surplus: tuple[PlannedEvent, ...]
    changed: tuple[PlannedEvent, ...]


def told_events(before: Past, now: Past, found: Difference) -> ToldEvents:
    return ToldEvents(
        tuple(planned_event(before, it) for it in found.missing),
        tuple(planned_event(now, it) for it in found.surplus),
        tuple(planned_event(now, it.now, it.what, it.recorded) for it in found.changed),
    )


def with_places(before: Past, log: Past, handlers: ApplicationHandlers, change: Change) -> Change:
    """The change, with the id and the place of each event that is put in: both stay, however the log grows."""
    placed = place_change(before, handlers, change, BranchQueue((), before.aside.turns)).inserted
    end = log.end() or OrderKey(0, "", 0, 0)  # of a branch's past it is the same
    places = {
        turn.reference: end._replace(depth=1, turn=order.turn) if order.recorded == END else order for turn, order in placed
    }
    inserted = [
        replace(it, id=turn.event.id, after=None, source=turn.event.source)
        for it, (turn, _) in zip(change.insert, placed, strict=True)
    ]
    return Change(inserted, change.remove, change.replace, places, end, again=change.again)


def refuse_unsigned(by: str, why: str) -> None:
    """Raises InvalidChange."""
    for what, text in (("who corrects", by), ("why", why)):
        if not text.strip():
            raise InvalidChange(f"a correction says {what}, since it is told for ever; by= and why= were expected")
        if len(text) > LONGEST:
            raise InvalidChange(f"{what} is {len(text)} characters long: {shortened(text, 40)!r}; at most {LONGEST} are kept")


def _row(it: DifferentRow) -> PlannedRow:
    namespace, key = it.place
    row, version = it.live
    return PlannedRow(namespace, key, version, plain(row), plain(it.row.row), len(it.added), len(it.dropped))


def _projections(handlers: ApplicationHandlers, found: Difference) -> tuple[str, ...]:
    """Those that fold an event which is otherwise. What is rejected is not folded."""
    changed = [it for each in found.changed for it in (each.recorded, each.now)]
    types = {type(it.event.data) for it in (*found.missing, *found.surplus, *changed, *found.open) if it.accepted}
    return tuple(it.name for it in handlers.app.projections if not types.isdisjoint(it.folds_by))


def _calls(handlers: ApplicationHandlers, found: Difference) -> list[PlannedCall]:
    undo = {it.data: None if it.undo is None else it.undo.event_type for it in handlers.app.gateways}
    return [
        PlannedCall(
            it.kind, it.request.data.event_type, it.request.key, it.request.id,
            undo.get(type(it.request.data)) if it.kind == NOT else None,
        )
        for it in found.calls
    ]  # fmt: skip
