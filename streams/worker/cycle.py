"""The work of one namespace, in cycles: poll the inbox, then handle everything that is due in one transaction.

::

    poll ──> PolledBatch ──> handle: process (engine) ──> commit (one transaction) ──> apply (images, gateways)

All of it runs in one thread, the only one that calls the consumer (rule 6). While a transaction is open nothing is polled, so
no rebalance happens during one (rule 5). What was not committed is read again from the image's position: only that position
says how far handling has come.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial

import structlog
from confluent_kafka import Consumer

from streams.clock import Clock
from streams.engine.changes import Changes
from streams.engine.engine import Engine
from streams.errors import BrokerError, NamespaceStopped, RowsNotBuilt
from streams.kafka.commit import TransactionWriter
from streams.kafka.producer import UNFINISHED, ProducerLost, TransactionAborted
from streams.worker.attempt_watch import AttemptWatch
from streams.worker.bodies import Bodies
from streams.worker.breaker import CircuitBreaker
from streams.worker.collect import Collector
from streams.worker.gateway_calls import GatewayCalls
from streams.worker.group_watch import GroupWatch
from streams.worker.meter import UNMETERED, Meter
from streams.worker.oversized_work import OversizedWork
from streams.worker.pace import Pace
from streams.worker.partition_turns import PartitionTurns
from streams.worker.plan import Planner, Works
from streams.worker.poison import PoisonSearch
from streams.worker.polled_batch import PolledBatch
from streams.worker.producer_ready import producer_ready
from streams.worker.rows_wait import RowsWait
from streams.worker.runtime import Flag
from streams.worker.standby import Standby
from streams.worker.task import PartitionTask, TaskState
from streams.worker.tasks import Tasks
from streams.worker.topic_comparison import TopicComparison
from streams.worker.unblocker import Unblocker
from streams.worker.wall_clock import WallClock

log = structlog.get_logger("retold.worker")

IDLE, RESTORING = 0.1, 0.02
"""s that a poll waits for a record when no timer or answer is near; and while a partition is restored or none is assigned: restored
events and the next round of a rebalance wait for the poll's end, too."""

HANDLE_WAIT, COMMIT_WAIT = 5.0, 1.0
"""s to wait for a comparison of topics before a batch is handled, and before it is committed. Beyond, it is read again."""

Parts = Mapping[PartitionTask, Changes]


@dataclass(frozen=True)
class CycleParts:
    """The parts of a cycle; `worker.assemble` makes them. `consumer` makes the group's consumer, once it `may_join`.

    `standby`, if there is one, keeps copies of the partitions that this worker does not own. With `rows`, the namespace waits until
    those of its code's generation are built; else that they are not ends it.

    A transaction that is fenced before it is `fence_age` s old was fenced by another worker of the same name. `last_calls` in
    s: how long a stop waits for gateways.
    """

    namespace: str
    engine: Engine
    consumer: Callable[[], Consumer]
    may_join: Callable[[], bool]
    transactions: TransactionWriter
    tasks: Tasks
    unblocker: Unblocker
    calls: GatewayCalls
    bodies: Bodies
    topics: TopicComparison
    wall_clock: WallClock
    breaker: CircuitBreaker
    attempts: AttemptWatch
    group: GroupWatch
    pace: Pace
    clock: Clock
    stopping: Flag
    fence_age: float
    last_calls: float
    standby: Standby | None = None
    meter: Meter = UNMETERED
    rows: RowsWait | None = None


