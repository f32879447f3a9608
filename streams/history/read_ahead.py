"""A past that is read from its beginning to its end, with the effects of each event: hundreds are asked for at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Protocol

from streams.history.past import Past
from streams.history.recorded_event import RecordedEvent
from streams.history.stored_past import MOST_ASKED


class EffectsPast(Past, Protocol):
    """A past that has the effects of many events at once."""

    def effects_of(self, events: Sequence[RecordedEvent]) -> Mapping[str, Sequence[RecordedEvent]]: ...


class ReadAhead:
    """The same past. Its events are to be read once; their effects are asked for as their turns come, or a little later."""

    def __init__(self, past: EffectsPast) -> None:
        self._past = past
        self._pieces: tuple[Mapping[str, Sequence[RecordedEvent]], ...] = ()
        self.find, self.end, self.key_events, self.first_erased = past.find, past.end, past.key_events, past.first_erased
        self.erased_keys = past.erased_keys
        self.former_order, self.former_answer, self.first_root_after = past.former_order, past.former_answer, past.first_root_after

    def __len__(self) -> int:
        return len(self._past)

    def events(self) -> Iterator[RecordedEvent]:
        events = self._past.events()
        while piece := list(islice(events, MOST_ASKED)):
            self._pieces = (*self._pieces[-1:], self._past.effects_of(piece))
            yield from piece

    def namespace_events(self, namespace: str) -> Iterator[RecordedEvent]:
        return self._past.namespace_events(namespace)

    def effects(self, reference: str) -> Sequence[RecordedEvent]:
        for piece in self._pieces:
            if (found := piece.get(reference)) is not None:
                return found
        return self._past.effects(reference)


