"""Timers that have come due."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import islice

from streams.engine.changes import PendingTimer
from streams.engine.overlay import Overlay
from streams.engine.pending import PendingTimers

AT_ONCE, BYTES_AT_ONCE = 1_000, 4 * 1024 * 1024
"""What one transaction takes of what came in from no inbox."""


def due_timers(
    pending: PendingTimers, now: int, most: int = AT_ONCE, refused: Collection[str] = ()
) -> list[PendingTimer]:
    """Those due by `now` (µs), earliest first: `most` of them, and no more bytes than one transaction takes.

    `refused` are ids of events that no transaction can hold; they are left out.
    """
    found, size = list[PendingTimer](), 0
    for timer in islice((it for it in pending.until(now) if it.event_id not in refused), most):
        size += len(timer.emitted.value)
        if found and size > BYTES_AT_ONCE:
            break
        found.append(timer)
    return found


def fire(overlay: Overlay, timers: Sequence[PendingTimer]) -> None:
    """Publish them. Each leaves the due topic in the transaction that publishes it, so it fires once."""
    changes = overlay.changes
    for timer in timers:
        changes.emitted.append(timer.emitted)
        changes.settled[timer.event_id] = None
    changes.counters.emitted += len(timers)
    changes.handled += len(timers)