class Cycle:
    """`open`, then `poll` and `handle` in turn, then `close`; what they raise ends the namespace."""

    def __init__(self, members: CycleParts) -> None:
        self.members, self.tasks, self.stopping = members, members.tasks, members.stopping
        self.aborted = 0
        """Transactions in a row that were aborted."""
        self._collector = Collector(members.tasks, members.pace, members.clock)
        self._search = PoisonSearch()
        self._oversized = OversizedWork(members.namespace, members.engine, members.clock)
        self._turns = PartitionTurns(members.tasks, members.pace)
        self._planner = Planner(members.tasks, self._search, members.wall_clock)
        self._consumer: Consumer | None = None
        self._last = PolledBatch(None)

    def open(self) -> None:
        """Join the group, or later if it may not yet. Aborts the open transaction of an earlier worker of this name (rule 3)."""
        self._ready()
        self._joined()

    def poll(self) -> PolledBatch:
        """The next batch, perhaps empty. Serves rebalances, and resumes restored and unblocked partitions."""
        members, tasks = self.members, self.tasks
        self._ready()
        members.topics.check()
        if (consumer := self._joined()) is None:
            self.stopping.wait(IDLE)
            return PolledBatch(None)
        members.group.polled()
        if not _installed(members):
            self._leave(consumer)
            return self._last
        tasks.unblock(members.unblocker.freed(tasks.in_state(TaskState.BLOCKED)))
        try:
            alone = self._turns.next(partial(self._collector.has_more, consumer))
            self._last = self._collector.collect(consumer, 0.0 if alone else _poll_timeout(members))
        except BrokerError:
            members.topics.compare()  # which says more: of an inbox that was made again, the old offset cannot be read
            members.topics.check()
            raise
        self._turns.polled(self._last)
        return self._last

    def handle(self, batch: PolledBatch) -> None:
        """Handle records, due timers and gateways' answers in one transaction."""
        batch.note_ends(self.tasks.running())
        if not self.members.topics.wait_until_fresh(HANDLE_WAIT, self.stopping):
            self._read_again(batch)
            return
        self.tasks.reopen(self.members.calls.sort(self.tasks.restored()))  # those of which a body is gone
        self.tasks.reopen(self.members.bodies.look(self.tasks.restored()))
        self.members.wall_clock.look(self.tasks.running())
        works = self._planner.plan(batch)
        try:
            changes = self._process(works)
            done = _to_commit(self.members, changes)
            if done:
                self._commit(batch, done)
        except TransactionAborted as error:
            self._after_abort(error, batch, works)
            self._read_again(batch)
            return
        except ProducerLost as error:
            _after_loss(self.members, error)
            return
        self._apply_committed(done)
        self._go_on(batch, changes)

    def finish(self) -> None:
        """Handle gateways' last answers, with the group metadata of the last poll (rule 4)."""
        self.members.calls.finish(self.members.last_calls)
        self.handle(PolledBatch(self._last.metadata))

    def close(self) -> None:
        """Leave the group. An open transaction is aborted; the next owner of the partitions does its work again.

        If one step raises, the others are still done: a worker that stays in the group keeps its partitions from others.
        """
        leaving = () if self._consumer is None else (self.tasks.leave, self._consumer.close)
        _call_in_turn(self.tasks.close, *leaving, self.members.transactions.producer.close, self.members.unblocker.close)

    def _ready(self) -> None:
        producer_ready(self.members.transactions.producer, self.members.namespace, self.stopping, self.members.topics.check)

    def _joined(self) -> Consumer | None:
        """The group's consumer; None before the group may be joined. One that stays out of the group is replaced."""
        if self._consumer is not None and self.members.group.is_out:
            with self.members.group.replacement():
                self._leave(self._consumer)
        if self._consumer is None and self.members.may_join():
            self._consumer = self.members.consumer()
            self.tasks.subscribe(self._consumer)
        return self._consumer

    def _leave(self, consumer: Consumer) -> None:
        """Out of the group, which is joined again once it may be."""
        self._consumer, self._last = None, PolledBatch(None)
        _call_in_turn(self.tasks.leave, consumer.close)

    def _read_again(self, batch: PolledBatch) -> None:
        """Nothing of the batch was committed. While the broker does not answer, a seek may never return (seen)."""
        if self.members.topics.fresh:
            self.tasks.rewind(batch.records)
        else:
            self.tasks.reopen(batch.records)

    def _process(self, works: Works) -> dict[PartitionTask, Changes]:
        """Handle piece by piece; what is handled is sent to the broker while the next piece is handled.

        Ends early when the batch has used its time, else its transaction could time out; the rest is read again.
        """
        members, changes = self.members, dict[PartitionTask, Changes]()
        if not works:
            return changes  # while answers are near there are hundreds of such cycles a second: nothing needs to be watched
        began = self.members.clock.monotonic()
        until = began + members.pace.time
        members.attempts.begin({task.partition: task.image.inbox_next for task in works}, until)
        try:
            for task, work in works.items():
                work = members.attempts.narrowed(task.partition, work)
                for part in members.engine.process(
                    task.image, work, members.clock.now(), task.quarantines(), members.attempts, task.refused_timers
                ):
                    changes[task] = part
                    if part.handled:
                        members.transactions.stream(part)
                    if self.members.clock.monotonic() >= until or 0 < part.answered < len(work.answers):
                        break
        except UNFINISHED as error:
            members.transactions.producer.give_up(error)
        finally:
            members.attempts.finish()
        if taken := sum(part.taken for part in changes.values()):
            members.pace.handled(taken, self.members.clock.monotonic() - began)  # even if it is aborted later
        return changes

    def _commit(self, batch: PolledBatch, done: Parts) -> None:
        """Commit all changes in one transaction. Raises TransactionAborted, ProducerLost or NamespaceStopped."""
        members, parts = self.members, list(done.values())
        if not members.topics.wait_until_fresh(COMMIT_WAIT, self.stopping):
            members.transactions.producer.give_up(BrokerError("the broker did not answer a comparison of topics in time"))
        began = self.members.clock.monotonic()
        members.breaker.check(members.clock.now(), parts)
        members.transactions.write(parts, batch.metadata, self.tasks.images())
        members.breaker.saw(members.clock.now(), parts)
        took = members.clock.monotonic() - began
        if any(part.taken for part in parts):
            members.pace.committed(took)
        members.meter.committed(took, sum(part.handled + part.answered for part in parts))
        self.aborted = 0
        self._search.succeeded()

    def _apply_committed(self, done: Parts) -> None:
        """Apply committed changes to the images, and make their gateway calls."""
        for task, part in done.items():
            task.image.apply(part)
            self.members.bodies.committed(task, part)
            self.members.calls.committed(task, part)
            for _, text in part.raised:
                log.error("event parked", namespace=self.members.namespace, detail=text)

    def _go_on(self, batch: PolledBatch, changes: Parts) -> None:
        """Continue each partition behind the batch, rewind it to its image's position, or block it."""
        lost = self.members.bodies.bring(changes, batch.records)
        self.tasks.reopen(lost)
        for task, records in batch.records.items():
            part = changes.get(task)
            if part is not None and part.blocked is not None and task not in lost:
                self.tasks.block(task, part.blocked)
            elif part is None or part.taken < len(records):
                self.tasks.rewind([task])
        batch.note_ends(self.tasks.running())

    def _after_abort(self, error: TransactionAborted, batch: PolledBatch, works: Works) -> None:
        self.aborted += 1
        self.members.meter.aborted()
        log.warning("transaction aborted", namespace=self.members.namespace, times=self.aborted, error=str(error))
        self._search.aborted(error)
        if error.poison and self._search.lasts:
            self.members.topics.check_sizes()
            alone = self._search.narrow(works, self.members.pace)
            if alone is not None and (change := self._oversized.set_aside(*alone, self._search.reason)) is not None:
                self._commit_refusal(batch, alone[0], change)
        self.stopping.wait(min(2.0, 0.05 * (self.aborted - 1)))  # at once after a rebalance: the next poll has new metadata

    def _commit_refusal(self, batch: PolledBatch, task: PartitionTask, change: Changes) -> None:
        self._ready()  # after the failed commit the producer may have to be replaced
        try:
            self._commit(batch, {task: change})
        except TransactionAborted as error:
            log.warning("record could not be set aside", namespace=self.members.namespace, error=str(error))
        except ProducerLost as error:
            _after_loss(self.members, error)
        else:
            self._apply_committed({task: change})
            self.members.pace.cap = self.members.pace.cap * 2


