"""Watches the calls of handlers: one that does not return is named, then ended with its process, then parked (rule 36).

A thread cannot be ended in Python, and an exception that is thrown into one may hit our own code. So the process ends; what it
must know afterwards is a note (ADR 22).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple, Protocol

import msgspec
import structlog

from streams.clock import Clock
from streams.engine.attempts import Attempt
from streams.engine.batch import PartitionWork
from streams.engine.event_handlers import EventHandlers
from streams.engine.readable import harmless, readable
from streams.errors import HandlerTimeout
from streams.kafka.cancellable_steps import Cancelled, Steps
from streams.worker.deadman import AFTER, AttemptRecord, DeadAttempt, Deadman
from streams.worker.threads import Stack, stack_of, this_thread

log = structlog.get_logger("retold.worker")

LOOK = 0.25
TOLD, LIMIT = 2.5, 7.5
"""s after which a call is named, and after which it is ended. With what was handled before it in its batch this is less than a
transaction's timeout."""
ROUNDS = 2
"""Calls that do not return, after which the event is parked."""
KILLS = 5
"""Calls in which its process was killed, after which the event is parked: what uses up the memory is killed each time, but so is
any call when somebody ends a process by force."""
DETAIL = 6_000
"""Characters of a stack that are kept."""


class StuckNote(msgspec.Struct, frozen=True):
    """The event of a partition whose handler did not return. `stack` is where it was, the last time.

    `killed` counts the calls in which its process was killed from outside.
    """

    topic_id: str
    position: int
    offset: int
    rounds: int
    stack: str = ""
    killed: int = 0


class StuckNotes(Protocol):
    def read(self) -> StuckNote | None: ...

    def write(self, value: StuckNote) -> None: ...

    def clear(self) -> None: ...


class Seen(NamedTuple):
    """A call that goes on, as of when it was first seen: by the monotonic clock, and in µs since 1970."""

    attempt: Attempt
    since: float
    at: int


