"""The timers of a branch: which fire before an event, and which event fired which."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Container
from typing import NamedTuple

from msgspec.structs import replace

from streams.engine.times import to_micros
from streams.history.branch.branch_aside import FiredTimer
from streams.history.branch.branch_consequences import BranchConsequences
from streams.history.branch.branch_lineage import BranchLineage
from streams.history.branch.branch_queue import BranchQueue, BranchTimer, BranchTurn, in_place
from streams.history.branch.branch_rows import BranchRow
from streams.history.past import Past
from streams.history.recorded_event import OrderKey, RecordedEvent


class BranchSteps(NamedTuple):
    """What becomes of an event: it is decided at a place, or is missing."""

    decide: Callable[[OrderKey, BranchTurn], None]
    miss: Callable[[RecordedEvent], None]


class BranchTimers:
    """Fires timers by the clocks of their keys.

    A timer that an event of a branch fired fires only with it. So in a branch of that branch it has its turn with that event: it
    fires again before it, or, if the event is gone or has an earlier time, it waits as it had waited before.
    """

    def __init__(
        self,
        past: Past,
        queue: BranchQueue,
        lineage: BranchLineage,
        after: BranchConsequences,
        spaces: Container[str],
        steps: BranchSteps,
    ) -> None:
        self._past, self._queue, self._lineage, self._after = past, queue, lineage, after
        self._spaces, self._steps = spaces, steps
        self._fired_before = past.aside.fired
        self.fired: dict[OrderKey, list[FiredTimer]] = defaultdict(list)
        """In this branch, by the places of the events before which they fired."""
        self.unfired: dict[OrderKey, frozenset[str]] = {}

    def first_place(self, was: RecordedEvent | None, order: OrderKey) -> OrderKey:
        """From where on the row of an event changes: from the first timer that it fired in place."""
        if not self._fired_before or was is None or was.order not in self._fired_before:
            return order
        found = [self._record(each, was) for each in self._fired_before[was.order] if each.own]
        return min([order, *(it.order for it in found if it is not None)])

    def _record(self, each: FiredTimer, by: RecordedEvent) -> RecordedEvent | None:
        found = self._past.find_all(each.reference)
        return next((it for it in reversed(found) if not each.own or it.order < by.order), None)

    def fire_before(self, row: BranchRow, order: OrderKey, turn: BranchTurn) -> None:
        """The timers of a row that are due before one of its events, in the order of their times.

        One that never fired in the past fires only before an event that the past has not, or has at another time.
        """
        was, time, number = turn.was, turn.time, 0
        as_it_was = was is not None and was.event.time == turn.event.time
        again = deque(() if was is None else self._fired_before.get(was.order, ()))
        unfired = self._past.aside.unfired.get(order, ()) if was is None else ()
        while not row.stopped:
            while again and not any(it.again for it in row.timers):
                self._bring_again(row, order, again.popleft(), was, time)
            waits = [it for it in row.timers if it.due < time and it.turn.reference not in unfired]
            due = [it for it in waits if it.again or not (it.known and as_it_was)]
            if not due:
                break
            timer = min(due, key=lambda it: it.due)
            self.fired[order].append(FiredTimer(timer.turn.reference, timer.owner, timer.own, timer.known))
            self.fire(row, in_place(order, number), timer)
            number += 1
        for timer in [it for it in row.timers if it.again]:  # one before it has stopped the row
            self._wait_on(row, order, timer)
        for each in again:
            self._bring_again(row, order, each, was, None)

    def _wait_on(self, row: BranchRow, order: OrderKey, timer: BranchTimer) -> None:
        """A timer that had fired and does not now."""
        row.timers.remove(timer)
        if timer.turn.was is not None:
            self._steps.miss(timer.turn.was)
        waits = BranchTimer(timer.due, timer.owner, replace(timer.turn, was=None), timer.own, timer.known)
        self._after.places.wait(order, row, waits)

    def miss(self, row: BranchRow, was: RecordedEvent) -> None:
        """An event is gone: what it had fired waits, and what had not fired before it does not if it is put in again.

        That is asked of the row as it was: what had scheduled such a timer may be gone, too.
        """
        time = to_micros(was.event.time)
        if unfired := {reference for reference, it in row.waited.items() if it.due < time}:
            self.unfired[was.order] = frozenset(unfired)
        self._wait_again(row, was)

    def _wait_again(self, row: BranchRow, was: RecordedEvent) -> None:
        for each in self._fired_before.get(was.order, ()):
            self._bring_again(row, was.order, each, was, None)

    def _bring_again(
        self, row: BranchRow, order: OrderKey, each: FiredTimer, by: RecordedEvent | None, time: int | None
    ) -> None:
        """A timer that `by` had fired is to fire before it, whose `time` is this now, or else it waits."""
        it = None if by is None else self._record(each, by)
        if it is None or self._lineage.has_seen(it):
            return
        if self._lineage.is_gone(it):
            if each.own:
                self._steps.miss(it)  # of another row's, its own turn comes
            return
        turn = self._after.places.turn_of(it)
        if time is not None and turn.time < time:
            if each.own:
                row.timers.append(BranchTimer(turn.time, each.owner, turn, own=True, known=each.known, again=True))
            else:
                self.fired[order].append(each)
            return
        if each.own:
            self._steps.miss(it)
        else:
            self._lineage.removed.add(it.order)
            self._queue.push(it.order, it)
        self._after.places.wait(order, row, BranchTimer(turn.time, each.owner, replace(turn, was=None), each.own, each.known))

    def fire(self, row: BranchRow, order: OrderKey, timer: BranchTimer) -> None:
        row.timers.remove(timer)
        if timer.turn.place[0] not in self._spaces:
            return
        if timer.own:
            self._steps.decide(order, timer.turn)
        else:
            self._queue.push(self._queue.behind(order), timer.turn)