def _installed(members: CycleParts) -> bool:
    """Start to handle what is restored. False: there are partitions whose rows are not built, and the namespace waits for them."""
    try:
        members.tasks.install()
    except RowsNotBuilt as error:
        if members.rows is None:
            raise
        members.rows.wait(error)
        return False
    return True


def _after_loss(members: CycleParts, error: ProducerLost) -> None:
    """It is unknown what was committed: restore from the broker, and undo nothing locally."""
    if error.fenced and not error.late and error.age < members.fence_age:
        raise NamespaceStopped(
            f"{error}. Another worker uses the same instance name and slot: give each machine its own RETOLD_INSTANCE"
        )
    members.meter.lost()
    log.warning("producer lost; restoring", namespace=members.namespace, error=str(error))
    members.tasks.restart()


def _poll_timeout(members: CycleParts) -> float:
    """How long a poll may wait, in s: less while an answer or a timer is near."""
    idle = RESTORING if members.tasks.in_state(TaskState.RESTORING) or not members.tasks.partitions() else IDLE
    waits = members.calls.poll_timeout(idle), members.wall_clock.wait(members.tasks.running())
    return min(it for it in waits if it is not None)


def _to_commit(members: CycleParts, changes: Parts) -> Parts:
    """With what is committed at once, also if there is nothing else: another generation of rows, or what an operator accepted.

    The partition may stay idle for long, and each start would need the setting that accepts it until then.
    """
    done = {task: part for task, part in changes.items() if part.handled or part.answered}
    for task in members.tasks.restored():
        if (task.image.switches or task.image.passes_over) and task not in done:
            done[task] = changes.get(task) or members.engine.begin(task.image, members.clock.now()).changes
    return done


def _call_in_turn(*steps: Callable[[], object]) -> None:
    """Each, also if those before it raise."""
    with ExitStack() as last_first:
        for step in reversed(steps):
            last_first.callback(step)
