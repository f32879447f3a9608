"""The recorded past of an application, and what is asked of it."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, Protocol

from streams.engine.envelope import to_micros
from streams.engine.identity import answer_id
from streams.engine.readable import named
from streams.errors import BeforeHistory
from streams.history.high_water import with_high_water
from streams.history.recorded_event import ROOT, OrderKey, Place, RecordedEvent


class ErasedEvent(NamedTuple):
    """Of an event that is gone: its sequence, and when it was recorded and its high-water time (µs), as far as they are known."""

    sequence: int
    recorded: int | None
    high: int | None

    @property
    def sentence(self) -> str:
        return f"its event with the sequence {self.sequence} was erased, and what it did to the row is not known any more"


class Past(Protocol):
    """Events that were handled. What has been recorded never changes, so the same questions have the same answers."""

    def events(self) -> Iterator[RecordedEvent]:
        """All, in the total order."""

    def __len__(self) -> int: ...

    def namespace_events(self, namespace: str) -> Iterator[RecordedEvent]:
        """All of one namespace, in the total order."""

    def key_events(self, place: Place) -> Sequence[RecordedEvent]:
        """Those of one row, in order."""

    def first_erased(self, place: Place) -> ErasedEvent | None:
        """A row's first event that an operator has erased; None: there is none, as far as this past knows."""

    def erased_keys(self, namespace: str) -> Sequence[str]:
        """The keys of rows of which an event was erased."""

    def find(self, reference: str) -> RecordedEvent | None: ...

    def effects(self, reference: str) -> Sequence[RecordedEvent]:
        """The events that were caused by this one, in order."""

    def first_root_after(self, time: int, behind: OrderKey | None = None) -> RecordedEvent | None:
        """The first root event, in the total order, that happened later than `time` (µs), and stands behind a place."""

    def end(self) -> OrderKey | None:
        """The last event's; None: there is none."""

    def former_order(self, reference: str) -> OrderKey | None:
        """Where an event stands, or stood before a branch took it out: it keeps its place for ever."""

    def former_answer(self, request: str) -> tuple[bytes, RecordedEvent] | None:
        """The bytes of a request and the answer that it once had, also if a branch has taken them out: an answer is a fact."""


class MemoryPast:
    """A past that is all in memory."""

    def __init__(self, events: Iterable[RecordedEvent]) -> None:
        self._events = list(with_high_water(sorted(events, key=lambda it: it.order)))
        self._by_reference = {it.reference: it for it in self._events}
        self._by_key: dict[Place, list[RecordedEvent]] = defaultdict(list)
        self._effects: dict[str, list[RecordedEvent]] = defaultdict(list)
        for it in self._events:
            self._by_key[it.place].append(it)
            if it.cause is not None:
                self._effects[it.cause].append(it)

    def __len__(self) -> int:
        return len(self._events)

    def events(self) -> Iterator[RecordedEvent]:
        return iter(self._events)

    def namespace_events(self, namespace: str) -> Iterator[RecordedEvent]:
        return (it for it in self._events if it.namespace == namespace)

    def key_events(self, place: Place) -> Sequence[RecordedEvent]:
        return self._by_key.get(place, ())

    def first_erased(self, place: Place) -> ErasedEvent | None:  # noqa: ARG002 - nothing is erased here
        return None

    def erased_keys(self, namespace: str) -> Sequence[str]:  # noqa: ARG002 - as above
        return ()

    def find(self, reference: str) -> RecordedEvent | None:
        return self._by_reference.get(reference)

    def effects(self, reference: str) -> Sequence[RecordedEvent]:
        return self._effects.get(reference, ())

    def first_root_after(self, time: int, behind: OrderKey | None = None) -> RecordedEvent | None:
        return first_root_of(self._events, time, behind)

    def end(self) -> OrderKey | None:
        return self._events[-1].order if self._events else None

    def former_order(self, reference: str) -> OrderKey | None:
        found = self._by_reference.get(reference)
        return None if found is None else found.order

    def former_answer(self, request: str) -> tuple[bytes, RecordedEvent] | None:
        asked, answer = self.find(request), self.find(answer_id(request))
        return None if asked is None or answer is None else (asked.value, answer)


def refuse_erased(past: Past, place: Place) -> None:
    """Raises BeforeHistory for a row of which an event is gone: without it, another row would be told."""
    erased = past.first_erased(place)
    if erased is not None:
        raise BeforeHistory(f"the row {named(place[1])!r} of {place[0]} cannot be told: {erased.sentence}")


def first_root_of(events: Iterable[RecordedEvent], time: int, behind: OrderKey | None) -> RecordedEvent | None:
    """Of ordered events, the first root that is later than `time` (µs), behind a place if one is given."""
    found = (it for it in events if it.kind == ROOT and to_micros(it.event.time) > time)
    return next((it for it in found if behind is None or it.order > behind), None)


def before(events: Sequence[RecordedEvent], order: OrderKey) -> Sequence[RecordedEvent]:
    """Those of ordered events that stand before `order`."""
    return events[: bisect_left(events, order, key=lambda it: it.order)]


def from_order(events: Sequence[RecordedEvent], order: OrderKey) -> Sequence[RecordedEvent]:
    """The others."""
    return events[bisect_left(events, order, key=lambda it: it.order) :]
