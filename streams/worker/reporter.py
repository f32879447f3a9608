"""Reports the states of a namespace's partitions for monitoring (ADR 19).

Handling never waits for it, and no failure here ends anything: an undelivered report is dropped, and the next one has the
state at its time.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable, Mapping

import structlog

from streams.clock import Clock
from streams.engine.readable import harmless, in_a_line
from streams.engine.records import SLOW
from streams.errors import StreamsError
from streams.kafka.cancellable_steps import Cancelled, Steps, never_cancelled
from streams.kafka.task_reports import (
    ENDED,
    STANDBY,
    WARMING,
    CopyReport,
    Report,
    copies_key,
    end_of,
    key_of,
    report_reason,
)
from streams.worker.cycle import Cycle
from streams.worker.task import PartitionTask, TaskState, TaskStatus

log = structlog.get_logger("retold.worker")

SOON, EVERY, LATER, AGAIN = 0.5, 2.0, 10.0, 60.0
"""s within which a new state is reported; between two reports of a restore's progress; after a failure; after which everything
is reported again.

The last repairs the topic after a late report of the partition's former owner, or a lost record.
"""
TIDY = 600.0
"""s between two looks for reports of workers that are gone."""
COPIES_AGAIN = 10_000_000
"""µs after which a report of copies is written again, since it holds only for some time."""
FOR_AN_END = 3.0
"""s that the report of a namespace's end may take: its worker ends too."""
NEVER = float("-inf")
HELD = "it waits for an open transaction that has sent the group's offset"

Tasks = Callable[[], Iterable[PartitionTask]]
Slow = Callable[[int], tuple[int, str] | None]
"""Of a partition: since when (µs since 1970) the call of a handler has not returned, and which."""
Write = Callable[[Mapping[str, Report | None], Cancelled], None]


class Reporter:
    """Reports for one namespace, in the background, until it is cancelled.

    `worker` is the client id of this worker in the group. `tasks` returns the open tasks, from any thread. `write` raises if
    the reports were not delivered.
    """

    def __init__(
        self,
        namespace: str,
        worker: str,
        tasks: Tasks,
        write: Write,
        clock: Clock,
        slow: Slow = lambda _: None,
        trouble: Callable[[int], str] = lambda _: "",
    ) -> None:
        self._namespace, self._worker, self._tasks, self._write, self._clock = namespace, worker, tasks, write, clock
        self._slow, self._trouble = slow, trouble
        self.standby: Callable[[], Report | None] = lambda: None
        """The report of the copies that this worker keeps."""
        self.forgotten: Callable[[Cancelled], Mapping[str, None]] = lambda _: {}
        """The keys of reports of workers that are gone, which are deleted."""
        self._delivered: dict[str, Report] = {}
        """The last reports that were delivered, as far as we know."""
        self._statuses: dict[int, TaskStatus] = {}
        self._looked = self._began = NEVER
        """When states were last looked at, and when everything was last reported: by the monotonic clock."""
        self._tidied = clock.monotonic()
        self._warned = False
        self._cancelled: Cancelled = never_cancelled

    def report(self, cancelled: Cancelled) -> Steps[None]:
        """Report until cancelled. A revoked partition is not reported: the group knows its new owner."""
        self._cancelled = cancelled
        while not cancelled():
            yield self.look(self._clock.monotonic())

    def look(self, now: float) -> float:
        """Report what changed; returns s until the next call. `now` by the monotonic clock."""
        try:
            self._report_changes(now)
        except Exception as error:  # noqa: BLE001 - whatever it is, the worker continues and the next try may succeed
            self._delivered, self._looked = {}, NEVER
            self._warn(error)
            return LATER
        return SOON

    def _report_changes(self, now: float) -> None:
        tasks = list(self._tasks())
        statuses = {task.partition: self._status(task) for task in tasks}
        if statuses == self._statuses and now - self._looked < EVERY:
            return
        self._statuses, self._looked = statuses, now
        if now - self._began >= AGAIN:
            self._delivered, self._began = {}, now
        found = {
            key_of(self._namespace, task.partition): report_of(task, self._worker, statuses[task.partition]) for task in tasks
        }
        found[copies_key(self._namespace, self._worker)] = self.standby()
        reports = {key: report for key, report in found.items() if report is not None}
        if new := {key: report for key, report in reports.items() if self._delivered.get(key) != report}:
            self._write(new, self._cancelled)
        self._delivered, self._warned = reports, False
        if now - self._tidied >= TIDY:
            self._tidied = now
            if gone := self.forgotten(self._cancelled):
                self._write(gone, self._cancelled)

    def _status(self, task: PartitionTask) -> TaskStatus:
        """A partition whose handler does not return is blocked by it; one whose gateway fails runs."""
        slow = self._slow(task.partition)
        if slow is not None:
            return TaskStatus(TaskState.BLOCKED, *slow, SLOW)
        status = task.status_shown
        if status.state is TaskState.RUNNING and (trouble := self._trouble(task.partition)):
            return status._replace(why=trouble)
        return status

    def _warn(self, error: Exception) -> None:
        """Warn once, until a report is delivered again."""
        if not self._warned and not self._cancelled():
            self._warned = True
            log.warning(
                "`retold status` cannot show the states of partitions; handling continues",
                namespace=self._namespace,
                detail=f"{type(error).__name__}: {harmless(str(error))}",
            )


def report_end(namespace: str, worker: str, write: Write, clock: Clock, error: BaseException, state: str = ENDED) -> None:
    """Report what ended a namespace, or why it waits. If the broker does not take it in time, only the log has it."""
    lines = str(error) if isinstance(error, StreamsError) else "".join([in_a_line(error), "\n", *traceback.format_exception(error)])
    deadline = clock.monotonic() + FOR_AN_END
    try:
        write(end_of(namespace, worker, clock.now(), lines, state), lambda: clock.monotonic() > deadline)
    except Exception as failure:  # noqa: BLE001 - whatever it is, the namespace has ended for another reason
        log.warning(
            "`retold status` cannot show why the namespace ended, or waits",
            namespace=namespace,
            detail=f"{type(failure).__name__}: {harmless(str(failure))}",
        )


def report_of(task: PartitionTask, worker: str, status: TaskStatus | None = None) -> Report | None:
    """None for a task that is closed. `status` is read once: the namespace's thread may change it meanwhile."""
    state, since, why, cause = status or task.status_shown
    if state is TaskState.CLOSED:
        return None
    if state is not TaskState.RESTORING:
        return Report(state.value, since, worker, report_reason(why), cause=cause)
    progress = task.progress
    why, left = HELD if progress.held else "", round(progress.left or 0)
    return Report(state.value, since, worker, why, progress.done, progress.total, left=left)


def standby_report(cycle: Cycle, worker: str) -> Report | None:
    """The copies that a worker keeps; None if it keeps none. Its time goes on in steps, so that it is not written too often."""
    standby = cycle.members.standby
    if standby is None:
        return None
    copies = [CopyReport(it.partition, it.ready, it.done, it.total) for it in standby.states()]
    now = cycle.members.clock.now()
    return Report(STANDBY if cycle.tasks.joined else WARMING, now - now % COPIES_AGAIN, worker, copies=copies)
