"""The high-water time of an event: the latest time that it depends on.

It is the latest of the event's own time, that of its key's event before it and that of its cause. So it never falls along a key,
nor from a cause to its effect: all events up to some high-water time are a prefix of each key, and have their causes with them.
With the events' own times, a late event would leave effects without their cause.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from msgspec.structs import replace

from streams.engine.times import to_micros
from streams.history.recorded_event import Place, RecordedEvent

LEAST = -(2**62)
"""µs: before all times."""


def with_high_water(events: Iterable[RecordedEvent]) -> Iterator[RecordedEvent]:
    """Events with their high-water times; they come in the total order, from the first on."""
    by_key: dict[Place, int] = {}
    by_reference: dict[str, int] = {}
    for it in events:
        cause = LEAST if it.cause is None else by_reference.get(it.cause, LEAST)
        high = max(to_micros(it.event.time), by_key.get(it.place, LEAST), cause)
        by_key[it.place] = high
        by_reference[it.reference] = max(high, by_reference.get(it.reference, LEAST))  # an id may have been handled twice
        yield replace(it, high=high)
