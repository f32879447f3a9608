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
UNKNOWN = LEAST, LEAST


def with_high_water(events: Iterable[RecordedEvent], missing_until: int = LEAST) -> Iterator[RecordedEvent]:
    """Events with their high-water times; they come in the total order, from the first on.

    Some may be missing, none of which depends on a time as late as `missing_until` (µs). What follows from another event may depend
    on one of those, even if its cause is there: another event may have had the same id.
    """
    by_key: dict[Place, tuple[int, int]] = {}
    by_reference: dict[str, tuple[int, int]] = {}
    for it in events:
        time, (high, latest) = to_micros(it.event.time), by_key.get(it.place, UNKNOWN)
        high, latest = max(time, high), max(time, latest)
        if it.cause is not None:
            early, late = by_reference.get(it.cause, UNKNOWN)
            high, latest = max(high, early), max(latest, late, missing_until)
        by_key[it.place] = high, latest
        early, late = by_reference.get(it.reference, UNKNOWN)
        by_reference[it.reference] = max(high, early), max(latest, late)  # an id may have been handled twice
        yield replace(it, high=high, latest=latest if latest > high else None)
