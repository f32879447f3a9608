"""A branch's own past: what it did not reach as it was recorded, and the rest as it was decided."""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from streams.engine.identity import answer_id
from streams.history.past import ErasedEvent, Past, before, first_root_of
from streams.history.recorded_event import OrderKey, Place, RecordedEvent


class BranchPast:
    """`since` says from where on a row is the branch's; `decided` are the branch's own events.

    Branches can be made of it again.
    """

    def __init__(self, past: Past, since: Mapping[Place, OrderKey], decided: Sequence[RecordedEvent]) -> None:
        self._past, self._since = past, since
        self._decided = sorted(decided, key=_order)
        self._by_reference = {it.reference: it for it in self._decided}
        self._by_key: dict[Place, list[RecordedEvent]] = defaultdict(list)
        self._effects: dict[str, list[RecordedEvent]] = defaultdict(list)
        for it in self._decided:
            self._by_key[it.place].append(it)
            if it.cause is not None:
                self._effects[it.cause].append(it)

    def _is_untouched(self, it: RecordedEvent) -> bool:
        since = self._since.get(it.place)
        return since is None or it.order < since

    def __len__(self) -> int:
        return sum(1 for _ in self.events())

    def events(self) -> Iterator[RecordedEvent]:
        return heapq.merge(filter(self._is_untouched, self._past.events()), self._decided, key=_order)

    def namespace_events(self, namespace: str) -> Iterator[RecordedEvent]:
        decided = (it for it in self._decided if it.namespace == namespace)
        return heapq.merge(filter(self._is_untouched, self._past.namespace_events(namespace)), decided, key=_order)

    def key_events(self, place: Place) -> Sequence[RecordedEvent]:
        events, since = self._past.key_events(place), self._since.get(place)
        return events if since is None else [*before(events, since), *self._by_key.get(place, ())]

    def first_erased(self, place: Place) -> ErasedEvent | None:
        return self._past.first_erased(place)

    def erased_keys(self, namespace: str) -> Sequence[str]:
        return self._past.erased_keys(namespace)

    def find(self, reference: str) -> RecordedEvent | None:
        if (found := self._by_reference.get(reference)) is not None:
            return found
        was = self._past.find(reference)
        return was if was is not None and self._is_untouched(was) else None

    def effects(self, reference: str) -> Sequence[RecordedEvent]:
        untouched = filter(self._is_untouched, self._past.effects(reference))
        return sorted([*untouched, *self._effects.get(reference, ())], key=_order)

    def first_root_after(self, time: int, behind: OrderKey | None = None) -> RecordedEvent | None:
        return first_root_of(self.events(), time, behind)

    def end(self) -> OrderKey | None:
        return self._past.end()

    def former_order(self, reference: str) -> OrderKey | None:
        former = self._past.former_order(reference)
        if former is None and (found := self._by_reference.get(reference)) is not None:
            return found.order
        return former

    def former_answer(self, request: str) -> tuple[bytes, RecordedEvent] | None:
        if (former := self._past.former_answer(request)) is not None:
            return former
        asked, answer = self.find(request), self.find(answer_id(request))
        return None if asked is None or answer is None else (asked.value, answer)


def _order(it: RecordedEvent) -> OrderKey:
    return it.order
