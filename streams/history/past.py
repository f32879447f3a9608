"""The recorded past of an application, and what is asked of it."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple, Protocol

from streams.engine.identity import answer_id
from streams.engine.readable import named
from streams.engine.times import to_micros
from streams.errors import BeforeHistory
from streams.history.branch.branch_aside import NOTHING_ASIDE, BranchAside
from streams.history.high_water import LEAST, with_high_water
from streams.history.recorded_event import (
    EMITTED,
    ROOT,
    STEP,
    TIMER,
    NamespacePartition,
    OrderKey,
    Place,
    RecordedEvent,
)


class ErasedEvent(NamedTuple):
    """Of an event that is gone: its sequence, and when it was recorded and its high-water time (µs), as far as they are known.

    `until` is not 0 if a file does not keep the events of the row up to this sequence, since they are too old: then no event of
    the row is told as if it was the first.
    """

    sequence: int
    recorded: int | None
    high: int | None
    until: int = 0

    @property
    def is_old(self) -> bool:
        return self.until != 0

    @property
    def sentence(self) -> str:
        if self.is_old:
            return (
                f"its events up to the sequence {self.until} are too old for the setting `history`, so what they did to the row "
                "is not known here"
            )
        return f"its event with the sequence {self.sequence} was erased, and what it did to the row is not known any more"


NOTHING_GONE: Mapping[Place, ErasedEvent] = MappingProxyType({})


class NamesEvents(Protocol):
    """The part of a Past that finds events by their references."""

    def find_all(self, reference: str) -> Sequence[RecordedEvent]: ...


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

    def find(self, reference: str) -> RecordedEvent | None:
        """The event of this reference; the first one, if it was handled several times."""

    def find_all(self, reference: str) -> Sequence[RecordedEvent]:
        """All of this reference, in order: nearly always one."""

    def effects(self, reference: str) -> Sequence[RecordedEvent]:
        """The events that were caused by the events of this reference, in order."""

    def erased_effects(self, reference: str) -> Collection[Place]:
        """Rows of which an event was erased that had followed from an event of this reference; perhaps other rows, too."""

    def first_root_after(self, time: int, behind: OrderKey | None = None) -> RecordedEvent | None:
        """The first root event, in the total order, that happened later than `time` (µs), and stands behind a place."""

    def steps(self) -> Sequence[RecordedEvent]:
        """The steps of corrections among the events, which set rows."""

    def end(self) -> OrderKey | None:
        """The last event's; None: there is none."""

    def former(self, reference: str) -> Sequence[RecordedEvent]:
        """As `find_all`, with those that a branch has taken out: an event keeps its place for ever."""

    def former_answer(self, request: str) -> tuple[bytes, RecordedEvent] | None:
        """The bytes of a request and the answer that it once had, also if a branch has taken them out: an answer is a fact."""

    @property
    def aside(self) -> BranchAside:
        """What a branch has beside its events."""

    @property
    def unsure_until(self) -> int:
        """No event that is not kept depends on a time as late as this one (µs); LEAST: all are kept."""