class AttemptWatch:
    """One for each namespace of a worker; `began` and `ended` are called in its thread. `note` gives a partition's note.

    A call takes microseconds, so its thread only says which it is; the thread that looks measures the time.
    """

    ctrl_c = False

    def __init__(
        self,
        inbox: str,
        topic_id: str,
        note: Callable[[int], StuckNotes],
        clock: Clock,
        deadman: Deadman | None = None,
        record: AttemptRecord | None = None,
    ) -> None:
        self._inbox, self._topic_id, self._clock = inbox, topic_id, clock
        self._note_of, self._notes = note, dict[int, StuckNotes]()
        self._deadman, self._record = deadman, record
        self._current: Attempt | None = None
        self._named_call: Seen | None = None
        self._stuck: dict[int, StuckNote] = {}
        self._thread = 0
        self._until = math.inf

    def begin(self, positions: dict[int, int], until: float = math.inf) -> None:
        """A batch begins, which handles these partitions from these positions on; `until` when, by the monotonic clock, in s."""
        self._until = until
        self._thread = this_thread()
        self._stuck = {number: note for number, at in positions.items() if (note := self._known(number, at)) is not None}
        if self._deadman is not None:
            self._deadman.begin(self._inbox)

    def narrowed(self, partition: int, work: PartitionWork) -> PartitionWork:
        """The work up to the record of the partition's note, which shares its transaction with none behind it.

        If a second handler did not return in that transaction, the first event would never be committed as parked; and its note
        would be overwritten, so both handlers would be called for ever.
        """
        note = self._stuck.get(partition)
        if note is None:
            return work
        if note.offset < 0 and work.timers:  # of a timer: each goes alone, until the one that is meant is parked
            return work._replace(timers=work.timers[:1], records=())
        until = next((number for number, record in enumerate(work.records, 1) if record[0] >= note.position), None)
        return work._replace(records=work.records[:until])

    def finish(self) -> None:
        """The batch is handled."""
        if self._deadman is not None:
            self._deadman.done(self._inbox)

    def began(self, attempt: Attempt) -> None:
        """Raises HandlerTimeout if this handler never returned for this event, in `ROUNDS` calls (killed: `KILLS`)."""
        if self._stuck:
            self._refuse(attempt)
        if self._record is not None:
            self._record.began(attempt)
        self._current = attempt

    def out_of_time(self) -> bool:
        return self._clock.monotonic() >= self._until

    def ended(self) -> None:
        self._current = None
        if self._record is not None:
            self._record.ended()

    def slow(self, partition: int) -> tuple[int, str] | None:
        """Since when (µs since 1970) a call in this partition has not returned, and which, once it was named. From any thread."""
        named = self._named_call
        if named is None or named.attempt is not self._current or named.attempt.partition != partition:
            return None
        return named.at, f"the handler of {self._named(named.attempt)} has not returned yet"

    def watch(self, abandon: Callable[[HandlerTimeout], None], cancelled: Cancelled) -> Steps[None]:
        """In the background; `abandon` ends the namespace, and its process, without waiting for its thread."""
        seen: Seen | None = None
        while not cancelled():
            yield LOOK
            attempt = self._current
            if attempt is None:
                self._alive()  # such as a batch that waits for its broker
                continue
            if seen is None or seen.attempt is not attempt:
                seen = Seen(attempt, self._clock.monotonic(), self._clock.now())
                self._alive()
                continue
            took = self._clock.monotonic() - seen.since
            if took >= LIMIT:
                stack = self._stack()
                if self._current is attempt:
                    abandon(self._end(attempt, took, stack))
                    return
            elif took >= TOLD and self._named_call is not seen:
                self._named_call = seen
                stack = self._stack()
                log.warning(
                    "a handler has not returned yet",
                    detail=f"{stack.where}: the handler of {self._named(attempt)} has not returned for {took:.1f} s; after "
                    f"{LIMIT:g} s its process ends, and after {ROUNDS} such calls the event is parked. It is here:\n{stack.lines}",
                )

    def _stack(self) -> Stack:
        return stack_of(self._thread, EventHandlers.decide.__code__)

    def _end(self, attempt: Attempt, took: float, stack: Stack) -> HandlerTimeout:
        self._alive()
        rounds = self.note(attempt.partition, attempt.position, attempt.offset, stack.lines)
        if self._record is not None:
            self._record.ended()  # it is noted: whatever ends the process from now on is not counted too
        if self._deadman is not None:
            self._deadman.done(self._inbox)  # while the process ends, it still watches the other namespaces
        follows = "is tried once more" if rounds < ROUNDS else "is parked without calling its handler"
        return HandlerTimeout(
            f"{stack.where}: the handler of {self._named(attempt)} has not returned for {took:.1f} s, so this process ends: its "
            f"transaction would time out, and the event would be handled again for ever. When a worker starts again, the event "
            f"{follows}.\n{stack.lines[-DETAIL:]}"
        )

    def note(self, partition: int, position: int, offset: int, stack: str) -> int:
        """Note one more call that did not return; gives how many that makes for this event."""
        note = self._last_note(partition, position, offset)
        note = msgspec.structs.replace(note, rounds=note.rounds + 1, stack=readable(stack[-DETAIL:]))
        self._note(partition).write(note)
        return note.rounds

    def _last_note(self, partition: int, position: int, offset: int) -> StuckNote:
        last, new = self._note(partition).read(), StuckNote(self._topic_id, position, offset, 0)
        same = last is not None and (last.topic_id, last.position, last.offset) == (self._topic_id, position, offset)
        return last if last is not None and same else new

    def _note_killed(self, dead: DeadAttempt) -> None:
        note = self._last_note(dead.partition, dead.position, dead.offset)
        note = msgspec.structs.replace(note, killed=note.killed + 1)
        self._note(dead.partition).write(note)
        log.warning(
            "an earlier process was killed in a handler",
            detail=f"the process that handled the event {self._inbox}-{dead.partition}@{dead.offset} was killed while it called "
            f"its handler: by somebody, or by the system for its memory (times: {note.killed}; after {KILLS} the event is parked)",
        )

    def note_dead(self, dead: DeadAttempt) -> None:
        """Note a call that ended its process, by its Deadman or by a crash."""
        if dead.topic_id != self._topic_id:
            return
        if not dead.stacks:
            self._note_killed(dead)
            return
        rounds = self.note(dead.partition, dead.position, dead.offset, dead.stacks)
        log.error(
            "an earlier process ended in a handler",
            detail=f"the process that handled the event {_inbox_offset(self._inbox, dead)} crashed in its handler, or "
            f"the handler did not return within {AFTER:g} s; the event {'is tried once more' if rounds < ROUNDS else 'is parked'}. "
            f"The stacks of its threads:\n{dead.stacks}",
        )

    def _note(self, partition: int) -> StuckNotes:
        note = self._notes.get(partition)
        if note is None:  # it is asked for in each batch
            note = self._notes.setdefault(partition, self._note_of(partition))
        return note

    def _known(self, partition: int, position: int) -> StuckNote | None:
        note = self._note(partition)
        found = note.read()
        if found is not None and (found.topic_id != self._topic_id or found.position < position):
            note.clear()  # it was handled
            return None
        return found

    def _refuse(self, attempt: Attempt) -> None:
        note = self._stuck.get(attempt.partition)
        if note is None or (note.position, note.offset) != (attempt.position, attempt.offset):
            return
        if note.killed >= KILLS:
            raise HandlerTimeout(
                f"its process was killed {note.killed} times while its handler was called, perhaps for its memory; it was not "
                "called again"
            )
        if note.rounds < ROUNDS:
            return
        error = HandlerTimeout(
            f"its handler never returned, so it is not called again: each of {note.rounds} calls took longer than {LIMIT:g} s, or "
            "its process crashed"
        )
        error.add_note(f"The handler was here:\n{note.stack}")
        raise error

    def _alive(self) -> None:
        if self._deadman is not None:
            self._deadman.alive(self._inbox)

    def _named(self, attempt: Attempt) -> str:
        return f"{attempt.event_type} at {_inbox_offset(self._inbox, attempt)} (key {harmless(attempt.key)!r})"


def _inbox_offset(inbox: str, attempt: Attempt | DeadAttempt) -> str:
    """A timer has no inbox offset."""
    return f"{inbox}-{attempt.partition}@{attempt.offset if attempt.offset >= 0 else '(a timer)'}"
