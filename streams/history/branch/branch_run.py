"""One computation of a branch: events have their turns in the total order, and what the change reaches is decided again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from heapq import merge

from streams.data import EventData
from streams.engine.readable import in_a_line
from streams.history.branch.branch_aside import BranchAside
from streams.history.branch.branch_calls import Answers
from streams.history.branch.branch_change import place_change
from streams.history.branch.branch_consequences import BranchConsequences, RowBefore, Said
from streams.history.branch.branch_corrections import StepsInBranch
from streams.history.branch.branch_decision import (
    BranchDecision,
    EmittedOtherwise,
    as_recorded,
    changes,
    decide,
    emitted_otherwise,
    in_another_order,
    leads_elsewhere,
)
from streams.history.branch.branch_findings import BranchFindings
from streams.history.branch.branch_lineage import BranchLineage
from streams.history.branch.branch_past import BranchPast
from streams.history.branch.branch_queue import BranchQueue, BranchTurn
from streams.history.branch.branch_rows import BranchRow, ReachedRows
from streams.history.branch.branch_skipped import SkippedEvents
from streams.history.branch.branch_timers import BranchSteps, BranchTimers
from streams.history.branch.branch_unchanged import UnchangedEvents
from streams.history.branch.branch_untold import RowsOfBase, first_erased_events
from streams.history.branch.change import Change
from streams.history.branch.early_effects import NOTHING_PRESUMED, PresumedEffects
from streams.history.code.application_handlers import ApplicationHandlers
from streams.history.code.recorded_code import RecordedCode
from streams.history.difference import difference
from streams.history.difference.difference import Difference, Origin
from streams.history.past import Past
from streams.history.recorded_event import PARKED, STEP, OrderKey, Place, RecordedEvent


def events_and_parked(past: Past) -> Iterator[RecordedEvent]:
    """All events of a past, and what a branch has parked, in order."""
    return merge(past.events(), past.aside.parked, key=lambda it: it.order) if past.aside.parked else past.events()


class BranchRun:
    """`in_full`: all events are decided, but for the first `skip`. Otherwise those that the change reaches.

    `steps_stand` is for what corrections have set (branch_corrections.py).
    """

    def __init__(  # noqa: PLR0913 - one computation, and how it is made
        self, past: Past, base: RecordedCode, handlers: ApplicationHandlers, answers: Answers | None, limit: int | None, *,
        in_full: bool, skip: int = 0, steps_stand: bool = True,
    ) -> None:  # fmt: skip
        self._past, self._base, self._handlers = past, base, handlers
        self._queue = BranchQueue(events_and_parked(past) if in_full else (), past.aside.turns)
        self._reached = ReachedRows(past, handlers, self._queue, in_full=in_full)
        self.lineage = BranchLineage(past, handlers, self._queue)
        self._findings = BranchFindings(max(0, len(past) + len(past.aside.parked) - skip), limit)
        self.assumed: Mapping[str, EventData] = self._findings.assumed  # a change with these has the same come of it
        self._after = BranchConsequences(past, base, handlers, self._queue, self._findings, answers, self.lineage)
        steps = BranchSteps(self._decide, self._miss)
        erased = first_erased_events(past, handlers.spaces) if in_full else {}  # else a row of one is refused
        self._were = RowsOfBase(past, base, self.lineage, self._findings, erased)
        self._corrections = StepsInBranch(
            past, handlers, self._reached, self._were, self.lineage, self._findings, stand=steps_stand
        )
        self._skipped, self._skip = SkippedEvents(base, handlers, self._queue, self._reached, self._were), skip
        self._unchanged: UnchangedEvents | None = None
        self._timers = BranchTimers(past, self._queue, self.lineage, self._after, handlers.spaces, steps)

    def be_quick(self, *, keep: bool) -> None:
        """For who decides all events, and changes none. `keep`: the branch's own past is asked for."""
        self._findings.keep = keep
        if self._past.aside.is_empty:
            self._unchanged = UnchangedEvents(
                self._past, self._base, self._handlers, self._findings, self._reached.rows, self.lineage,
                self._were.erased.keys(), self._after.places.otherwise, self._skipped.places,
            )

    def begin(self, change: Change, presumed: PresumedEffects = NOTHING_PRESUMED) -> None:
        placed = place_change(self._past, self._handlers, change, self._queue)
        self._corrections.begin(self._queue)
        self.lineage.removed |= placed.removed
        self._after.places.otherwise |= placed.replaced
        self._after.begin(presumed, change.assumed)

    def decide_all(self) -> None:
        self._skipped.skip(self._skip)
        self._queue.taken_by = None if self._unchanged is None else self._unchanged.take
        while (found := self._queue.pop()) is not None:
            order, item = found
            self._skipped.decide(item)
            if isinstance(item, RecordedEvent):
                self._take_recorded(order, item)
            elif isinstance(item, BranchTurn):
                self._decide(order, item)
            elif item in (row := self._reached.rows[item.owner]).timers:
                self._timers.fire(row, order, item)

    def _take_recorded(self, order: OrderKey, was: RecordedEvent) -> None:
        if self.lineage.has_seen(was) or self._past.aside.is_fired_in_place(was):
            return
        if was.kind == STEP:
            self._corrections.take(order, was)
        elif self.lineage.is_gone(was):
            self._miss(was)
        else:
            self._decide(order, self._after.places.turn_of(was))

    def _miss(self, was: RecordedEvent) -> None:
        """A recorded event that the branch has not."""
        if self.lineage.has_seen(was):
            return
        row = self._reached.reach(was.place, self._timers.first_place(was, was.order))
        self._timers.miss(row, was)
        before, asked = row.base[0], self._asked(was)
        pending = self._were.fold(row, was, in_branch=False)
        self._findings.miss(row, was, asked=asked)
        untold = row.untold is None and row.told_anew is None and self._after.has_untold(was, pending, as_it_was=False)
        self._after.miss(was, RowBefore(before, None, False, pending, untold), asked=asked)
        self.lineage.miss(was)

    def _asked(self, was: RecordedEvent) -> bool:
        """Whether a gateway was called."""
        handler = self._handlers.handler_of(was.namespace, was.event)
        return was.accepted and handler is not None and handler.function is None

    def _decide(self, order: OrderKey, turn: BranchTurn) -> None:
        if not self.lineage.take(turn):
            return
        was = turn.was
        row = self._reached.reach(turn.place, self._timers.first_place(was, order))
        if row.timers or self._past.aside.fired:
            self._timers.fire_before(row, order, turn)
        goes_on = not (row.was_stopped or row.stopped)
        as_it_was = was is not None and goes_on and row.base[0] == row.row and was.event == turn.event
        base_before, row_before = row.base[0], row.row
        pending = {} if was is None else self._were.fold(row, was, in_branch=was.event == turn.event)
        if row.untold is not None:
            self._were.leave(order, turn, row.untold)
            return
        self._findings.count(turn.event)
        as_it_was = as_it_was and row.told_anew is None
        untold = was is not None and row.told_anew is None and self._after.has_untold(was, pending, as_it_was=as_it_was)
        before, is_open = RowBefore(base_before, row_before, as_it_was, pending, untold), self._findings.is_open(row, turn.cause)
        if row.stopped:
            self._stop(order, turn, row, before, "an event before it of its key is parked", behind=True)
            return
        effects = self.lineage.effects(order, turn)
        try:
            decision = decide(self._handlers, row, turn, effects, partial(self.lineage.is_of, turn))
        except Exception as error:  # noqa: BLE001 - a handler may raise anything
            self._stop(order, turn, row, before, in_a_line(error))
            return
        said = self._take(order, turn, row, decision, before, effects)
        now = as_recorded(order, turn, decision.reason, decision.by)
        what = () if was is None else changes(was, now)
        self._findings.note(was, now, what, is_open=is_open)
        if was is not None and as_it_was:
            gone = self.lineage.gone(was, effects, said.records)
            timers = self._after.times_otherwise(decision.emissions, before.pending)
            moved = not self._after.same_code and in_another_order(decision.emissions)
            elsewhere = timers or bool(said.untold) or moved or leads_elsewhere(decision.emissions, gone, said.new)
            kind = what[0] if what else difference.EVENTS if elsewhere else difference.ROW if row.base[0] != row.row else None
            if kind is not None:
                led_to = [*(it for it in effects if it.order in said.records), *gone]
                codec = self._handlers.codec
                unhandled = {**before.pending, **said.untold}
                emitted = emitted_otherwise(decision.emissions, led_to, unhandled, codec) if elsewhere else EmittedOtherwise()
                self._findings.found.origins.append(Origin(kind, was, now, before.row, row.base[0], row.row, *emitted))
        self.lineage.lead_to(turn.reference, said.records, effects)

    def _take(
        self,
        order: OrderKey,
        turn: BranchTurn,
        row: BranchRow,
        decision: BranchDecision,
        before: RowBefore,
        effects: list[RecordedEvent],
    ) -> Said:
        """What a handler has decided becomes true in the branch; returns what it leads to."""
        was, row.row = turn.was, decision.row
        if was is not None and was.accepted != (decision.reason is None):  # what it had led to is not told by this decision
            before = before._replace(as_it_was=False)
        if decision.new_version:
            row.token = self._version(order, was)
        said = self._after.follow(order, turn, row, decision.emissions, before)
        self._after.compare_timers(decision.emissions, before.pending)
        if decision.asks:
            self._after.ask(order, turn, row, said, effects)
        elif was is not None and self._asked(was):
            self._findings.call(difference.NOT, was.event)
        return said

    def _version(self, order: OrderKey, was: RecordedEvent | None) -> int:
        """Of a row behind an event. What an event of the past had also has one that is put in again at its place."""
        if was is not None:
            return was.version
        return order.sequence if order.depth == 0 and order.turn == 0 else -self._findings.found.decided

    def _stop(
        self,
        order: OrderKey,
        turn: BranchTurn,
        row: BranchRow,
        before: RowBefore,
        error: str,
        *,
        behind: bool = False,
    ) -> None:
        """The event is parked, and its key with it."""
        row.stopped, was = True, turn.was
        now = as_recorded(order, turn, error, PARKED)
        self._findings.park(was, now, error, behind=behind)
        self.lineage.lead_to(turn.reference, (), self.lineage.effects(order, turn))
        if was is None:
            return
        self._after.miss(was, before, asked=self._asked(was))
        if before.as_it_was and not behind and not was.is_parked:
            self._findings.found.origins.append(Origin(difference.RAISES, was, now, before.row, row.base[0], None))

    @property
    def reached(self) -> Mapping[Place, BranchRow]:
        """The rows that were reached."""
        return self._reached.rows

    def difference(self) -> Difference:
        """To be asked for once."""
        return self._findings.result(
            self._reached.rows, skipped=self._skipped.count, only_skipped=self._skipped.rows
        )

    def past(self) -> BranchPast:
        """The branch's own past."""
        since = {place: row.since for place, row in self._reached.rows.items()}
        findings, was = self._findings, self._past.aside
        unanswered = frozenset(it for it in was.unanswered if not self.lineage.has_turned(it)) | findings.unanswered
        after, fired = self._after, dict(self._timers.fired)
        aside = BranchAside(
            findings.parked, fired, unanswered, self._queue.turns, after.in_flight, after.asked, self._timers.unfired
        )
        return BranchPast(self._past, since, findings.timeline, aside)
