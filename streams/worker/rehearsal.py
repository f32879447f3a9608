"""What an operator's command about parked events would do with the code that is here. Nothing is written."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from functools import partial
from typing import NamedTuple

from streams.clock import Clock
from streams.engine.calls import parked_request
from streams.engine.changes import Changes
from streams.engine.control import PREFIX, OperatorCommand, encode
from streams.engine.records import Entry, InboxRecord
from streams.kafka.bounded_read import polls
from streams.kafka.cancellable_steps import never_cancelled
from streams.worker.due_bodies import DueBodies, RecentlyDue
from streams.worker.parked_bodies import ParkedBodies, exchange
from streams.worker.restore import RestoredImage, Restorer
from streams.worker.restore_progress import RestoreProgress


class Rehearsal(NamedTuple):
    """`before` is the key's row, None without one, and its version. `unread` records are in the inbox before the command."""

    before: Entry
    changes: Changes
    unread: int

    @property
    def goes_on(self) -> bool:
        """Whether it is the first part of a long retry: a command of its own, for a later transaction, goes on with the rest."""
        return any(it.value[:1] == PREFIX for it in self.changes.emitted)


def rehearse(
    restorer: Restorer, clock: Clock, command: OperatorCommand, partition: int, tell: Callable[[int, int], None]
) -> Rehearsal:
    """Restore the partition, as a worker that takes it over does, and let the engine handle the command on it.

    `tell` is given how many records are read, and of how many. Raises StreamsError, as a worker that does not start.
    """
    image, inbox_end, *_ = _restored(restorer, clock, partition, tell)
    now = clock.now()
    record: InboxRecord = (image.inbox_next, command.key.encode(), encode(command), [], now // 1000)
    request = partial(parked_request, restorer.engine.wire)
    bodies = ParkedBodies(restorer.names.parked, request, restorer.consumer, restorer.admin, clock.sleep)
    exchange(image, bodies.read(image, command.key))
    due = DueBodies(restorer.names.due, restorer.engine.wire, restorer.consumer, restorer.admin, clock.sleep)
    due.bring(RecentlyDue(0), image, command.key)
    changes = restorer.engine.handle(image, [record], now)
    unread = _count(restorer, clock, partition, image.inbox_next, inbox_end)
    return Rehearsal(image.rows.get(command.key, (None, 0)), changes, unread)


def _count(restorer: Restorer, clock: Clock, partition: int, first: int, end: int) -> int:
    """How many records of the inbox lie between two offsets; control records are none. Raises BrokerError."""
    if first >= end:
        return 0
    spans = {(restorer.names.inbox, partition): (first, end)}
    with closing(restorer.consumer()) as consumer:
        return sum(len(messages) for messages in polls(consumer, spans, cancelled=never_cancelled, clock=clock))


def _restored(restorer: Restorer, clock: Clock, partition: int, tell: Callable[[int, int], None]) -> RestoredImage:
    progress = RestoreProgress(partition)
    steps = restorer.restore(partition, never_cancelled, progress)
    while True:
        try:
            pause = next(steps)
        except StopIteration as done:
            restored: RestoredImage = done.value
            return restored
        tell(progress.done, progress.total)
        if pause:
            clock.sleep(pause)
