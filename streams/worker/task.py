"""Everything that a worker keeps about one partition while it is assigned. Nothing of it outlives its task.

::

    RESTORING ───run───> RUNNING ───block───> BLOCKED
        │                   │ <───unblock────    │
        └───────close───────┴───────close────────┴───────> CLOSED

A closed task stays closed. A partition that is assigned again, or must be restored again, gets a new task with its own
assignment epoch. Only the namespace's thread changes a task; other threads may read it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from streams.engine.changes import BlockingRecord, KeptCall, PendingCall
from streams.engine.control import OperatorCommand
from streams.engine.image import Image
from streams.engine.timers import due_timers
from streams.kafka.quarantine_commands import CommandSearch
from streams.worker.call_queues import Assignment
from streams.worker.caller import CallResult
from streams.worker.due_bodies import RecentlyDue
from streams.worker.parked_bodies import RecentlyParked
from streams.worker.restore import RestoredImage
from streams.worker.restore_progress import RestoreProgress
from streams.worker.runtime import Job


class TaskState(Enum):
    """The state of a task."""

    RESTORING = "restoring"
    RUNNING = "running"
    BLOCKED = "blocked"
    CLOSED = "closed"


OPEN = (TaskState.RESTORING, TaskState.RUNNING, TaskState.BLOCKED)


FOREVER = 2**63
"""µs since 1970, after every timer."""


class IllegalTransition(RuntimeError):
    """A fault of retold's own: a transition or a value that the task's state does not allow."""


class TaskStatus(NamedTuple):
    """The state of a task, since when (µs since 1970), and why, in words, if there is a reason. A blocked one has a `cause`."""

    state: TaskState
    since: int
    why: str = ""
    cause: str = ""


class ClockReading(NamedTuple):
    """What the clock said (µs since 1970), and where the partition's inbox ended then."""

    now: int
    end: int


@dataclass
class RestoredCalls:
    """Requests, by reference, that a restore found pending: their answers may lie in the inbox before `end`.

    It is handled up to `read`.
    """

    requests: list[str]
    end: int
    read: int = 0


