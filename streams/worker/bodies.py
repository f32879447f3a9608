"""Bodies of what waits, parked or for its time or its gateway, for the cycle of a namespace: which leave memory, and come back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from streams.clock import Clock
from streams.engine.changes import Changes
from streams.engine.records import Batch
from streams.worker.due_bodies import AGAIN, DueBodies
from streams.worker.parked_bodies import ParkedBodies
from streams.worker.task import PartitionTask


class Bodies:
    """Used by the namespace's thread."""

    def __init__(self, parked: ParkedBodies, due: DueBodies, clock: Clock) -> None:
        self._parked, self._due, self._clock = parked, due, clock
        self._not_before = float("-inf")

    def committed(self, task: PartitionTask, changes: Changes) -> None:
        """After `changes` are applied to its image."""
        self._parked.committed(task.recently_parked, task.image, changes)
        self._due.committed(task.recently_due, task.image, changes)

    def bring(self, handled: Mapping[PartitionTask, Changes], records: Mapping[PartitionTask, Batch]) -> list[PartitionTask]:
        """Read what is needed to go on. Returns the tasks whose topics lack some of it: somebody has deleted it."""
        lost = []
        for task, changes in handled.items():
            if (key := changes.needs) is not None:
                behind = records.get(task, ())[changes.taken :]
                next_ones = dict.fromkeys((record[1] or b"").decode(errors="replace") for record in behind)
                parked = self._parked.bring(task.recently_parked, task.image, key)
                if not (parked and self._due.bring(task.recently_due, task.image, key, next_ones)):
                    lost.append(task)
        return lost

    def look(self, tasks: Iterable[PartitionTask]) -> list[PartitionTask]:
        """Read the events of timers that are due soon, now and then. Returns the tasks whose topic lacks one."""
        if self._clock.monotonic() < self._not_before:
            return []
        self._not_before = self._clock.monotonic() + AGAIN
        return [task for task in tasks if not self._due.bring_near(task.recently_due, task.image, task.refused_timers)]
