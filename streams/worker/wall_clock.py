"""Where the wall clock fires timers: only where an inbox has been read to the end that it had when the clock was looked at.

So an event that lies in the inbox is handled before the timers that are due after it, however late the worker comes to it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

import structlog
from confluent_kafka import KafkaException

from streams.clock import Clock
from streams.engine.changes import PendingTimer
from streams.engine.readable import harmless
from streams.engine.timers import due_timers
from streams.errors import BrokerError
from streams.kafka.offsets import TopicAndPartition
from streams.worker.task import ClockReading, PartitionTask, TaskState

log = structlog.get_logger("retold.worker")

AGAIN = 1.0
"""s until the broker is asked again for ends that it did not give."""

Ends = Callable[[Sequence[TopicAndPartition]], Mapping[TopicAndPartition, int]]
"""The ends of partitions, past what an open transaction hides. Raises BrokerError."""


class WallClock:
    """Used by the namespace's thread. It asks the broker only where a timer is due."""

    def __init__(self, inbox: str, ends: Ends, clock: Clock) -> None:
        self._inbox, self._ends, self._clock = inbox, ends, clock
        self._not_before = float("-inf")

    def look(self, tasks: Iterable[PartitionTask]) -> None:
        """Read the clock and the inbox's end for the tasks that have a timer to fire."""
        now = self._clock.now()
        waiting = [task for task in tasks if self._wants_reading(task, now)]
        if not waiting or self._clock.monotonic() < self._not_before:
            return
        try:
            ends = self._ends([(self._inbox, task.partition) for task in waiting])
        except (BrokerError, KafkaException) as error:
            self._not_before = self._clock.monotonic() + AGAIN
            log.debug("timers wait for the ends of their inbox", inbox=self._inbox, detail=harmless(str(error)))
            return
        for task in waiting:
            task.clock = ClockReading(now, ends[self._inbox, task.partition])

    def timers(self, task: PartitionTask, most: int) -> Sequence[PendingTimer]:
        """The timers to fire now, at most so many; none while the inbox is not read far enough."""
        reading = self._reached(task)
        return () if reading is None else due_timers(task.image, reading.now, most, task.refused_timers)

    def wait(self, tasks: Collection[PartitionTask]) -> float | None:
        """How many s a poll may take until a timer can fire; None: none is near."""
        now = self._clock.now()
        waits = [wait for task in tasks if (wait := self._wait(task, now)) is not None]
        return min(waits, default=None)

    def _wait(self, task: PartitionTask, now: int) -> float | None:
        if task.state is not TaskState.RUNNING or (at := task.next_timer()) is None:
            return None
        if at > now:
            return (at - now) / 1e6
        if task.clock is None:
            return max(0.0, self._not_before - self._clock.monotonic())
        return 0.0 if self._reached(task) is not None else None

    def _wants_reading(self, task: PartitionTask, now: int) -> bool:
        """A reading is used until nothing that is due by it is left."""
        reached = self._reached(task)
        if reached is not None and not due_timers(task.image, reached.now, 1, task.refused_timers):
            task.clock = None
        at = task.next_timer() if task.clock is None and task.state is TaskState.RUNNING else None
        return at is not None and at <= now

    def _reached(self, task: PartitionTask) -> ClockReading | None:
        reading = task.clock
        reached = reading is not None and task.state is TaskState.RUNNING and task.handled_to >= reading.end
        return reading if reached else None
