"""The high-water times of a branch: of its own events, and of recorded ones that depend on what is otherwise there."""

from __future__ import annotations

import heapq
from bisect import bisect_left
from collections.abc import Collection, Iterator, Sequence
from copy import copy
from typing import NamedTuple

from msgspec.structs import replace

from streams.engine.times import to_micros
from streams.history.branch.branch_past import BranchPast
from streams.history.cut_past import Cut, CutPast
from streams.history.high_water import LEAST, UNKNOWN
from streams.history.past import ErasedEvent, Past, first_root_of
from streams.history.recorded_event import OrderKey, Place, RecordedEvent

NEVER = 2**63
"""Behind all sequences."""
Times = tuple[int, int]
"""A high-water time is not before the first one, and not later than the second (µs)."""


class _KeyEvents(NamedTuple):
    """Of one row. `erased`: the sequence of the first one that an operator has erased; `is_old`: some are too old to be kept."""

    events: Sequence[RecordedEvent]
    places: Sequence[OrderKey]
    erased: int
    is_old: bool


class TimedBranch:
    """A branch whose events have their high-water times, as `with_high_water` gives them; those of the past must be known.

    Only what the branch has decided is looked at, and what depends on that as far as its time becomes another one.
    """

    def __init__(self, branch: BranchPast) -> None:
        self._branch, self.aside, self.unsure_until = branch, branch.aside, branch.unsure_until
        self._times: dict[OrderKey, Times] = {}
        self._keys: dict[Place, _KeyEvents] = {}
        self.places: set[Place] = {*branch.reached}
        """The rows whose events, or their times, may be otherwise than in the past."""
        self.has_untold = False
        """Whether the code here cannot tell a row that the branch has reached: what follows from it is as it was recorded."""
        self.are_set = False
        """Whether the past has rows as the branch has them, or rather: as the code of then has set them, which may tell more."""
        self._find()
        self._keys.clear()

    def set_in_past(self) -> TimedBranch:
        """The same, where steps of the past have set all rows."""
        found = copy(self)
        found.are_set = True
        return found

    def over(self, past: Past) -> TimedBranch:
        """The same of a past that tells the same, as `BranchPast.over`."""
        found = copy(self)
        found._branch = self._branch.over(past)
        return found

    def _find(self) -> None:
        waiting = {it.order: it for it in self._branch.all_decided()}
        heap = [*waiting]  # which is in order
        while heap:
            order = heapq.heappop(heap)
            it = waiting[order]
            found = self._depends_on(it)
            if it.high is not None and found == _known(it):
                continue
            self._times[order] = found
            self.places |= {it.place, *self._branch.erased_effects(it.reference)}  # of which it is not known since when they count
            behind = self._behind(it)
            for each in [*self._branch.effects(it.reference), *([] if behind is None else [behind])]:
                if each.order > order and not each.is_parked and each.order not in waiting:
                    waiting[each.order] = each
                    heapq.heappush(heap, each.order)

    def _depends_on(self, it: RecordedEvent) -> Times:
        high, latest = UNKNOWN
        key, causes = self._of(it.place), self._causes(it)
        number = bisect_left(key.places, it.order)
        for each in [*key.events[max(0, number - 1) : number], *causes]:
            early, late = self._times.get(each.order) or _known(each)
            high, latest = max(high, early), max(latest, late)
        is_missing = it.cause is not None and not causes
        if self.unsure_until > LEAST and self._is_unsure(it, is_missing or (number == 0 and key.is_old)):
            latest = max(latest, self.unsure_until)
        if (is_missing and not self._branch.former(it.cause or "")) or key.erased < it.order.sequence:
            latest = max(latest, self._latest_known(it))
        time = to_micros(it.event.time)
        return max(time, high), max(time, high, latest)

    def _causes(self, it: RecordedEvent) -> Sequence[RecordedEvent]:
        if it.cause is None:
            return ()
        return [each for each in self._branch.find_all(it.cause) if each.order < it.order and not each.is_parked]

    def _is_unsure(self, it: RecordedEvent, rests_on_missing: bool) -> bool:
        """Whether it may depend on an event that is too old to be kept. The past has found that out of what it has.

        Of an event whose time there is as late as any of those, it could not matter there.
        """
        known = [each for each in self._branch.former(it.reference) if each.order == it.order and each.high is not None]
        if not known:
            return rests_on_missing
        return any(each.latest is not None or each.high is None or each.high >= self.unsure_until for each in known)

    def _latest_known(self, it: RecordedEvent) -> int:
        """Of an event that rests on one that was erased: no later than it was known to count from, when that one was there."""
        return max((_known(each)[1] for each in self._branch.former(it.reference) if each.order == it.order), default=LEAST)

    def _behind(self, it: RecordedEvent) -> RecordedEvent | None:
        key = self._of(it.place)
        number = bisect_left(key.places, it.order) + 1
        return key.events[number] if number < len(key.events) else None

    def _of(self, place: Place) -> _KeyEvents:
        if place not in self._keys:
            events, gone = self._branch.key_events(place), self._branch.first_erased(place)
            is_old = gone is not None and gone.is_old
            erased = NEVER if gone is None or is_old else gone.sequence
            self._keys[place] = _KeyEvents(events, [it.order for it in events], erased, is_old)
        return self._keys[place]

    def _timed(self, it: RecordedEvent) -> RecordedEvent:
        found = self._times.get(it.order)
        return it if found is None else replace(it, high=found[0], latest=found[1] if found[1] > found[0] else None)

    def __len__(self) -> int:
        return len(self._branch)

    def events(self) -> Iterator[RecordedEvent]:
        return map(self._timed, self._branch.events())

    def namespace_events(self, namespace: str) -> Iterator[RecordedEvent]:
        return map(self._timed, self._branch.namespace_events(namespace))

    def key_events(self, place: Place) -> Sequence[RecordedEvent]:
        return [self._timed(it) for it in self._branch.key_events(place)]

    def first_erased(self, place: Place) -> ErasedEvent | None:
        """Its times were those of the past."""
        found = self._branch.first_erased(place)
        return None if found is None else found._replace(recorded=None, high=None)

    def erased_keys(self, namespace: str) -> Sequence[str]:
        return self._branch.erased_keys(namespace)

    def find(self, reference: str) -> RecordedEvent | None:
        return next(iter(self.find_all(reference)), None)

    def find_all(self, reference: str) -> Sequence[RecordedEvent]:
        return [self._timed(it) for it in self._branch.find_all(reference)]

    def effects(self, reference: str) -> Sequence[RecordedEvent]:
        return [self._timed(it) for it in self._branch.effects(reference)]

    def erased_effects(self, reference: str) -> Collection[Place]:
        return self._branch.erased_effects(reference)

    def first_root_after(self, time: int, behind: OrderKey | None = None) -> RecordedEvent | None:
        return first_root_of(self.events(), time, behind)

    def steps(self) -> Sequence[RecordedEvent]:
        return [self._timed(it) for it in self._branch.steps()]

    def end(self) -> OrderKey | None:
        return self._branch.end()

    def former(self, reference: str) -> Sequence[RecordedEvent]:
        return self._branch.former(reference)

    def former_answer(self, request: str) -> tuple[bytes, RecordedEvent] | None:
        return self._branch.former_answer(request)


def cut_branch(past: Past, cut: Cut) -> CutPast:
    """A past as of a time: a branch with its own high-water times."""
    return CutPast(TimedBranch(past) if isinstance(past, BranchPast) else past, cut)


def _known(it: RecordedEvent) -> Times:
    if it.high is None:
        return UNKNOWN
    return it.high, it.high if it.latest is None else it.latest
