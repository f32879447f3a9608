"""Where what follows from an event has its turn in a branch: at its recorded place, behind its cause, or when it is due."""

from __future__ import annotations

from collections.abc import Container
from typing import Any

from streams.event import Event
from streams.history.branch.branch_emissions import BranchEmission, is_due_otherwise
from streams.history.branch.branch_lineage import BranchLineage
from streams.history.branch.branch_queue import BranchQueue, BranchTimer, BranchTurn, recorded_turn
from streams.history.branch.branch_rows import BranchRow, timer_of, turn_of
from streams.history.recorded_event import OrderKey, RecordedEvent


class BranchPlaces:
    """Puts into the queue what follows. The past ends at `end` (µs), and `spaces` are the application's namespaces."""

    def __init__(self, queue: BranchQueue, lineage: BranchLineage, spaces: Container[str], end: int) -> None:
        self._queue, self._lineage, self._spaces, self._end = queue, lineage, spaces, end
        self.otherwise: dict[OrderKey, tuple[Event[Any], bytes]] = {}
        """Recorded events with other data or another time, by their places."""

    def turn_of(self, was: RecordedEvent) -> BranchTurn:
        """Of a recorded event, as it is in the branch."""
        return recorded_turn(was, *self.otherwise.get(was.order, (was.event, was.value)))

    def repeat(self, order: OrderKey, turn: BranchTurn, row: BranchRow, it: BranchEmission, was: RecordedEvent) -> bool:
        """What was recorded has its turn there. False: it is a timer that is due at another time, and leaves its place."""
        early = self._lineage.early.take(was, (it.event, it.value))
        if not early and is_due_otherwise(it, was):
            self._move(order, turn, row, it)
            return False
        if not early and (not it.same or was.order <= order):
            self.put_again(order, was, it.event, it.value)
        return True

    def put_again(self, order: OrderKey, was: RecordedEvent, event: Event[Any], value: bytes) -> None:
        """A recorded event that is otherwise, or has to come later than it did."""
        self.otherwise[was.order] = (event, value)
        self._queue.push(was.order if was.order > order else self._queue.behind(order), was)

    def emit(self, order: OrderKey, turn: BranchTurn, row: BranchRow, it: BranchEmission) -> bool:
        """What the past has not. What it had before has its place of then. False: it is a duplicate."""
        if it.namespace not in self._spaces:
            return True
        if self._lineage.has_moved(turn):
            self._move(order, turn, row, it)
            return True
        former = self._lineage.former_places(it.event)
        if former is None:
            return False
        if former and former[0] > order:
            self._queue.push(former[0], turn_of(it, turn.reference))
        elif self._lineage.early.takes_again(order, turn, turn_of(it, turn.reference), former):
            pass  # its turn is over
        else:
            place = it.namespace, it.event.key
            self._begin(order, turn, row, it, self._lineage.early.behind(order, turn.was, place) if it.at is None else order)
        return True

    def wait(self, order: OrderKey, row: BranchRow, timer: BranchTimer) -> None:
        """Let a timer fire when it is due: before the next event of its row, or as the order passes its time."""
        row.timers.append(timer)
        if timer.due <= self._end and not timer.known:
            self._queue.push(self._queue.when_due(timer.due, order), timer)

    def _move(self, order: OrderKey, turn: BranchTurn, row: BranchRow, it: BranchEmission) -> None:
        """It leaves its place, with all that it led to there. Where a branch has moved it before, it goes back."""
        self._lineage.move(it.reference)
        former = self._lineage.left_place(it.event)
        if former is not None and former > order:
            self._queue.push(former, turn_of(it, turn.reference))
        else:
            self._begin(order, turn, row, it, order)

    def _begin(self, order: OrderKey, turn: BranchTurn, row: BranchRow, it: BranchEmission, behind: OrderKey) -> None:
        """It has no place yet: right behind one, or when it is due."""
        if it.at is None:
            self._queue.push(self._queue.behind(behind), turn_of(it, turn.reference))
        else:
            self.wait(order, row, timer_of(it, turn.place, turn.reference, known=False))
