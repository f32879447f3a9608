"""Timers that are due."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import islice

from streams.engine.changes import PendingTimer
from streams.engine.overlay import Overlay
from streams.engine.pending import PendingTimers

TIMERS_PER_BATCH, TIMER_BYTES_PER_BATCH = 1_000, 4 * 1024 * 1024
"""The most timers, and bytes of timers or answers, in one transaction."""


def due_timers(
    pending: PendingTimers, now: int, most: int = TIMERS_PER_BATCH, refused: Collection[str] = ()
) -> list[PendingTimer]:
    """The timers due by `now` (µs), earliest first: at most `most`, and no more bytes than one transaction takes.

    `refused` has the ids of events that are too large for a transaction; they are left out.
    """
    found, size = list[PendingTimer](), 0
    for timer in islice((it for it in pending.until(now) if it.event_id not in refused), most):
        size += len(timer.emitted.value)
        if found and size > TIMER_BYTES_PER_BATCH:
            break
        found.append(timer)
    return found


def fire(overlay: Overlay, timers: Sequence[PendingTimer]) -> None:
    """Publish timers. Each leaves the due topic in the transaction that publishes it, so it fires once."""
    changes = overlay.changes
    for timer in timers:
        changes.emitted.append(timer.emitted)
        changes.settled[timer.event_id] = None
    changes.counters.emitted += len(timers)
    changes.handled += len(timers)
