"""A word beside the work: what each partition of a namespace does now, told to who looks from outside (ADR 19).

Handling never waits for it, and nothing that goes wrong here ends anything: a report that the broker does not take is dropped,
and the next one says what is true then.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import structlog

from streams.clock import Clock
from streams.engine.readable import harmless
from streams.kafka.cancellable_steps import Cancelled, Steps, never_cancelled
from streams.kafka.task_reports import Report, key_of, report_reason
from streams.worker.task import PartitionTask, TaskState, TaskStatus

log = structlog.get_logger("retold.worker")

SOON, EVERY, LATER, AGAIN = 0.5, 2.0, 10.0, 60.0
"""s within which a new state is told; between two words about how far a restore is; after a failure; after which what was told
is told again.

The last mends whatever went wrong with the topic: a report of the partition's former owner that came late, or a lost record.
"""
NEVER = float("-inf")
HELD = "it waits for an open transaction that has sent the group's offset"

Tasks = Callable[[], Iterable[PartitionTask]]
Write = Callable[[Mapping[str, Report], Cancelled], None]


class Reporter:
    """Of one namespace: work beside the namespace's own, until it is cancelled.

    `worker` is the client id of this worker in the group. `tasks` gives those that are open, from any thread. `write` raises if
    the broker has not taken the reports.
    """

    def __init__(self, namespace: str, worker: str, tasks: Tasks, write: Write, clock: Clock) -> None:
        self._namespace, self._worker, self._tasks, self._write, self._clock = namespace, worker, tasks, write, clock
        self._told: dict[str, Report] = {}
        """What the broker has taken from us last, as far as we know."""
        self._statuses: dict[int, TaskStatus] = {}
        self._looked = self._began = NEVER
        """When it was last told how far restores are, and everything: by the monotonic clock."""
        self._warned = False
        self._cancelled: Cancelled = never_cancelled

    def report(self, cancelled: Cancelled) -> Steps[None]:
        """Nothing is told of the end: the group says who has a partition."""
        self._cancelled = cancelled
        while not cancelled():
            yield self.look(self._clock.monotonic())

    def look(self, now: float) -> float:
        """Tell what is new; gives s until the next look. `now` by the monotonic clock."""
        try:
            self._tell(now)
        except Exception as error:  # noqa: BLE001 - whatever it is, the worker goes on and the next look may succeed
            self._told, self._looked = {}, NEVER
            self._warn(error)
            return LATER
        return SOON

    def _tell(self, now: float) -> None:
        tasks = list(self._tasks())
        statuses = {task.partition: task.status for task in tasks}
        if statuses == self._statuses and now - self._looked < EVERY:
            return
        self._statuses, self._looked = statuses, now
        if now - self._began >= AGAIN:
            self._told, self._began = {}, now
        found = {key_of(self._namespace, task.partition): report_of(task, self._worker) for task in tasks}
        reports = {key: report for key, report in found.items() if report is not None}
        if new := {key: report for key, report in reports.items() if self._told.get(key) != report}:
            self._write(new, self._cancelled)
        self._told, self._warned = reports, False

    def _warn(self, error: Exception) -> None:
        """Once, until a report is taken again."""
        if not self._warned and not self._cancelled():
            self._warned = True
            log.warning(
                "`retold status` cannot tell what partitions do; handling goes on",
                namespace=self._namespace,
                detail=f"{type(error).__name__}: {harmless(str(error))}",
            )


def report_of(task: PartitionTask, worker: str) -> Report | None:
    """None for a task that is closed."""
    state, since, why = task.status  # in one look: the namespace's thread may change it meanwhile
    if state is TaskState.CLOSED:
        return None
    if state is not TaskState.RESTORING:
        return Report(state.value, since, worker, report_reason(why))
    progress = task.progress
    return Report(state.value, since, worker, HELD if progress.held else "", progress.done, progress.total)
