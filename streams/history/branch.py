"""What if: the past with a change, or with other code. Only what the change reaches is decided again.

A recorded event keeps its place, what a branch adds comes right behind its cause, and nothing real is touched. The idea is Martin
Fowler's parallel model; that events are decided again, and not just folded, is ours.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from streams.data import Record
from streams.engine.readable import in_a_line
from streams.errors import HistoryError
from streams.history import difference
from streams.history.application_handlers import ApplicationHandlers
from streams.history.branch_calls import Answers
from streams.history.branch_change import place_change
from streams.history.branch_consequences import BranchConsequences, RowBefore
from streams.history.branch_decision import (
    BranchDecision,
    as_recorded,
    changes,
    decide,
    emitted_otherwise,
    leads_elsewhere,
)
from streams.history.branch_findings import BranchFindings
from streams.history.branch_past import BranchPast
from streams.history.branch_queue import BranchQueue, BranchTimer, BranchTurn, in_place
from streams.history.branch_rows import BranchRow, row_before
from streams.history.branch_unchanged import UnchangedEvents
from streams.history.change import Change
from streams.history.difference import Difference, Origin
from streams.history.local_code import LocalCode
from streams.history.past import Past, from_order
from streams.history.recorded_code import RecordedCode, Unhandled, without_recorded
from streams.history.recorded_event import OrderKey, Place, RecordedEvent, place_of

NO_CHANGE = Change()


class Branch(NamedTuple):
    """A branch: how it differs from its past, the rows that it reached, and its own past."""

    difference: Difference
    rows: Mapping[Place, Record | None]
    past: BranchPast


def what_if(
    past: Past,
    handlers: ApplicationHandlers,
    change: Change = NO_CHANGE,
    *,
    answers: Answers | None = None,
    everything: bool = False,
    limit: int | None = None,
) -> Branch:
    """The branch of `past` that a change leads to.

    Args:
        past: The past.
        handlers: Those that made it.
        change: What is put in, taken out and replaced.
        answers: What gateways would answer. A request that was answered before has its answer again in any case.
        everything: Decide all events again, and not only what the change reaches; the result is the same.
        limit: The most events to decide; None: ten times as many as there are, and at least 10,000.

    Raises:
        HistoryError: The change names an event that is not there, or is no root; the past cannot be told by this code; or the
            branch does not end.
        InvalidEvent: An event that is put in may not be published as it is.
        DefinitionError: It belongs to no namespace of the application.

    """
    queue = BranchQueue(past.events() if everything else ())
    run = _Run(past, LocalCode(handlers), handlers, queue, answers, limit, in_full=everything)
    run.begin(change)
    run.decide_all()
    return run.branch()


def replay(
    past: Past,
    recorded: RecordedCode,
    handlers: ApplicationHandlers,
    *,
    answers: Answers | None = None,
    limit: int | None = None,
) -> Branch:
    """The branch of `past` that other code leads to: all its events are decided again.

    Args:
        past: The past.
        recorded: The code that made it: it tells what rows were.
        handlers: Those that decide in the branch.
        answers: What gateways would answer to requests that were never made.
        limit: As for `what_if`.

    Raises:
        HistoryError: The past cannot be told by `recorded`, or the branch does not end.

    """
    return _replayed(past, recorded, handlers, answers, limit).branch()


def compare(
    past: Past,
    recorded: RecordedCode,
    handlers: ApplicationHandlers,
    *,
    answers: Answers | None = None,
    limit: int | None = None,
) -> Difference:
    """The difference of `replay`, without the branch's own past: its events are not kept, but for those that are otherwise."""
    return _replayed(past, recorded, handlers, answers, limit, keep=False).difference()


def _replayed(
    past: Past,
    recorded: RecordedCode,
    handlers: ApplicationHandlers,
    answers: Answers | None,
    limit: int | None,
    *,
    keep: bool = True,
) -> _Run:
    run = _Run(past, recorded, handlers, BranchQueue(past.events()), answers, limit, in_full=True)
    run.be_quick(keep=keep)
    run.decide_all()
    return run


