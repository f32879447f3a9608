"""The high-water times of a branch: of its own events, and of recorded ones that depend on what is otherwise there."""

from __future__ import annotations

import heapq
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from copy import copy

from msgspec.structs import replace

from streams.engine.times import to_micros
from streams.history.branch.branch_past import BranchPast
from streams.history.cut_past import Cut, CutPast
from streams.history.high_water import UNKNOWN
from streams.history.past import ErasedEvent, Past, first_root_of
from streams.history.recorded_event import OrderKey, Place, RecordedEvent

Times = tuple[int, int]
"""A high-water time is not before the first one, and not later than the second (µs)."""


class TimedBranch:
    """A branch whose events have their high-water times, as `with_high_water` gives them; those of the past must be known.

    Only what the branch has decided is looked at, and what depends on that as far as its time becomes another one.
    """

    def __init__(self, branch: BranchPast) -> None:
        self._branch, self.aside, self.unsure_until = branch, branch.aside, branch.unsure_until
        self._times: dict[OrderKey, Times] = {}
        self._keys: dict[Place, tuple[Sequence[RecordedEvent], list[OrderKey]]] = {}
        self.places: set[Place] = {*branch.reached}
        """The rows whose events, or their times, may be otherwise than in the past."""
        self._find()
        self._keys.clear()

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
            self.places.add(it.place)
            behind = self._behind(it)
            for each in [*self._branch.effects(it.reference), *([] if behind is None else [behind])]:
                if each.order > order and not each.is_parked and each.order not in waiting:
                    waiting[each.order] = each
                    heapq.heappush(heap, each.order)

    def _depends_on(self, it: RecordedEvent) -> Times:
        time, high, latest = to_micros(it.event.time), *UNKNOWN
        events, places = self._of(it.place)
        number = bisect_left(places, it.order)
        before = [events[number - 1]] if number else []
        if it.cause is not None:
            before += (each for each in self._branch.find_all(it.cause) if each.order < it.order and not each.is_parked)
            latest = self.unsure_until
        for each in before:
            early, late = self._times.get(each.order) or _known(each)
            high, latest = max(high, early), max(latest, late)
        return max(time, high), max(time, high, latest)

    def _behind(self, it: RecordedEvent) -> RecordedEvent | None:
        events, places = self._of(it.place)
        number = bisect_left(places, it.order) + 1
        return events[number] if number < len(events) else None

    def _of(self, place: Place) -> tuple[Sequence[RecordedEvent], list[OrderKey]]:
        if place not in self._keys:
            events = self._branch.key_events(place)
            self._keys[place] = events, [it.order for it in events]
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
