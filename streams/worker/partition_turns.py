"""Partitions that were taken over take turns with those that this worker has handled all the time.

A Kafka client hands out records in the order in which it fetched them. So an event of a partition that did not move would wait for
all that has gathered in the others while nobody handled them. Instead these are paused every other time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from streams.worker.pace import Pace
from streams.worker.polled_batch import PolledBatch
from streams.worker.task import PartitionTask
from streams.worker.tasks import Tasks

SLICE = 0.25
"""s of handling, at most, while others wait for their turn."""

HasMore = Callable[[PartitionTask], bool]
"""Whether something of a partition waits to be handled, as far as the client knows."""


class PartitionTurns:
    """Used by the namespace's thread."""

    def __init__(self, tasks: Tasks, pace: Pace) -> None:
        self._tasks, self._pace = tasks, pace
        self._paused: Sequence[PartitionTask] = ()
        self._served = False
        """Whether those that are behind have had something of their last turn: their records are not there at once."""

    def next(self, has_more: HasMore) -> bool:
        """Before a poll: whether it is the turn of those alone that are not behind. Then a poll should not wait."""
        running = self._tasks.running()
        behind = [task for task in running if task.is_behind]
        waiting = any(has_more(task) for task in running if not task.is_behind) if behind else False
        self._pace.slice = SLICE if waiting else None
        if self._paused:
            paused, self._paused, self._served = self._paused, (), False
            self._tasks.rewind(task for task in paused if task in running)
        elif waiting and self._served:
            self._paused = behind
            self._tasks.hold(behind)
        return bool(self._paused)

    def polled(self, batch: PolledBatch) -> None:
        """After each poll."""
        self._served |= any(task.is_behind for task in batch.records)