class _Run:
    """One computation of a branch. `in_full`: the queue has all events from the first on."""

    def __init__(
        self,
        past: Past,
        base: RecordedCode,
        handlers: ApplicationHandlers,
        queue: BranchQueue,
        answers: Answers | None,
        limit: int | None,
        *,
        in_full: bool,
    ) -> None:
        self._past, self._base, self._handlers, self._queue = past, base, handlers, queue
        self._in_full = in_full
        self._rows: dict[Place, BranchRow] = {}
        self._handled: dict[str, OrderKey | None] = {}
        """References, with the places that they have in the past."""
        self._said: dict[str, set[str]] = {}
        """By an event that was decided or is missing: the references of what it leads to."""
        self._removed: frozenset[str] = frozenset()
        self._findings = BranchFindings(len(past), limit)
        self._after = BranchConsequences(past, base, handlers, queue, self._findings, answers)
        self._unchanged: UnchangedEvents | None = None

    def be_quick(self, *, keep: bool) -> None:
        """For who decides all events, and changes none. `keep`: the branch's own past is asked for."""
        self._findings.keep = keep
        self._unchanged = UnchangedEvents(
            self._past, self._base, self._handlers, self._findings, self._rows, self._handled, self._said
        )

    def begin(self, change: Change) -> None:
        self._removed, replaced = place_change(self._past, self._handlers, change, self._queue)
        self._after.otherwise |= replaced

    def decide_all(self) -> None:
        while (found := self._queue.pop()) is not None:
            order, item = found
            if isinstance(item, RecordedEvent):
                if self._unchanged is None or not self._unchanged.take(order, item):
                    self._take_recorded(order, item)
            elif isinstance(item, BranchTurn):
                self._decide(order, item)
            elif item in self._rows[item.owner].timers:
                self._fire(order, item)

    def _take_recorded(self, order: OrderKey, was: RecordedEvent) -> None:
        if was.reference in self._handled:
            self._refuse_repetition(was)
            return
        said = None if was.cause is None else self._said.get(was.cause)
        if was.reference in self._removed or (said is not None and was.reference not in said):
            self._miss(was)
            return
        event, value = self._after.otherwise.get(was.reference, (was.event, was.value))
        self._decide(order, BranchTurn(event, was.reference, value, was.kind, was.cause, was.ordinal, was.expected, was))

    def _refuse_repetition(self, was: RecordedEvent) -> None:
        """Two events may have one id: of two keys, or beyond the window that a worker remembers. Raises HistoryError."""
        first = self._handled[was.reference]
        if first is not None and first != was.order:
            raise HistoryError(
                f"two events of one source have the id {was.event.id}: {place_of(first)} and {was.name}. It was given to two keys, "
                "or again after more events than a worker remembers (duplicate_window); such a past cannot be varied yet"
            )

    def _row(self, place: Place, order: OrderKey) -> BranchRow:
        """Only as an event's turn comes: a row that is reached at a later place too early would lose what is between."""
        row = self._rows.get(place)
        if row is None:
            if self._in_full:
                row = BranchRow(order, (None, 0), None, 0, [])
            else:
                row = row_before(self._past, self._handlers, place, order)
                for it in from_order(self._past.key_events(place), order):
                    self._queue.push(it.order, it)
            self._rows[place] = row
        return row

    def _miss(self, was: RecordedEvent) -> None:
        """A recorded event that the branch has not."""
        row = self._row(was.place, was.order)
        pending = self._fold(row, was)
        self._handled[was.reference] = was.order
        self._findings.miss(row, was, asked=self._asked(was))
        self._after.drop_timers(pending)
        self._lead_to(was.reference, set(), self._past.effects(was.reference))

    def _fold(self, row: BranchRow, was: RecordedEvent) -> Unhandled:
        """Take the row as it was one event further; returns the event's timers that have not fired in the past."""
        row.base = self._base.fold(row.base, was)
        return without_recorded(self._past, was, self._base.scheduled(was))

    def _asked(self, was: RecordedEvent) -> bool:
        """Whether a gateway was called."""
        handler = self._handlers.handler_of(was.namespace, was.event)
        return was.accepted and handler is not None and handler.function is None

    def _lead_to(self, reference: str, said: set[str], effects: Sequence[RecordedEvent]) -> None:
        """What an event no longer leads to is missing when its turn comes."""
        self._said[reference] = said
        for effect in effects:
            if effect.reference not in said:
                self._queue.push(effect.order, effect)

    def _fire_before(self, row: BranchRow, order: OrderKey, turn: BranchTurn) -> None:
        """The timers of a row that are due before one of its events, in the order of their times.

        One that never fired in the past fires only before an event that the past has not, or has at another time.
        """
        was, time, number = turn.was, turn.time, 0
        as_it_was = was is not None and was.event.time == turn.event.time
        while not row.stopped:
            due = [it for it in row.timers if it.due < time and not (it.known and as_it_was)]
            if not due:
                break
            self._fire(in_place(order, number), min(due, key=lambda it: it.due))
            number += 1

    def _fire(self, order: OrderKey, timer: BranchTimer) -> None:
        self._rows[timer.owner].timers.remove(timer)
        if timer.turn.reference in self._handled or timer.turn.place[0] not in self._handlers.spaces:
            return
        if timer.own:
            self._decide(order, timer.turn)
        else:
            self._queue.push(self._queue.behind(order), timer.turn)

    def _decide(self, order: OrderKey, turn: BranchTurn) -> None:
        if turn.reference in self._handled:
            return
        row, was = self._row(turn.place, order), turn.was
        self._fire_before(row, order, turn)
        self._handled[turn.reference] = None if was is None else was.order
        self._findings.count(turn.event)
        as_it_was = was is not None and row.base[0] == row.row and was.event == turn.event
        base_before, row_before = row.base[0], row.row
        before = RowBefore(base_before, row_before, as_it_was, {} if was is None else self._fold(row, was))
        is_open = self._findings.is_open(row, turn.cause)
        if row.stopped:
            self._stop(order, turn, row, "an event before it of its key is parked", behind=True)
            self._after.drop_timers(before.pending)
            return
        effects = self._past.effects(turn.reference)
        try:
            decision = decide(self._handlers, row, turn, effects)
        except Exception as error:  # noqa: BLE001 - a handler may raise anything
            now = self._stop(order, turn, row, in_a_line(error))
            self._after.drop_timers(before.pending)
            if was is not None and as_it_was:
                self._findings.found.origins.append(Origin(difference.RAISES, was, now, before.row, row.base[0], None))
            return
        said = self._take(order, turn, row, decision, before)
        now = as_recorded(order, turn, decision.reason, decision.by)
        what = () if was is None else changes(was, now)
        self._findings.note(was, now, what, is_open=is_open)
        if was is not None and as_it_was:
            timers = self._after.times_otherwise(decision.emissions, before.pending)
            elsewhere = timers or leads_elsewhere(decision.emissions, effects, said)
            kind = what[0] if what else difference.EVENTS if elsewhere else difference.ROW if row.base[0] != row.row else None
            if kind is not None:
                codec = self._handlers.codec
                emitted = emitted_otherwise(decision.emissions, effects, before.pending, codec) if elsewhere else ((), ())
                self._findings.found.origins.append(Origin(kind, was, now, before.row, row.base[0], row.row, *emitted))
        self._lead_to(turn.reference, said, effects)

    def _take(
        self, order: OrderKey, turn: BranchTurn, row: BranchRow, decision: BranchDecision, before: RowBefore
    ) -> set[str]:
        """What a handler has decided becomes true in the branch; returns the references of what it leads to."""
        was, row.row = turn.was, decision.row
        if decision.new_version:
            row.token = self._version(order, was)
        said = self._after.follow(order, turn, row, decision.emissions, before)
        self._after.compare_timers(decision.emissions, before.pending)
        if decision.asks:
            self._after.ask(order, turn, row, said)
        elif was is not None and self._asked(was):
            self._findings.call(difference.NOT, was.event)
        return said

    def _version(self, order: OrderKey, was: RecordedEvent | None) -> int:
        """Of a row behind an event. What an event of the past had also has one that is put in again at its place."""
        if was is not None:
            return was.version
        return order.sequence if order.depth == 0 and order.turn == 0 else -self._findings.found.decided

    def _stop(
        self, order: OrderKey, turn: BranchTurn, row: BranchRow, error: str, *, behind: bool = False
    ) -> RecordedEvent:
        """The event is parked, and its key with it."""
        row.stopped = True
        now = as_recorded(order, turn, error, None)
        self._findings.park(turn.was, now, error, behind=behind)
        self._lead_to(turn.reference, set(), self._past.effects(turn.reference))
        return now

    def difference(self) -> Difference:
        return self._findings.result(self._rows)

    def branch(self) -> Branch:
        rows = {place: row.row for place, row in self._rows.items()}
        since = {place: row.since for place, row in self._rows.items()}
        return Branch(self.difference(), rows, BranchPast(self._past, since, self._findings.timeline))
