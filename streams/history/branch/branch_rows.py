"""The rows that a branch has reached: as they were, and as they are there."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import msgspec

from streams.data import Record
from streams.engine.records import Entry
from streams.engine.times import to_micros
from streams.errors import CodeChanged
from streams.history.branch.branch_emissions import BranchEmission, emissions_of
from streams.history.branch.branch_queue import BranchQueue, BranchTimer, BranchTurn
from streams.history.branch.step_timers import LeftTimers, timers_behind
from streams.history.code.application_handlers import ApplicationHandlers, now_raises
from streams.history.difference.difference import UntoldRow
from streams.history.past import Past, before, from_order, is_cause, refuse_erased, with_parked
from streams.history.recorded_event import HANDLER, STEP, OrderKey, Place, RecordedEvent
from streams.outcome import Scheduled


class WaitedTimer(NamedTuple):
    """When it is due (µs), its bytes, and id and source of the event that had scheduled it; empty: a step had."""

    due: int
    value: bytes
    cause: str
    source: str


class BranchRow(msgspec.Struct):
    """A row in a branch, which reached it at `since`. `base` is the row as it was at the same place.

    `token` is its version: a sequence of the log, or a number below 0 for what only the branch has. A `stopped` one has an event
    whose handler raised; `was_stopped`: it was so in the past, which is itself a branch. An `open` one waits for an answer that
    the branch has not got. An `untold` one is known neither as it was nor in the branch, and a `told_anew` one in the branch alone
    (branch_untold.py). `waited`: the timers that waited at it as it was, and have not fired in the past.
    """

    since: OrderKey
    base: Entry
    row: Record | None
    token: int
    timers: list[BranchTimer]
    stopped: bool = False
    was_stopped: bool = False
    open: bool = False
    untold: UntoldRow | None = None
    told_anew: UntoldRow | None = None
    waited: dict[str, WaitedTimer] = {}


class ReachedRows:
    """The rows that a branch has reached. `in_full`: its queue has all events from the first on."""

    def __init__(self, past: Past, handlers: ApplicationHandlers, queue: BranchQueue, *, in_full: bool) -> None:
        self._past, self._handlers, self._queue, self._in_full = past, handlers, queue, in_full
        self.rows: dict[Place, BranchRow] = {}
        self.left: LeftTimers = {}
        """As corrections have left timers: those that no worker has so are fired by a branch if they wait there."""

    def reach(self, place: Place, order: OrderKey) -> BranchRow:
        """Only as an event's turn comes: a row that is reached at a later place too early would lose what is between."""
        row = self.rows.get(place)
        if row is None:
            if self._in_full:
                row = BranchRow(order, (None, 0), None, 0, [])
            else:
                row = row_before(self._past, self._handlers, place, order)
                for it in from_order(with_parked(self._past, place), order):
                    self._queue.push(it.order, it)
                if self.left:
                    self._fire_dropped(row, order)
            self.rows[place] = row
        return row


    def _fire_dropped(self, row: BranchRow, order: OrderKey) -> None:
        end = self._past.end()
        for it in row.timers:
            said = it.turn.value, it.turn.event.time
            if self.left.get(it.turn.reference, said) != said:
                it.known = False
                if end is not None and it.due <= end.recorded:
                    self._queue.push(self._queue.when_due(it.due, order), it)


def row_before(past: Past, handlers: ApplicationHandlers, place: Place, order: OrderKey) -> BranchRow:
    """A row as it was before a place in the order, with the timers of its events that have never fired.

    Raises BeforeHistory if an event of it was erased. If the code refuses one, the row is untold.
    """
    refuse_erased(past, place)
    entry: Entry = (None, 0)
    timers, is_open, said = list[BranchTimer](), False, dict[str, WaitedTimer]()
    for it in before(past.key_events(place), order):
        is_open = is_open or it.reference in past.aside.unanswered
        if it.kind == STEP:
            timers = timers_behind(handlers, timers, it.event.data, place)
        try:
            unfired = _unfired(past, handlers, entry[0], it)
            timers += unfired
            said |= {each.turn.reference: waited_of(it, each.due, each.turn.value) for each in unfired}
            entry = handlers.fold(entry, it)
        except CodeChanged as error:
            if it.accepted:
                return BranchRow(order, entry, *entry, [], untold=UntoldRow(place, it, error.why))
    stopped = any(it.order < order for it in past.aside.parked_of(place))
    waited = {
        it.turn.reference: said.get(it.turn.reference) or WaitedTimer(it.due, it.turn.value, "", "") for it in timers
    }
    return BranchRow(order, entry, *entry, timers, stopped, stopped, is_open, waited=waited)


def _unfired(past: Past, handlers: ApplicationHandlers, row: Record | None, it: RecordedEvent) -> Sequence[BranchTimer]:
    handler = handlers.handler_of(it.namespace, it.event)
    if handler is None or handler.function is None or not handler.emits or not (it.accepted or it.by == HANDLER):
        return ()
    try:
        emit = handlers.decide(it.namespace, handler, row, it.event).emissions
        scheduled = any(isinstance(emission, Scheduled) for emission in emit)
        is_of = partial(is_cause, past, it)
        found = emissions_of(handlers, handler, it.event, emit, past.effects(it.reference), is_of) if scheduled else ()
    except Exception as error:
        raise now_raises(it, error) from error
    return [
        timer_of(each, it.place, it.reference, known=True)
        for each in found
        if each.at is not None and each.recorded is None
    ]


def waited_of(cause: RecordedEvent, due: int, value: bytes) -> WaitedTimer:
    return WaitedTimer(due, value, cause.event.id, cause.event.source)


def timer_of(emission: BranchEmission, owner: Place, cause: str, *, known: bool) -> BranchTimer:
    return BranchTimer(to_micros(emission.event.time), owner, turn_of(emission, cause), emission.own, known)


def turn_of(emission: BranchEmission, cause: str) -> BranchTurn:
    return BranchTurn(emission.event, emission.reference, emission.value, emission.kind, cause, emission.ordinal)
