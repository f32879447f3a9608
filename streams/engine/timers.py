"""Timers: fired by their key's own clock, in place, or by the wall clock where nothing waits in the inbox (rule 23).

Before an event of a key at time t is handled, the key's timers that are due before t are handled, as if each had come when it
was due. So what becomes of a key follows from the order of its events alone, and not from when a worker sees them.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from streams.engine.changes import PendingTimer, SetAsideRecord, TimerReference
from streams.engine.envelope import HOPS_LIMIT, Arrival, event_of
from streams.engine.event_handlers import EventHandlers
from streams.engine.execution import Execution
from streams.engine.image import Image
from streams.engine.overlay import BatchFull, Overlay
from streams.engine.parking import Parking
from streams.engine.pending import FiringLimit
from streams.engine.times import from_micros, to_micros
from streams.engine.wire_format import WireFormat
from streams.errors import StreamsError
from streams.event import Event

TIMERS_PER_BATCH, TIMER_BYTES_PER_BATCH = 1_000, 4 * 1024 * 1024
"""The most timers, and bytes of timers or answers, in one transaction."""


def due_timers(
    image: Image, now: int, most: int = TIMERS_PER_BATCH, refused: Collection[str] = ()
) -> list[PendingTimer]:
    """The timers that the wall clock fires at `now` (µs), earliest first: at most `most`, and the bytes of one transaction.

    The clock of a parked key stands still. `refused` has the ids of events that are too large for a transaction; they are left out.
    It ends before one whose event is not in memory: no other fires before that.
    """
    found, size = list[PendingTimer](), 0
    if not image.due:  # it is asked some times in each cycle
        return found
    for timer in image.due.until(image.limit(now)):
        if timer.event_id in refused or timer.owner in image.parked:
            continue
        size += timer.size
        if isinstance(timer, TimerReference) or len(found) == most or (found and size > TIMER_BYTES_PER_BATCH):
            break
        found.append(timer)
    return found


class Timers:
    """Fires the timers of one batch, in its overlay. Those in `refused` stay pending."""

    def __init__(
        self,
        handlers: EventHandlers,
        wire: WireFormat,
        overlay: Overlay,
        parking: Parking,
        execution: Execution,
        refused: Collection[str] = (),
    ) -> None:
        self._handlers, self._wire, self._overlay, self._changes = handlers, wire, overlay, overlay.changes
        self._parking, self._execution, self._refused = parking, execution, refused
        self._count = self._size = 0

    def before(self, arrival: Arrival, offset: int | None = None) -> SetAsideRecord | None:
        """Fire what is due before an event of their key, which comes at `offset`; at its very time the event comes first.

        Returns the parked record of a timer whose handler raised; the caller enqueues it. Raises BatchFull.
        """
        owner = arrival.key
        if not self._overlay.has_timers(owner):
            return None
        return self._fire(owner, self._limit(arrival.event), arrival.record[0] if offset is None else offset)

    def fires_before(self, event: Event[Any]) -> bool:
        """Whether something is due before an event of its key."""
        return self._overlay.next_timer(event.key, self._limit(event), self._refused) is not None

    def _limit(self, event: Event[Any]) -> FiringLimit:
        """Until when an event fires timers of its key. No wrong time of one event holds up its partition with a million of them."""
        until, ahead = to_micros(event.time) - 1, self._wire.limits.ahead
        if ahead is not None:
            until = min(until, self._overlay.now + ahead)
        return FiringLimit(until, until)

    def by_wall_clock(self, timers: Sequence[PendingTimer]) -> None:
        """Fire timers that `due_timers` returned, key by key, with what they schedule for the same span of time."""
        if not timers:
            return
        limit, offset = self._overlay.limit(timers[-1].at), self._changes.inbox_next
        for owner in dict.fromkeys(timer.owner for timer in timers):
            if self._overlay.blocks(owner):
                continue
            try:
                parked = self._fire(owner, limit, offset)
            except BatchFull:
                return
            if parked is not None:
                self._parking.enqueue(parked)

    def _fire(self, owner: str, limit: FiringLimit, offset: int) -> SetAsideRecord | None:
        while (timer := self._overlay.next_timer(owner, limit, self._refused)) is not None:
            if isinstance(timer, TimerReference):
                self._overlay.wait_for_bodies(owner)
            size = self._size + timer.size
            if self._count >= TIMERS_PER_BATCH or (self._count and self._is_full(size)):
                raise BatchFull
            self._count, self._size = self._count + 1, size
            self._changes.settled[timer.event_id] = None
            self._changes.handled += 1
            if timer.own:
                parked = self._handle(timer, offset)
                if parked is not None:
                    return parked
            else:
                self._changes.emitted.append(timer.emitted)
                self._changes.counters.emitted += 1
        return None

    def _is_full(self, size: int) -> bool:
        return size > TIMER_BYTES_PER_BATCH or self._execution.out_of_time()

    def _handle(self, timer: PendingTimer, offset: int) -> SetAsideRecord | None:
        """Handle a timer's event in place; returns its parked record if its handler raised."""
        emitted = timer.emitted
        record = (offset, emitted.key, emitted.value, emitted.headers, 0)
        try:
            envelope, data = self._wire.read(record)
        except StreamsError as error:
            return self._parking.unreadable(record, timer.owner, emitted.headers, str(error))
        if type(data) not in self._handlers.by_event:
            why = f"{data.event_type} has no handler in the application {self._handlers.application}"
            return self._parking.unreadable(record, timer.owner, emitted.headers, why)
        event = event_of(data, envelope, timer.event_id, from_micros(timer.at))
        arrival = Arrival(record, envelope, event, data.key, envelope.digest, timer=True)
        if self._was_handled(arrival):
            return None
        if envelope.hops > HOPS_LIMIT:
            return self._parking.keep(arrival, too_far(envelope.hops))
        raised = self._execution.execute(arrival)
        return None if raised is None else self._parking.raised(arrival, raised)

    def _was_handled(self, arrival: Arrival) -> bool:
        """Whether the very same event came through the inbox before its time: whoever publishes there may write a timer's id."""
        found = self._overlay.known(arrival.digest)
        return found is not None and found[1] == hash(arrival.record[2])


def too_far(hops: int) -> str:
    """The reason to park an event that is too many events away from its root."""
    return f"it is {hops} events away from its root; at most {HOPS_LIMIT}"

