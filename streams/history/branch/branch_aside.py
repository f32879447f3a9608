"""What a branch has beside its events: what is parked, which event fired which timers, and requests that nobody has answered.

A past of logs has none of it: what is parked there was not handled, so it is not in the past.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cached_property

import msgspec

from streams.history.recorded_event import TIMER, OrderKey, Place, RecordedEvent


class FiredTimer(msgspec.Struct, frozen=True):
    """A timer of the row `owner` that an event fired: its `own`, or one of another row, which was released then.

    It was `known` if it had been scheduled before the branch, and had not fired.
    """

    reference: str
    owner: Place
    own: bool
    known: bool


class BranchAside(msgspec.Struct, frozen=True, dict=True):
    """Beside the events of a branch.

    Attributes:
        parked: Events whose handlers raised, and those of their keys behind them, in order.
        fired: Timers by the place of the event before which they fired; without it, they would not have.
        unanswered: References of requests whose answers are not known.
        in_flight: What events that are gone had emitted or scheduled, and the past has no record of, by reference: value and time.
        asked: The bytes of requests that are gone and had no answer when the past was read, by reference.
        unfired: By the place of an event that is gone: timers due before it that had not fired, such as one already released.
        turns: The last number that was given to a turn of its own, so that another branch gives higher ones.

    """

    parked: Sequence[RecordedEvent] = ()
    fired: Mapping[OrderKey, Sequence[FiredTimer]] = {}
    unanswered: frozenset[str] = frozenset()
    turns: int = 0
    in_flight: Mapping[str, tuple[bytes, datetime]] = {}
    asked: Mapping[str, bytes] = {}
    unfired: Mapping[OrderKey, frozenset[str]] = {}

    @property
    def is_empty(self) -> bool:
        return not (self.parked or self.fired or self.unanswered)

    def parked_of(self, place: Place) -> Sequence[RecordedEvent]:
        """Those of one row, in order."""
        return self._by_place.get(place, ())

    def is_fired_in_place(self, it: RecordedEvent) -> bool:
        """Whether it is a timer that comes with the event that fires it."""
        return it.kind == TIMER and it.reference in self._in_place

    @cached_property
    def _by_place(self) -> Mapping[Place, list[RecordedEvent]]:
        found: dict[Place, list[RecordedEvent]] = {}
        for it in self.parked:
            found.setdefault(it.place, []).append(it)
        return found

    @cached_property
    def _in_place(self) -> frozenset[str]:
        return frozenset(each.reference for timers in self.fired.values() for each in timers if each.own)


NOTHING_ASIDE = BranchAside()
