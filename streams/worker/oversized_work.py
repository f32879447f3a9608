"""Sets aside the one record, answer or timer that is too large for a transaction, once the search has found it (rule 8)."""

from __future__ import annotations

import structlog

from streams.clock import Clock
from streams.engine.batch import PartitionWork
from streams.engine.changes import Changes, PendingTimer
from streams.engine.engine import Engine
from streams.engine.readable import harmless
from streams.engine.records import InboxRecord
from streams.worker.gateway_calls import refuse_answer
from streams.worker.task import PartitionTask

log = structlog.get_logger("retold.worker")


class OversizedWork:
    """Of one namespace."""

    def __init__(self, namespace: str, engine: Engine, clock: Clock) -> None:
        self._namespace, self._engine, self._clock = namespace, engine, clock
        self._about = -1, -1
        """Partition and offset of the record before which timers were suspected last."""
        self._suspected: set[str] = set()

    def set_aside(self, task: PartitionTask, work: PartitionWork, reason: str) -> Changes | None:
        """Set aside what is alone in `work`.

        Gives the changes to commit for a record, which is quarantined by reference: the inbox still has it. An answer is parked
        with its request by the next batch, and a timer stays pending.
        """
        if work.records:
            fired, about = self._fired_before(task, work.records[0]), (task.partition, work.records[0][0])
            if about != self._about:
                self._about, self._suspected = about, set()
            if not fired:
                task.refused_timers -= self._suspected  # in vain: it is the record
                return self._engine.refuse(task.image, work.records[0], reason, self._clock.now())
            # the largest is suspected first, and the record itself once no timer fires before it
            largest = max(fired, key=lambda timer: timer.size)
            self._suspected.add(largest.event_id)
            self._refuse_timer(task, largest, reason)
        elif work.answers:
            task.results[0] = refuse_answer(task.results[0], reason)
        else:
            self._refuse_timer(task, work.timers[0], reason)
        return None

    def _fired_before(self, task: PartitionTask, record: InboxRecord) -> list[PendingTimer]:
        """The timers that fire in place before a record."""
        batch = self._engine.begin(task.image, self._clock.now(), refused=task.refused_timers)
        batch.take_all([record])
        known = [*task.image.due.values(), *batch.changes.due] if batch.changes.settled else []
        return [it for it in known if it.event_id in batch.changes.settled and isinstance(it, PendingTimer)]

    def _refuse_timer(self, task: PartitionTask, timer: PendingTimer, reason: str) -> None:
        """Keep it in the due topic and retry when its partition is restored: a limit may have been raised by then."""
        task.refused_timers.add(timer.event_id)
        emitted, key = timer.emitted, harmless(timer.emitted.key.decode(errors="replace"))
        log.error(
            "timer cannot be published; the others continue, and it is retried when its partition is restored",
            namespace=self._namespace, partition=task.partition, to=emitted.namespace, key=key, id=timer.event_id, reason=reason,
        )  # fmt: skip
