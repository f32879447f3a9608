"""The past up to a time: what had happened by then, as it was known then or later. It is a past itself."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence

import msgspec

from streams.engine.times import from_micros, to_micros
from streams.errors import BeforeHistory, HistoryError
from streams.history.high_water import LEAST
from streams.history.past import ErasedEvent, Past, answered, first_root_of
from streams.history.recorded_event import OrderKey, Place, RecordedEvent


class Cut(msgspec.Struct, frozen=True):
    """Two times in µs since 1970; None: no limit.

    Attributes:
        as_of: What had happened by then: events up to this high-water time.
        known: What had been recorded by then.

    """

    as_of: int | None = None
    known: int | None = None


def moment_text(micros: int) -> str:
    """A time in µs since 1970 as it is told: `2026-01-31T12:00:00Z`."""
    return from_micros(micros).isoformat().replace("+00:00", "Z")


LeaveOut = Callable[[str, BeforeHistory], None]
"""Takes the key of a row that is left out, and why."""


class CutPast:
    """Raises HistoryError where the high-water time of an event is not known yet, BeforeHistory where it never will be."""

    def __init__(self, past: Past, cut: Cut) -> None:
        self._past, self.cut, self.aside, self.unsure_until = past, cut, past.aside, past.unsure_until

    def has(self, it: RecordedEvent) -> bool:
        """Whether an event is of this past."""
        if self.cut.known is not None and it.order.recorded > self.cut.known:
            return False
        if self.cut.as_of is None:
            return True
        if it.high is None and to_micros(it.event.time) > self.cut.as_of:  # whatever it depends on, it is later
            return False
        if it.high is None:
            raise HistoryError(
                f"what had happened by {moment_text(self.cut.as_of)} cannot be told yet: {it.name} was recorded, and other "
                "partitions are not read so far. Try again in a moment"
            )
        if it.high > self.cut.as_of:
            return False
        if it.latest is not None and it.latest > self.cut.as_of:
            raise BeforeHistory(
                f"whether {it.name} had happened by {moment_text(self.cut.as_of)} is not known here: it follows from events that "
                f"{self._gone(moment_text(it.latest))}"
            )
        return True

    def _gone(self, latest: str) -> str:
        """What became of events that others depend on, and what to do."""
        if self.unsure_until == LEAST:
            return f"were erased. Ask for {latest} or later"
        return (
            f"are too old for the setting `history`, or were erased. Ask for {latest} or later, or set `history` to all, and let "
            "them be read again"
        )

    def _prefix(self, events: Sequence[RecordedEvent]) -> Sequence[RecordedEvent]:
        """Of one key: neither what is recorded nor the high-water time ever falls along it."""
        low, high = 0, len(events)
        while low < high:
            middle = (low + high) // 2
            if self.has(events[middle]):
                low = middle + 1
            else:
                high = middle
        return events[:low]

    def __len__(self) -> int:
        return sum(1 for _ in self.events())

    def events(self) -> Iterator[RecordedEvent]:
        return filter(self.has, self._past.events())

    def namespace_events(self, namespace: str) -> Iterator[RecordedEvent]:
        return filter(self.has, self._past.namespace_events(namespace))

    def events_told(self, namespace: str, leave_out: LeaveOut) -> Iterator[RecordedEvent]:
        """The same, but a row is left out of which it is not known for an event whether this past has it."""
        for it in events_told_of(self._past, namespace, leave_out):
            try:
                is_there = self.has(it)
            except BeforeHistory as error:
                leave_out(it.key, error)
                continue
            if is_there:
                yield it

    def key_events(self, place: Place) -> Sequence[RecordedEvent]:
        return self._prefix(self._past.key_events(place))

    def first_erased(self, place: Place) -> ErasedEvent | None:
        """One that is known to lie behind the cut is not of this past."""
        erased, cut = self._past.first_erased(place), self.cut
        if erased is None or (cut.known is not None and erased.recorded is not None and erased.recorded > cut.known):
            return None
        return None if cut.as_of is not None and erased.high is not None and erased.high > cut.as_of else erased

    def erased_keys(self, namespace: str) -> Sequence[str]:
        return self._past.erased_keys(namespace)

    @property
    def whole(self) -> Past:
        """The past that this is a part of."""
        return self._past.whole if isinstance(self._past, CutPast) else self._past

    def is_held_back(self, it: RecordedEvent) -> bool:
        """Whether an event of the whole past had happened by then, as known then, and is not here: it depends on a later time."""
        as_of, known = self.cut.as_of, self.cut.known
        if known is not None and it.order.recorded > known:
            return False
        if as_of is not None and to_micros(it.event.time) > as_of:
            return False
        if isinstance(self._past, CutPast) and not self._past.has(it):
            return self._past.is_held_back(it)
        return as_of is not None and it.high is not None and it.high > as_of

    def find(self, reference: str) -> RecordedEvent | None:
        return next(iter(self.find_all(reference)), None)

    def find_all(self, reference: str) -> Sequence[RecordedEvent]:
        return [it for it in self._past.find_all(reference) if self.has(it)]

    def effects(self, reference: str) -> Sequence[RecordedEvent]:
        return [it for it in self._past.effects(reference) if self.has(it)]

    def erased_effects(self, reference: str) -> Collection[Place]:
        return self._past.erased_effects(reference)

    def first_root_after(self, time: int, behind: OrderKey | None = None) -> RecordedEvent | None:
        return first_root_of(self.events(), time, behind)

    def steps(self) -> Sequence[RecordedEvent]:
        return [it for it in self._past.steps() if self.has(it)]

    def end(self) -> OrderKey | None:
        return max((it.order for it in self.events()), default=None)

    def former(self, reference: str) -> Sequence[RecordedEvent]:
        return self.find_all(reference)

    def former_answer(self, request: str) -> tuple[bytes, RecordedEvent] | None:
        return answered(self, request)


def events_told_of(past: Past, namespace: str, leave_out: LeaveOut) -> Iterator[RecordedEvent]:
    """The events of a namespace, in order; of a row that is left out, some may come before that."""
    return past.events_told(namespace, leave_out) if isinstance(past, CutPast) else past.namespace_events(namespace)
