"""The code that made a past: what a branch's events are compared with."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from streams.data import Record
from streams.engine.records import Entry
from streams.history.code.application_handlers import DecidedEvent
from streams.history.past import Past, is_cause
from streams.history.recorded_event import RecordedEvent

EmissionsByReference = dict[str, tuple[bytes, datetime]]
"""Some or all of what an event emits, by reference: value and time."""


def without_recorded(past: Past, it: RecordedEvent, emissions: EmissionsByReference) -> EmissionsByReference:
    """Those of an event's emissions that the past does not have.

    Of another event of its reference it may have one that is otherwise.
    """
    if not emissions:
        return {}
    recorded: dict[str, list[RecordedEvent]] = {}
    for effect in past.effects(it.reference):
        if effect.reference in emissions:
            recorded.setdefault(effect.reference, []).append(effect)

    def is_recorded(reference: str, time: datetime) -> bool:
        found = recorded.get(reference, ())
        return any(effect.event.time == time for effect in found) or any(is_cause(past, it, effect) for effect in found)

    return {reference: said for reference, said in emissions.items() if not is_recorded(reference, said[1])}


class RecordedCode(Protocol):
    """Here, or in a process of its own: two versions of a module cannot be in one."""

    def fold(self, entry: Entry, it: RecordedEvent) -> Entry:
        """A row after an event that was handled; for each row in order.

        Raises CodeChanged if this code now refuses what was accepted; then the row's other events are not folded either.
        """

    def leave(self, it: RecordedEvent) -> None:
        """An event that is not to be folded."""

    def agrees(self, entry: Entry, it: RecordedEvent, decided: DecidedEvent) -> bool:
        """Whether this code, too, leaves the row that was `decided` behind an event, with the same timers and as many events.

        If so, the event counts as folded. May raise CodeChanged as `fold`.
        """

    def count(self) -> int:
        """How many events the event has emitted that was folded last, timers among them."""

    def scheduled(self, it: RecordedEvent) -> EmissionsByReference:
        """The timers of the event that was folded last, by reference: those that have fired, and those that have not."""

    def in_flight(self, past: Past, it: RecordedEvent, row: Record | None) -> EmissionsByReference:
        """What the event has emitted that the past does not have, as far as this code can tell; `row` is as it was before it."""
