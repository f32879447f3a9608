"""Whose turn it is in a branch: by the total order, what was recorded and what only the branch has."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import msgspec

from streams.data import namespace_of
from streams.engine.times import to_micros
from streams.event import Event
from streams.history.recorded_event import OrderKey, Place, RecordedEvent

SPACING = 1 << 20
"""Between the turns of events behind one record, so that timers find room before each."""
BEFORE = 1 << 31
"""How much less the depth is of an event that stands before a record."""
LAST = "~"
"""Behind all namespaces, in their order."""
END = 1 << 62
"""µs: later than all."""


class BranchTurn(msgspec.Struct, frozen=True):
    """An event that is to be decided; `was`: as it was recorded."""

    event: Event[Any]
    reference: str
    value: bytes
    kind: str
    cause: str | None = None
    ordinal: int = 0
    expected: int | None = None
    was: RecordedEvent | None = None

    @property
    def place(self) -> Place:
        return namespace_of(self.event.data.event_type), self.event.key

    @property
    def time(self) -> int:
        return to_micros(self.event.time)


def recorded_turn(was: RecordedEvent, event: Event[Any], value: bytes) -> BranchTurn:
    """Of an event of the past, with its data and time as they are in the branch."""
    return BranchTurn(event, was.reference, value, was.kind, was.cause, was.ordinal, was.expected, was)


class BranchTimer(msgspec.Struct, eq=False):
    """A timer of a branch, at its owner, the row whose event scheduled it. An `own` one is about this very row.

    It is `known` if it was scheduled in the past as well, and had not fired when the past was read. `again`: it had fired, and
    its event's turn has come again.
    """

    due: int
    owner: Place
    turn: BranchTurn
    own: bool
    known: bool = False
    again: bool = False


class BranchQueue:
    """Gives each item at its place in the order. `feed` has recorded events in order, which need not all be in memory.

    `turns` is the last number that was given to a turn before.
    """

    def __init__(self, feed: Iterable[RecordedEvent] = (), turns: int = 0) -> None:
        self._heap: list[tuple[OrderKey, int, BranchTurn | BranchTimer | RecordedEvent]] = []
        self._feed: Iterator[RecordedEvent] = iter(feed)
        self._next = next(self._feed, None)
        self.turns = turns
        self.taken_by: Callable[[RecordedEvent], bool] | None = None
        """Takes recorded events as their turns come, so that they are not popped, and says whether it did. It puts nothing in."""
        self._ends: Sequence[OrderKey] = ()
        """Where timers fire that were overdue when they were scheduled: the first of these behind their cause, else the end."""

    def push(self, order: OrderKey, item: BranchTurn | BranchTimer | RecordedEvent) -> None:
        self.turns += 1
        heapq.heappush(self._heap, (order, self.turns, item))

    def pop(self) -> tuple[OrderKey, BranchTurn | BranchTimer | RecordedEvent] | None:
        """None: there is none."""
        if self.taken_by is not None:
            self._let_take(self.taken_by)
        following = self._next
        if following is not None and (not self._heap or following.order <= self._heap[0][0]):
            self._next = next(self._feed, None)
            return following.order, following
        if not self._heap:
            return None
        order, _, item = heapq.heappop(self._heap)
        return order, item

    def _let_take(self, take: Callable[[RecordedEvent], bool]) -> None:
        following, feed = self._next, self._feed
        until = self._heap[0][0] if self._heap else None
        while following is not None and (until is None or following.order <= until) and take(following):
            following = next(feed, None)
        self._next = following

    def keep_places(self, places: Iterable[OrderKey], ends: Iterable[OrderKey]) -> None:
        """Those of runs before, of pasts that ended at `ends`: give no turn of them again, nor an earlier one."""
        self.turns = max([self.turns, *(place.turn // SPACING + 1 for place in places)])
        self._ends = sorted({OrderKey(end.recorded, LAST, 0, 0) for end in ends})

    def _turn(self) -> int:
        self.turns += 1
        return self.turns * SPACING

    def behind(self, order: OrderKey) -> OrderKey:
        """Right behind an event, and behind what was put there before: so effects follow breadth first."""
        return order._replace(depth=order.depth + 1, turn=self._turn())

    def just_before(self, order: OrderKey) -> OrderKey:
        return order._replace(depth=min(order.depth, 0) - BEFORE, turn=self._turn())

    def at_end(self) -> OrderKey:
        return OrderKey(END, "", 0, 0, 0, self._turn())

    def when_due(self, due: int, cause: OrderKey) -> OrderKey:
        """Where a timer fires if none of its owner's events comes before: as the order passes its time, else at the end."""
        if due > cause.recorded:
            return OrderKey(due, "", -1, -1, 0, self._turn())
        end = next((end for end in self._ends if cause[:2] <= end[:2]), OrderKey(END, "", 0, 0))
        last = cause.sequence if cause[:2] == end[:2] else 0  # such as that of a timer: its effects stand behind it, at its end
        return end._replace(sequence=max(due, last), depth=max(cause.depth, 0), turn=self._turn())


def in_place(order: OrderKey, number: int) -> OrderKey:
    """Of the timer that fires as the `number`th (from 0) right before the event at `order`, and behind all before that."""
    return order._replace(turn=order.turn - SPACING + 1 + number)