class MemoryPast:
    """A past that is all in memory."""

    aside = NOTHING_ASIDE

    def __init__(
        self, events: Iterable[RecordedEvent], gone: Mapping[Place, ErasedEvent] = NOTHING_GONE, unsure_until: int = LEAST
    ) -> None:
        """`gone` has the first event that is missing of each row that is not whole."""
        self._gone, self.unsure_until = gone, unsure_until
        self._events = list(with_high_water(sorted(events, key=lambda it: it.order), unsure_until))
        self._by_reference: dict[str, list[RecordedEvent]] = defaultdict(list)
        self._by_key: dict[Place, list[RecordedEvent]] = defaultdict(list)
        self._effects: dict[str, list[RecordedEvent]] = defaultdict(list)
        self.last: dict[NamespacePartition, int] = {}
        """The last sequence of each log."""
        for it in self._events:
            self._by_reference[it.reference].append(it)
            self._by_key[it.place].append(it)
            if it.cause is not None:
                self._effects[it.cause].append(it)
            at = it.order[1:3]
            self.last[at] = max(self.last.get(at, 0), it.order.sequence)

    def __len__(self) -> int:
        return len(self._events)

    def events(self) -> Iterator[RecordedEvent]:
        return iter(self._events)

    def namespace_events(self, namespace: str) -> Iterator[RecordedEvent]:
        return (it for it in self._events if it.namespace == namespace)

    def key_events(self, place: Place) -> Sequence[RecordedEvent]:
        return self._by_key.get(place, ())

    def first_erased(self, place: Place) -> ErasedEvent | None:
        return self._gone.get(place)

    def erased_keys(self, namespace: str) -> Sequence[str]:
        return [key for of, key in self._gone if of == namespace]

    def find(self, reference: str) -> RecordedEvent | None:
        return next(iter(self.find_all(reference)), None)

    def find_all(self, reference: str) -> Sequence[RecordedEvent]:
        return self._by_reference.get(reference, ())

    def effects(self, reference: str) -> Sequence[RecordedEvent]:
        return self._effects.get(reference, ())

    def erased_effects(self, reference: str) -> Collection[Place]:  # noqa: ARG002 - what led to them is not known in memory
        return self._gone.keys()

    def first_root_after(self, time: int, behind: OrderKey | None = None) -> RecordedEvent | None:
        return first_root_of(self._events, time, behind)

    def steps(self) -> Sequence[RecordedEvent]:
        return [it for it in self._events if it.kind == STEP]

    def end(self) -> OrderKey | None:
        return self._events[-1].order if self._events else None

    def former(self, reference: str) -> Sequence[RecordedEvent]:
        return self.find_all(reference)

    def former_answer(self, request: str) -> tuple[bytes, RecordedEvent] | None:
        return answered(self, request)


def refuse_erased(past: Past, place: Place) -> None:
    """Raises BeforeHistory for a row of which an event is gone: without it, another row would be told."""
    if (error := erased_row(past, place)) is not None:
        raise error


def erased_row(past: Past, place: Place) -> BeforeHistory | None:
    """Why a row cannot be told of which an event is gone; None: none is."""
    erased = past.first_erased(place)
    if erased is None:
        return None
    return BeforeHistory(f"the row {named(place[1])!r} of {place[0]} cannot be told: {erased.sentence}")


def refuse_old(past: Past, namespaces: Iterable[str]) -> None:
    """Raises BeforeHistory if events of these namespaces are not kept: of what is made of all of them, nothing can be told."""
    for namespace in namespaces:
        for key in past.erased_keys(namespace):
            gone = past.first_erased((namespace, key))
            if gone is not None and gone.is_old:
                raise BeforeHistory(
                    f"not all events of {namespace} are in this file: of {named(key)!r}, {gone.sentence}. Set `history` to all, "
                    "and let them be read again"
                )


def cause_of(past: NamesEvents, it: RecordedEvent) -> RecordedEvent | None:
    """The event that led to this one; None: it is a root, or its cause is not in this past.

    A record names its cause by reference alone. If several events have that, it is one before it: a timer's has its key, what was
    emitted has its cause's time, and of those that are left it is the nearest. That is a good guess; who decides their handlers
    again knows which of them says it (`branch_lineage.py`).
    """
    causes = () if it.cause is None else past.find_all(it.cause)
    if len(causes) < 2:  # nearly always
        return causes[0] if causes else None
    found = [each for each in causes if each.order < it.order]
    if it.kind == TIMER:
        found = [each for each in found if each.place == it.place] or found
    if it.kind == EMITTED:
        found = [each for each in found if each.event.time == it.event.time] or found
    return found[-1] if found else None


def is_cause(past: Past, it: RecordedEvent, effect: RecordedEvent) -> bool:
    """Whether an effect that names an event's reference is that event's, as far as records tell."""
    cause = cause_of(past, effect)
    return cause is None or cause.order == it.order


def answered(past: Past, request: str) -> tuple[bytes, RecordedEvent] | None:
    """The bytes of a request, which is given by its reference, and its answer; None: this past has not both."""
    asked, answer = past.find(request), past.find(answer_id(request))
    return None if asked is None or answer is None else (asked.value, answer)


def with_parked(past: Past, place: Place) -> Sequence[RecordedEvent]:
    """The events of one row, and those that a branch has parked, in order."""
    parked = past.aside.parked_of(place)
    events = past.key_events(place)
    return sorted([*events, *parked], key=lambda it: it.order) if parked else events


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
