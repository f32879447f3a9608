"""A past in a file that is read from its beginning to its end, with the effects of each event: many are looked up at once."""

from __future__ import annotations

from collections.abc import Iterator

from streams.history.recorded_event import RecordedEvent
from streams.history.stored.stored_events import StoredRow
from streams.history.stored.stored_past import StoredPast


class ReadAhead:
    """The same past. Its events are to be read once; their effects are asked for as their turns come, or a little later."""

    def __init__(self, past: StoredPast) -> None:
        self._past, self._scan = past, past.effects_scan()
        self.effects = self._scan.effects
        self.find, self.end, self.key_events, self.first_erased = past.find, past.end, past.key_events, past.first_erased
        self.erased_keys, self.namespace_events, self.steps = past.erased_keys, past.namespace_events, past.steps
        self.former, self.former_answer, self.first_root_after = past.former, past.former_answer, past.first_root_after
        self.erased_effects = past.erased_effects
        self.find_all, self.aside, self.unsure_until = past.find_all, past.aside, past.unsure_until

    def __len__(self) -> int:
        return len(self._past)

    def logged(self) -> Iterator[StoredRow]:
        """The rows of all events, in order, for who reads them beside the events: the file is read once for both.

        To be asked for once, before the events.
        """
        return self._scan.logged()

    def events(self) -> Iterator[RecordedEvent]:
        return self._scan.all()
