"""Planning a correction: the difference between the past as corrected so far, and as corrected once more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec
from msgspec.structs import replace

from streams.data import EventData
from streams.engine.readable import shortened
from streams.errors import InvalidChange
from streams.event import derived_id
from streams.history.branch.branch import Branch, what_if
from streams.history.branch.branch_calls import Answers, as_it_answered
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
from streams.history.correction.merged_change import added_to, merged, places_of
from streams.history.correction.said_and_come import led_elsewhere
from streams.history.correction.unknown_corrections import refuse_unknown
from streams.history.difference.difference import NOT, OTHERWISE, CallChange, Difference
from streams.history.past import Past
from streams.history.recorded_event import OrderKey

LONGEST = 1_000
"""Characters of who corrects, and of why."""
MOST_LOOKS = 10
"""At whether what comes is what is said. Each but the first decides the past twice more; nearly always there is none."""


class _Meant(NamedTuple):
    """A correction to be planned: its id, who corrects and why, its change, and the first event of its log."""

    correction: str
    by: str
    why: str
    change: StoredChange
    first: str | None


def plan_correction(
    so_far: CorrectedLog, handlers: ApplicationHandlers, change: Change, by: str, why: str, limit: int | None = None, *,
    assume_answers: bool = False,
) -> CorrectionPlan:  # fmt: skip
    """`assume_answers`: requests to gateways keep the answers that they had, also with other data, as for a replay.

    The correction names these requests with their data, so that whoever carries it out decides the same, and so that a later one
    which has them otherwise once more does not take the old answers for its own.

    Raises InvalidChange for a change that cannot be made, and for nobody or no reason; else as `what_if`, also for `limit`.
    """
    refuse_unsigned(by, why)
    _refuse_unknown_steps(so_far)
    before = so_far.past(handlers)
    placed = with_places(before, so_far.log, handlers, change, so_far.changes)
    merged(so_far.log, [*so_far.changes, placed])  # it refuses what cannot be kept
    decided = _decided_as_said(so_far, before, handlers, placed, limit, as_it_answered if assume_answers else None)
    stored = stored_change(handlers.codec, decided.change)
    first = next(iter(so_far.log.events()), None)
    told = [msgspec.json.encode(stored).hex(), by, why, len(so_far.changes)]
    name = derived_id("correction", handlers.app.name, *told)
    meant = _Meant(name, by, why, stored, None if first is None else first.exact_name)
    return _planned(before, handlers, meant, decided)


def plan_again(
    so_far: CorrectedLog, handlers: ApplicationHandlers, kept: Planned, limit: int | None = None
) -> CorrectionPlan:
    """What a correction that was planned before would do by now: the digest is the same if all of it still is so.

    Raises as `plan_correction`, and StalePlan for one of another log.
    """
    refuse_other_log(kept, handlers.app.name, so_far.log)
    _refuse_unknown_steps(so_far)
    meant = _Meant(kept.correction, kept.by, kept.why, kept.change, kept.first)
    before = so_far.past(handlers)
    return _planned(before, handlers, meant, _decided(so_far, before, handlers, kept.change.read(handlers.codec), limit))


def _refuse_unknown_steps(so_far: CorrectedLog) -> None:
    if so_far.names is not None:
        refuse_unknown(so_far.log, so_far.names)


class _Decided(NamedTuple):
    """What a change makes of the log, with the corrections before it; and of the past that those have made: what it `adds`."""

    change: Change
    corrected: CorrectedPast
    adds: Branch

    @property
    def assumed(self) -> Mapping[str, EventData]:
        return {**self.adds.assumed, **self.corrected.assumed}


def _decided_as_said(
    so_far: CorrectedLog, before: Past, handlers: ApplicationHandlers, change: Change, limit: int | None, answers: Answers | None
) -> _Decided:
    """With a change that names the events, too, which the code here decides otherwise than what it was recorded from.

    Corrections before had reached them. Without that, the log with all corrections may have them as they were recorded, and what
    comes would be something else than what is said.
    """
    decided = _decided(so_far, before, handlers, change, limit, answers)
    for _ in range(MOST_LOOKS if so_far.changes else 0):
        again = decided.change.again
        names = led_elsewhere(so_far.log, decided.adds.past, decided.corrected.past) - again
        if not names:
            break
        decided = _decided(so_far, before, handlers, replace(decided.change, again=again | names), limit, answers)
    if not decided.assumed:
        return decided
    return _decided(so_far, before, handlers, replace(decided.change, assumed=decided.assumed), limit)


def _decided(
    so_far: CorrectedLog, before: Past, handlers: ApplicationHandlers, change: Change, limit: int | None,
    answers: Answers | None = None,
) -> _Decided:  # fmt: skip
    log, earlier = so_far.log, so_far.changes
    applied = merged(log, earlier)
    together = merged(log, [*earlier, change])
    corrected = CorrectedPast(log, handlers, together, answers, applied=applied, limit=None if earlier else limit)
    if not earlier:  # the first one is decided with it already
        return _Decided(change, corrected, Branch(corrected.difference, {}, corrected.past, corrected.assumed))
    branch = what_if(before, handlers, added_to(before, earlier, change), answers=answers, limit=limit)
    return _Decided(change, corrected, branch)


def _planned(before: Past, handlers: ApplicationHandlers, meant: _Meant, decided: _Decided) -> CorrectionPlan:
    corrected, found = decided.corrected, decided.adds.difference
    different = [*corrected.different_rows()]
    for it in different:
        corrected.refuse_fired(it)
    plan = CorrectionPlan(
        handlers.app.name, meant.correction, meant.by, meant.why, meant.change, meant.first, tuple(map(_row, different)),
        *told_events(before, decided.adds.past, found), tuple(_calls(handlers, found, before)), len(found.open),
        _projections(handlers, found),
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


def with_places(
    before: Past, log: Past, handlers: ApplicationHandlers, change: Change, earlier: Sequence[Change] = ()
) -> Change:
    """The change, with the id and the place of each event that is put in: both stay, however the log grows.

    What one of the `earlier` corrections had put in, and another one took out, stands where it stood.
    """
    placed = place_change(before, handlers, change, BranchQueue((), before.aside.turns)).inserted
    end = log.end() or OrderKey(0, "", 0, 0)  # of a branch's past it is the same
    stood = places_of(earlier)
    places = {
        turn.reference: end._replace(depth=1, turn=order.turn) if order.recorded == END else order for turn, order in placed
    }
    for turn, _ in placed:
        there = stood.get((turn.reference, turn.place, turn.event.time))
        if there is not None and all(it.place != turn.place for it in log.find_all(turn.reference)):
            places[turn.reference] = there
    inserted = [
        replace(it, id=turn.event.id, after=None, source=turn.event.source)
        for it, (turn, _) in zip(change.insert, placed, strict=True)
    ]
    return Change(inserted, change.remove, change.replace, places, end, again=change.again, assumed=change.assumed)


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


def _calls(handlers: ApplicationHandlers, found: Difference, before: Past) -> list[PlannedCall]:
    """What only an earlier correction has put in was never asked, so nothing takes it back."""
    undo = {it.data: None if it.undo is None else it.undo.event_type for it in handlers.app.gateways}

    def undone_by(it: CallChange) -> str | None:
        there = before.find(it.request.reference) if it.kind in (NOT, OTHERWISE) else None
        return None if there is None or not there.has_position else undo.get(type(it.request.data))

    return [PlannedCall(it.kind, it.request.data.event_type, it.request.key, it.request.id, undone_by(it)) for it in found.calls]
