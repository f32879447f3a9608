"""A branch's own past: what it did not reach as it was recorded, and the rest as it was decided."""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from copy import copy

from streams.history.branch.branch_aside import BranchAside
from streams.history.past import ErasedEvent, Past, answered, before, first_root_of
from streams.history.recorded_event import STEP, OrderKey, Place, RecordedEvent


class BranchPast:
    """`since` says from where on a row is the branch's; `decided` are the branch's own events in order, `aside` what it has beside.

    Branches can be made of it again. What is parked is not among the events, but it is found, and it is the effect of its cause.
    """

    def __init__(
        self, past: Past, since: Mapping[Place, OrderKey], decided: Sequence[RecordedEvent], aside: BranchAside
    ) -> None:
        self._past, self._since, self.unsure_until = past, since, past.unsure_until
        self.decided: Sequence[RecordedEvent] = sorted(decided, key=_order)
        self.aside = _with_untouched(past.aside, since, aside)
        self._by_reference: dict[str, list[RecordedEvent]] = defaultdict(list)
        self._by_key: dict[Place, list[RecordedEvent]] = defaultdict(list)
        self._effects: dict[str, list[RecordedEvent]] = defaultdict(list)
        for it in self.decided:
            self._by_key[it.place].append(it)
        for it in [*self.decided, *aside.parked]:
            self._by_reference[it.reference].append(it)
            if it.cause is not None:
                self._effects[it.cause].append(it)

    def over(self, past: Past) -> BranchPast:
        """The same branch of a past that tells the same, such as that of another connection to its file."""
        found = copy(self)
        found._past = past
        return found

    @property
    def origin(self) -> Past:
        """The past that it is a branch of."""
        return self._past

    @property
    def reached(self) -> Collection[Place]:
        """The rows that the branch has decided on."""
        return self._since.keys()

    def reached_since(self) -> dict[Place, OrderKey]:
        """From where on each row is this branch's, or that of one that it is a branch of."""
        found = self._past.reached_since() if isinstance(self._past, BranchPast) else {}
        for place, order in self._since.items():
            found[place] = min(order, found.get(place, order))
        return found

    def all_decided(self) -> Sequence[RecordedEvent]:
        """What the branch has decided, and what those have that it is a branch of, as far as it is here."""
        if not isinstance(self._past, BranchPast):
            return self.decided
        return self._with_own(self._past.all_decided(), self.decided)

    def _is_untouched(self, it: RecordedEvent) -> bool:
        return _is_untouched(self._since, it)

    def __len__(self) -> int:
        return sum(1 for _ in self.events())

    def events(self) -> Iterator[RecordedEvent]:
        return heapq.merge(filter(self._is_untouched, self._past.events()), self.decided, key=_order)

    def namespace_events(self, namespace: str) -> Iterator[RecordedEvent]:
        decided = (it for it in self.decided if it.namespace == namespace)
        return heapq.merge(filter(self._is_untouched, self._past.namespace_events(namespace)), decided, key=_order)

    def key_events(self, place: Place) -> Sequence[RecordedEvent]:
        events, since = self._past.key_events(place), self._since.get(place)
        return events if since is None else [*before(events, since), *self._by_key.get(place, ())]

    def first_erased(self, place: Place) -> ErasedEvent | None:
        return self._past.first_erased(place)

    def erased_keys(self, namespace: str) -> Sequence[str]:
        return self._past.erased_keys(namespace)

    def find(self, reference: str) -> RecordedEvent | None:
        return next(iter(self.find_all(reference)), None)

    def find_all(self, reference: str) -> Sequence[RecordedEvent]:
        return self._with_own(self._past.find_all(reference), self._by_reference.get(reference, ()))

    def effects(self, reference: str) -> Sequence[RecordedEvent]:
        return self._with_own(self._past.effects(reference), self._effects.get(reference, ()))

    def erased_effects(self, reference: str) -> Collection[Place]:
        return self._past.erased_effects(reference)

    def _with_own(self, events: Sequence[RecordedEvent], own: Sequence[RecordedEvent]) -> Sequence[RecordedEvent]:
        return sorted([*filter(self._is_untouched, events), *own], key=_order)

    def first_root_after(self, time: int, behind: OrderKey | None = None) -> RecordedEvent | None:
        return first_root_of(self.events(), time, behind)

    def steps(self) -> Sequence[RecordedEvent]:
        return self._with_own(self._past.steps(), [it for it in self.decided if it.kind == STEP])

    def end(self) -> OrderKey | None:
        return self._past.end()

    def former(self, reference: str) -> Sequence[RecordedEvent]:
        former = self._past.former(reference)
        known = {it.order for it in former}
        return sorted([*former, *(it for it in self.find_all(reference) if it.order not in known)], key=_order)

    def former_answer(self, request: str) -> tuple[bytes, RecordedEvent] | None:
        return self._past.former_answer(request) or answered(self, request)


def _order(it: RecordedEvent) -> OrderKey:
    return it.order


def _is_untouched(since: Mapping[Place, OrderKey], it: RecordedEvent) -> bool:
    reached = since.get(it.place)
    return reached is None or it.order < reached


def _with_untouched(was: BranchAside, since: Mapping[Place, OrderKey], now: BranchAside) -> BranchAside:
    """What a branch has aside, with what its past has in rows that it did not reach."""
    parked = sorted([*(it for it in was.parked if _is_untouched(since, it)), *now.parked], key=_order)
    fired = {
        order: timers for order, timers in was.fired.items()
        if (reached := since.get(timers[0].owner)) is None or order < reached
    }  # fmt: skip
    return BranchAside(
        parked, {**fired, **now.fired}, now.unanswered, now.turns,
        {**was.in_flight, **now.in_flight}, {**was.asked, **now.asked}, {**was.unfired, **now.unfired},
    )  # fmt: skip
