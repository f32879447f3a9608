"""The memory image of one partition of a namespace: its rows, and everything else that handling the next event depends on."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping

from streams.engine.changes import Changes, ImportClock, QueuedRecord
from streams.engine.duplicates import DEFAULT_WINDOW, DuplicateWindow
from streams.engine.partition_rows import PartitionRows
from streams.engine.pending import FiringLimit, PendingCalls, PendingTimers
from streams.engine.records import Counters
from streams.namespace import FIRST


class Image:
    """`sequence` is that of the last log record (0: none), `recorded` its time in µs, `inbox_next` the next offset.

    `parked` has the queue of each parked entity key, in order; `parked_ids` has the digests of those events, with a hash of
    the body. `due` has the timers, by event id; `calls` the unanswered calls, by the request's reference; `imports` the clocks of
    imports that are not over, by the import's name. `generation` is that of the rows that its last owner kept, and `complete` says
    of others up to which sequence theirs have everything. One that `switches` knows the number of the last correction that there
    was, `last_correction`; `corrections` says which is the last one that rows of other generations have. `unwritten` are rows that
    are not in the table yet: Avro and version. `code` is a digest of the code that has kept its rows since sequence `code_since`,
    as the last marker says, and `rows_code` that of the code which goes on with them; empty: it is not known.
    """

    def __init__(
        self, partition: int = 0, *, window: int = DEFAULT_WINDOW, rows: PartitionRows | None = None, generation: int = FIRST
    ) -> None:  # fmt: skip
        self.partition = partition
        self.rows = PartitionRows() if rows is None else rows
        self.sequence = 0
        self.recorded = 0
        self.inbox_next = 0
        self.window = DuplicateWindow(window)
        self.parked: dict[str, list[QueuedRecord]] = {}
        self.parked_ids: dict[bytes, int] = {}
        self.due = PendingTimers()
        self.calls = PendingCalls()
        self.imports: dict[str, ImportClock] = {}
        self.quarantined = 0
        self.counters = Counters()
        self.generation = self.rows_generation = generation
        self.complete: dict[int, int] = {}
        self.last_correction = 0
        self.corrections: dict[int, int] = {}
        self.code = self.rows_code = ""
        self.code_since = 0
        self.dropped: frozenset[int] = frozenset()
        """The generations of rows that nobody goes on with any more."""
        self.unwritten: dict[str, tuple[bytes, int]] = {}
        self.passes_over = False
        """Whether it goes on behind records that were deleted before they were handled, which no marker says yet."""

    @property
    def switches(self) -> bool:
        """Whether its next transaction goes over to another generation."""
        return self.generation != self.rows_generation

    def apply(self, changes: Changes) -> None:
        """Apply committed changes. Nothing here may fail half way: plain assignments only."""
        self.rows.apply(changes.rows)
        self.complete, self.corrections = self.complete_after(), self.corrections_after()
        self.code, self.code_since = self.code_after()
        self.generation, self.unwritten, self.passes_over = self.rows_generation, {}, False
        self.window.add(changes.remembered)
        self._apply_parked(changes)
        for due in changes.due:
            self.due.add(due)
        self.due.discard_all(changes.calls)  # of requests that were scheduled: a call takes its timer's place in the due topic
        self.calls.add_all(changes.calls)
        self.due.discard_all(changes.settled)
        self.calls.discard_all(changes.settled)
        self.sequence, self.recorded = changes.sequence, changes.recorded
        self.inbox_next = changes.inbox_next
        if changes.imports is not None:
            self.imports = changes.imports
        if changes.dropped is not None:
            self.dropped = changes.dropped
        self.counters = self.counters.plus(changes.counters)

    def shrink(self, count: int) -> bool:
        """Free so many rows and ids at most, of an image that is not used any more; returns whether there are more."""
        self.window.shrink(count - self.rows.shrink(count))
        return len(self.rows) + len(self.window) > 0

    def complete_after(self) -> dict[int, int]:
        """`complete` once its next transaction is committed."""
        if not self.switches:
            return self.complete
        return {**self.complete, self.generation: self.sequence}

    def corrections_after(self) -> dict[int, int]:
        """`corrections` once its next transaction is committed: the rows that were kept so far have all that there were."""
        if not self.switches or not self.last_correction:
            return self.corrections
        return {**self.corrections, self.generation: self.last_correction}

    def code_after(self) -> tuple[str, int]:
        """`code` and `code_since` once its next transaction is committed."""
        if self.rows_code in ("", self.code):
            return self.code, self.code_since
        return self.rows_code, self.sequence + 1

    def limit(self, now: int) -> FiringLimit:
        """Until when timers fire that no event's time fires, if it is `now`."""
        return limit_of(self.imports, now)

    def pending_after(self, changes: Changes) -> tuple[int, int]:
        """How many calls and how many timers are pending once `changes` are applied."""
        settled = set(changes.settled)
        calls = self.calls.count_after(set(changes.calls), settled)
        return calls, self.due.count_after({due.event_id for due in changes.due}, settled | changes.calls.keys())

    def _apply_parked(self, changes: Changes) -> None:
        self.quarantined += sum(record.entity is None for record in changes.set_aside)
        for key, queue in changes.queues.items():
            if queue:
                self.parked[key] = queue
            else:
                self.parked.pop(key, None)
        for digest, body in changes.parked_ids.items():
            if body is None:
                self.parked_ids.pop(digest, None)
            else:
                self.parked_ids[digest] = body

    def set_aside(self, record: QueuedRecord) -> None:
        """Append a parked record to its key's queue: for a restore."""
        assert record.entity is not None, "what is quarantined blocks nobody"
        self.parked.setdefault(record.entity, []).append(record)

    def is_parked(self, record: QueuedRecord) -> bool:
        """Whether this very record is in its key's queue."""
        queue, place = self._parked_at(record)
        return place < len(queue) and queue[place] is record

    def exchange(self, old: QueuedRecord, new: QueuedRecord) -> None:
        """Have `new` in the place of `old` in its key's queue, if `old` is still there: its body leaves memory, or comes back."""
        queue, place = self._parked_at(old)
        if place < len(queue) and queue[place] is old:
            queue[place] = new

    def _parked_at(self, record: QueuedRecord) -> tuple[list[QueuedRecord], int]:
        queue = self.parked.get(record.entity or "", [])
        return queue, bisect_left(queue, record.position.order, key=lambda it: it.position.order)


def limit_of(imports: Mapping[str, ImportClock], now: int) -> FiringLimit:
    """An import's clock says that an event of its very time may still come, and events come before timers of their time."""
    return FiringLimit(now, min(now, *(clock.at - 1 for clock in imports.values())) if imports else now)
