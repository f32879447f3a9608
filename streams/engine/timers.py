"""Timers that have come due."""

from __future__ import annotations

from itertools import islice

from streams.engine.overlay import Overlay

AT_ONCE, BYTES_AT_ONCE = 1_000, 4 * 1024 * 1024
"""What one transaction takes of what came in from no inbox."""


def fire(overlay: Overlay) -> bool:
    """Publish the timers that have come due by now, earliest first. Whether there was one.

    Each leaves the due topic in the transaction that publishes it, so it fires once.
    """
    changes, fired, size = overlay.changes, 0, 0
    due = (timer for timer in overlay.image.due.until(overlay.now) if timer.event_id not in changes.settled)
    for timer in islice(due, AT_ONCE):
        size += len(timer.emitted.value)
        if fired and size > BYTES_AT_ONCE:
            break
        changes.emitted.append(timer.emitted)
        changes.settled[timer.event_id] = None
        fired += 1
    changes.counters.emitted += fired
    changes.handled += fired
    return fired > 0