class PartitionTask:
    """`now` is in µs since 1970, here and in each method."""

    def __init__(self, assignment: Assignment, now: int) -> None:
        self.assignment, self.partition = assignment, assignment.partition
        self.status = TaskStatus(TaskState.RESTORING, now)
        self.progress = RestoreProgress(self.partition)
        self.restore: Job[RestoredImage] | None = None
        self.rows: Image | None = None
        """None before it is restored, and once it is closed."""
        self.results: deque[CallResult] = deque()
        """Results of gateway calls, in order, until they are committed."""
        self.command_search: CommandSearch | None = None
        self._blocked: tuple[int, TaskStatus] | None = None
        """The offset of the last record that blocked it, and its status then; None if none has."""
        self.refused_timers: set[str] = set()
        """Ids of due events that are too large for a transaction."""
        self.recently_parked, self.recently_due = RecentlyParked(0), RecentlyDue(0)
        self.clock: ClockReading | None = None
        """When a timer is due: until when timers fire once the inbox is handled to where it ended then."""
        self._read = self._gathered = 0
        self._command: OperatorCommand | None = None
        self._restored_calls: RestoredCalls | None = None

    @property
    def state(self) -> TaskState:
        return self.status.state

    @property
    def status_shown(self) -> TaskStatus:
        """As others see it, from any thread: while the record that blocks it is tried again, it is still blocked."""
        status, rows, blocked = self.status, self.rows, self._blocked
        if blocked is None or rows is None or status.state is not TaskState.RUNNING:
            return status
        offset, then = blocked
        return then if max(rows.inbox_next, self._read) <= offset else status

    @property
    def image(self) -> Image:
        """The image. Raises IllegalTransition unless the task is running or blocked."""
        if self.rows is None:
            raise IllegalTransition(f"partition {self.partition} has no rows while it is {self.state.value}")
        return self.rows

    def next_timer(self) -> int | None:
        """When the clock fires the next timer, in µs since 1970; None if there is none that may fire."""
        found = due_timers(self.image, FOREVER, 1, self.refused_timers)
        return found[0].at if found else None

    def run(self, restored: RestoredImage, now: int) -> None:
        """Start handling records, from the image's position on."""
        self._become(TaskState.RUNNING, now, before=[TaskState.RESTORING])
        self.restore = None
        self.rows, self._gathered = restored.image, restored.inbox_end
        self.recently_parked = RecentlyParked(restored.parked_end)
        self.recently_due = RecentlyDue(restored.due_end, restored.places)
        if restored.image.calls:
            self._restored_calls = RestoredCalls(list(restored.image.calls), restored.inbox_end)

    def block(self, cause: BlockingRecord, now: int) -> None:
        """Block at a record that cannot be handled yet; all before it were handled."""
        # A record that fails again after a retry has blocked all the time.
        since = self._blocked[1].since if self._blocked is not None and self._blocked[0] == cause.offset else now
        self._become(TaskState.BLOCKED, since, cause.reason, cause.cause, before=[TaskState.RUNNING])
        self._blocked = cause.offset, self.status
        self.command_search = CommandSearch(cause.offset, cause.offset + 1)
        self.read_to(cause.offset)

    def unblock(self, now: int) -> None:
        """Retry the record: a schema arrived, or an operator's command to quarantine it."""
        self._become(TaskState.RUNNING, now, before=[TaskState.BLOCKED])
        self.command_search = None

    def close(self, now: int) -> None:
        """Close the task: the partition belongs to another worker now, or to a new task."""
        self._become(TaskState.CLOSED, now, before=OPEN)
        self.give_up()
        self.restore = None
        self.rows = self.command_search = self._command = self._restored_calls = None
        self.results.clear()
        self.recently_parked, self.recently_due = RecentlyParked(0), RecentlyDue(0)

    def give_up(self) -> None:
        """Cancel its restore. From any thread."""
        if self.restore is not None:
            self.restore.cancel()

    def quarantine(self, command: OperatorCommand) -> None:
        """Keep an operator's command about the record that blocks it; the engine quarantines the record on the retry."""
        self._command = command

    def quarantines(self) -> Mapping[int, str]:
        """For the engine: the reasons to quarantine records, by inbox offset."""
        command = self._command
        return {command.offset: f"set aside by {command.who}: {command.why}"} if command is not None else {}

    def read_to(self, offset: int) -> None:
        """Note that everything in the inbox before `offset` is handled; control records may lie behind the last event."""
        self._read = offset
        if self._restored_calls is not None:
            self._restored_calls.read = offset

    @property
    def handled_to(self) -> int:
        """The inbox offset before which everything is handled."""
        return max(self.image.inbox_next, self._read)

    @property
    def is_behind(self) -> bool:
        """Whether it has not handled yet what had gathered before it was restored."""
        return self.state is TaskState.RUNNING and self.handled_to < self._gathered

    def hold_back(self, calls: Iterable[PendingCall]) -> bool:
        """Whether these calls must wait behind restored ones: a key's calls stay in order."""
        if self._restored_calls is None:
            return False
        self._restored_calls.requests += [call.reference for call in calls]
        return True

    def take_restored_calls(self) -> list[KeptCall]:
        """The restored calls to make now, once the inbox is handled up to where their answers may lie; else none."""
        held = self._restored_calls
        if held is None or max(self.image.inbox_next, held.read) < held.end:
            return []
        self._restored_calls = None
        return [call for it in held.requests if (call := self.image.calls.get(it)) is not None]

    def _become(
        self, state: TaskState, now: int, why: str = "", cause: str = "", *, before: Collection[TaskState]
    ) -> None:
        if self.state not in before:
            raise IllegalTransition(f"partition {self.partition} is {self.state.value} and cannot become {state.value}")
        self.status = TaskStatus(state, now, why, cause)
