"""What follows from a decision in a branch: what is emitted, asked for and scheduled, each at its place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from streams.data import EventData, Record
from streams.history.branch.branch_calls import Answers, answer_call
from streams.history.branch.branch_decision import as_recorded, data_of, without_emitted, without_record
from streams.history.branch.branch_emissions import BranchEmission
from streams.history.branch.branch_findings import BranchFindings
from streams.history.branch.branch_lineage import BranchLineage
from streams.history.branch.branch_places import BranchPlaces
from streams.history.branch.branch_queue import BranchQueue, BranchTurn
from streams.history.branch.branch_rows import BranchRow, timer_of
from streams.history.branch.early_effects import PresumedEffects
from streams.history.code.application_handlers import ApplicationHandlers
from streams.history.code.local_code import LocalCode
from streams.history.code.recorded_code import EmissionsByReference, RecordedCode
from streams.history.difference import difference
from streams.history.difference.difference import TimerChange
from streams.history.past import Past
from streams.history.recorded_event import ANSWER, OrderKey, RecordedEvent


class RowBefore(NamedTuple):
    """A row before an event, as it was and in the branch. `as_it_was`: both are equal, and so is the event.

    `pending` are the event's timers that have not fired in the past. `untold`: the event has emitted more than the past tells of,
    such as events of another application.
    """

    base: Record | None
    row: Record | None
    as_it_was: bool
    pending: EmissionsByReference
    untold: bool = False


class Said(NamedTuple):
    """What an event leads to: the places of records, and the references of what the past has not.

    `untold` is what it had emitted and does not now, and of which the past has no record: it had not been handled yet, or is of
    another application.
    """

    records: set[OrderKey]
    new: set[str]
    untold: EmissionsByReference


class BranchConsequences:
    """Puts into the queue what follows. `base` is the code that made the past."""

    def __init__(
        self,
        past: Past,
        base: RecordedCode,
        handlers: ApplicationHandlers,
        queue: BranchQueue,
        findings: BranchFindings,
        answers: Answers | None,
        lineage: BranchLineage,
    ) -> None:
        self._past, self._base, self._handlers, self._queue = past, base, handlers, queue
        self._findings, self._answers, self._lineage = findings, answers, lineage
        self.same_code = isinstance(base, LocalCode) and base.handlers is handlers
        end = past.end()
        self.places = BranchPlaces(queue, lineage, handlers.spaces, 0 if end is None else end.recorded)
        self.in_flight: EmissionsByReference = {}
        self._assumed: Mapping[str, EventData] = {}
        self.asked: dict[str, bytes] = {}
        """What events that are gone had led to, as a BranchAside has it."""

    def begin(self, presumed: PresumedEffects, assumed: Mapping[str, EventData]) -> None:
        """Take for granted what becomes of effects that stand before their causes: both have their turns.

        `assumed` is that of the change.
        """
        self._assumed = assumed
        self._lineage.early.presumed = presumed
        for order, turn in presumed.put.items():
            self._queue.push(order, turn)
        for it in presumed.changes.values():
            self._queue.push(it.effect.order, it.effect)
            self._queue.push(it.cause.order, it.cause)
            if it.now is None:
                self._lineage.removed.add(it.effect.order)
            else:
                self.places.otherwise[it.effect.order] = it.now

    def has_untold(self, was: RecordedEvent, pending: EmissionsByReference, *, as_it_was: bool) -> bool:
        """Whether the event that the code before has folded last has emitted more than the past tells of.

        That is not asked of one that is decided as it was, by the same code.
        """
        count = self._base.count()
        if count <= len(pending) or (self.same_code and as_it_was):
            return False
        return count > len(pending) + sum(it.kind != ANSWER for it in self._lineage.recorded_effects(was.reference))

    def miss(self, was: RecordedEvent, before: RowBefore, *, asked: bool) -> None:
        """An event is gone, or stands still. What it had led to without a record is kept in mind.

        `asked`: it is a request, so that it was in flight itself if it had no answer.
        """
        self.drop_timers(before.pending)
        self._keep(self._base.in_flight(self._past, was, before.base) if before.untold else before.pending, ())
        is_open = asked and was.reference not in self._past.aside.unanswered
        if is_open and not any(it.kind == ANSWER for it in self._lineage.recorded_effects(was.reference)):
            self.asked[was.reference] = was.value

    def _keep(self, then: EmissionsByReference, emissions: Sequence[BranchEmission]) -> None:
        """What an event had led to without a record, and does not now: if it does again, it is still in flight."""
        if then:
            now = {it.reference: (it.value, it.event.time) for it in emissions}
            self.in_flight |= {reference: said for reference, said in then.items() if now.get(reference) != said}

    def drop_timers(self, pending: EmissionsByReference) -> None:
        for reference, (value, time) in pending.items():
            if (data := data_of(self._handlers.codec, value)) is not None:
                self._findings.time(reference, TimerChange(difference.FIRES_NOT, data, before=time))

    def times_otherwise(self, emissions: Sequence[BranchEmission], pending: EmissionsByReference) -> bool:
        if not pending:
            return False
        now = {it.reference: (it.value, it.event.time) for it in emissions if it.at is not None and it.recorded is None}
        return any(now.get(reference) != timer for reference, timer in pending.items())

    def compare_timers(self, emissions: Sequence[BranchEmission], pending: EmissionsByReference) -> None:
        """Tell which of an event's timers that had not fired would do so otherwise, or not."""
        if not pending:
            return
        now = {it.reference: it for it in emissions if it.at is not None and it.recorded is None}
        self.drop_timers({reference: timer for reference, timer in pending.items() if reference not in now})
        for reference, (value, time) in pending.items():
            if (it := now.get(reference)) is not None and (it.value, it.event.time) != (value, time):
                self._findings.time(
                    reference, TimerChange(difference.FIRES_OTHERWISE, it.event.data, before=time, after=it.event.time)
                )

    def follow(
        self,
        order: OrderKey,
        turn: BranchTurn,
        row: BranchRow,
        emissions: Sequence[BranchEmission],
        before: RowBefore,
    ) -> Said:
        """Let what an event emits have its turn."""
        waiting = self._base.in_flight(self._past, turn.was, before.base) if before.untold and turn.was is not None else None
        untold = without_emitted(waiting or {}, emissions, before.pending) if before.as_it_was else {}
        said = Said(set(), set(), untold)
        if turn.was is not None:
            self._keep(before.pending if waiting is None else waiting, emissions)
        for it in map(self._without_another, emissions):
            if it.recorded is not None:
                if self.places.repeat(order, turn, row, it, it.recorded):
                    said.records.add(it.recorded.order)
                else:
                    said.new.add(it.reference)
            elif it.at is not None:
                if not self._waits(row, turn, it, before.pending) and self.places.emit(order, turn, row, it):
                    said.new.add(it.reference)
            else:
                if waiting is None and turn.was is not None:
                    plain = before.as_it_was and self.same_code and not self._handlers.leaves(turn.was)
                    waiting = (
                        without_record(emissions) if plain else self._base.in_flight(self._past, turn.was, before.base)
                    )
                if self._is_in_flight(it, waiting or {}):
                    self._findings.found.in_flight.append(it.reference)
                elif self.places.emit(order, turn, row, it):
                    said.new.add(it.reference)
        return said

    def _without_another(self, it: BranchEmission) -> BranchEmission:
        """What was in flight before a branch is so again, and takes no place of what the branch has under its id instead."""
        if it.recorded is None or it.same or not self._is_in_flight(it, {}):
            return it
        return it._replace(recorded=None)

    def _is_in_flight(self, it: BranchEmission, waiting: EmissionsByReference) -> bool:
        return (it.value, it.event.time) in (waiting.get(it.reference), self._past.aside.in_flight.get(it.reference))

    def _waits(self, row: BranchRow, turn: BranchTurn, it: BranchEmission, pending: EmissionsByReference) -> bool:
        """Whether a timer waits as it did, in the past or in one that the past is a branch of, or as a correction has left it."""
        if not self._is_in_flight(it, pending) and self._lineage.left.get(it.reference) != (it.value, it.event.time):
            return False
        row.timers.append(timer_of(it, turn.place, turn.reference, known=True))
        if it.reference not in pending:
            self._findings.time(it.reference, TimerChange(difference.FIRES, it.event.data, after=it.event.time))
        return True

    def ask(
        self, order: OrderKey, turn: BranchTurn, row: BranchRow, said: Said, effects: Sequence[RecordedEvent]
    ) -> None:
        found = answer_call(self._past, self._handlers, self._answers, turn, effects, self._assumed)
        if found.assumed:
            self._findings.assumed[turn.reference] = turn.event.data
        if found.call is not None:
            self._findings.call(found.call, turn.event)
        if found.waits:
            self._findings.wait(row, as_recorded(order, turn, None, None), again=found.call is None)
        if found.answer is None:
            return
        answer, reference = found.answer, found.answer.reference
        if found.recorded is None:
            said.new.add(reference)
            former = [it.order for it in self._past.former(reference) if it.order > order]
            self._queue.push(former[0] if former else self._queue.behind(order), answer)
            return
        said.records.add(found.recorded.order)
        if (answer.value, answer.event) != (
            found.recorded.value,
            found.recorded.event,
        ) or found.recorded.order <= order:
            self.places.put_again(order, found.recorded, answer.event, answer.value)
