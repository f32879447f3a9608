"""A past that tells how many of its events were read, for whoever waits."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from streams.history.past import Past
from streams.history.recorded_event import OrderKey, Place, RecordedEvent

EVERY = 500
"""Events after which it is told."""


class WatchedPast:
    """The same past; `advance` is told how many of all were read."""

    def __init__(self, past: Past, advance: Callable[[int], None]) -> None:
        self._past, self._advance = past, advance
        self.find, self.effects, self.end, self.first_erased = past.find, past.effects, past.end, past.first_erased
        self.erased_keys, self.erased_effects, self.steps = past.erased_keys, past.erased_effects, past.steps
        self.former, self.former_answer = past.former, past.former_answer
        self.find_all, self.aside, self.unsure_until = past.find_all, past.aside, past.unsure_until

    def __len__(self) -> int:
        return len(self._past)

    def events(self) -> Iterator[RecordedEvent]:
        for number, it in enumerate(self._past.events(), 1):
            if number % EVERY == 0:
                self._advance(number)
            yield it

    def namespace_events(self, namespace: str) -> Iterator[RecordedEvent]:
        return self._past.namespace_events(namespace)

    def key_events(self, place: Place) -> Sequence[RecordedEvent]:
        return self._past.key_events(place)

    def first_root_after(self, time: int, behind: OrderKey | None = None) -> RecordedEvent | None:
        return self._past.first_root_after(time, behind)
