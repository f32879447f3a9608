"""The poll thread of one namespace: it alone calls the consumer, and it writes every transaction (rule 6).

It polls, hands a batch to the agent, writes what came back as one transaction, and makes it true in the images. While a
transaction is open nothing is polled, so a rebalance can never meet one half written (rule 5). What was not committed is
read again from the image's position: that position is the one truth about how far handling has come.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial

import structlog
from confluent_kafka import Consumer, KafkaException

from streams.engine.batch import Work
from streams.engine.changes import Changes
from streams.engine.engine import Engine
from streams.engine.records import InboxRecord
from streams.errors import NamespaceStopped
from streams.kafka.commit import Transactions
from streams.kafka.producer import UNFINISHED, ProducerLost, TransactionAborted
from streams.worker.batch import Batch
from streams.worker.breaker import Breaker
from streams.worker.collect import Collector
from streams.worker.leaving import Leaving
from streams.worker.pace import Pace
from streams.worker.pending import Pending
from streams.worker.slots import Slot
from streams.worker.stalls import Stalls
from streams.worker.task import PartitionTask, TaskState
from streams.worker.tasks import Tasks
from streams.worker.unblocker import Unblocker

log = structlog.get_logger("retold.worker")

POISONED = 2

Handle = Callable[[PartitionTask, list[InboxRecord]], Changes]
Hand = Callable[[Batch, Handle], None]
"""The way to the agent, which runs the batch with what handles a task's records."""


@dataclass(frozen=True)
class Parts:
    """What a source is made of; `worker.assemble` puts it together. `consumer` makes the group's consumer.

    `last_calls` in s: how long a stop waits for gateways. `reach(s)` raises BrokerUnavailable.
    """

    namespace: str
    inbox: str
    engine: Engine
    consumer: Callable[[], Consumer]
    transactions: Transactions
    tasks: Tasks
    unblocker: Unblocker
    pending: Pending
    pace: Pace
    clock: Callable[[], int]
    fence_age: float
    slot: Slot
    last_calls: float
    reach: Callable[[float], None]
    stalls: Stalls


class Source:
    """`hand` gives a batch to the agent; it returns at once."""

    def __init__(self, parts: Parts, hand: Hand) -> None:
        self.parts, self._hand = parts, hand
        self.error: BaseException | None = None
        self.ready = threading.Event()
        self._stop = threading.Event()
        self._breaker = Breaker(parts.namespace)
        self._collector = Collector(parts.inbox, parts.pace, parts.tasks)
        self._poison: tuple[int, str] = (0, "")
        self.aborted = 0
        self._until: float | None = None
        self._thread = threading.Thread(target=self._run, name=f"retold-{parts.namespace}", daemon=True)
        self._leaving = Leaving(parts.namespace, self._thread, parts.reach)
        self._consumer: Consumer

    def start(self) -> None:
        self._thread.start()
        self.parts.stalls.start()

    def stop(self) -> None:
        """Ask it to end after the batch in hand; `join` waits. More than once does no harm."""
        if not self._stop.is_set():
            self._stop.set()
            self.parts.tasks.give_up()
            self._leaving.begin()

    def join(self, timeout: float | None = None) -> bool:
        """Whether it has ended, or is waited for no longer because its broker does not answer."""
        self._thread.join(timeout)
        return not self._thread.is_alive() or self._leaving.given_up

    @property
    def running(self) -> bool:
        return self._thread.is_alive()

    def _run(self) -> None:
        parts = self.parts
        try:
            self._ready_transactions()
            self._consumer = parts.consumer()
            try:
                parts.tasks.subscribe(self._consumer)
                while not self._stop.is_set():
                    self._step()
                parts.pending.finish(parts.last_calls)
                self._settle_pending()
            finally:
                parts.tasks.close()
                self._consumer.close()
        except BaseException as error:  # noqa: BLE001 - it ends this namespace; the worker tells why
            self.error = error
        finally:
            parts.stalls.stop()
            parts.transactions.producer.close()
            parts.unblocker.close()
            parts.slot.release()

    def _ready_transactions(self) -> None:
        """Again until the broker answers, or we are to stop; a broker that is away for a while ends no worker."""
        while not self._stop.is_set():
            try:
                self.parts.transactions.producer.ready()
                break
            except KafkaException as error:
                if error.args[0].fatal():
                    raise
                log.warning("no transactions yet; trying again", namespace=self.parts.namespace, error=str(error))
                self._stop.wait(1.0)

    def _step(self) -> None:
        parts = self.parts
        self._ready_transactions()
        tasks = parts.tasks
        tasks.install()
        tasks.unblock(parts.unblocker.freed(tasks.in_state(TaskState.BLOCKED)))
        batch = self._collector.collect(self._consumer)
        if tasks.all_restored:
            self.ready.set()
        if batch is not None and len(batch):
            self._settle(batch)
        if batch is not None and batch.ends:
            self._note_ends(batch)
        self._settle_pending()

    def _settle_pending(self) -> None:
        """Publish timers that have come due, and what gateways answered, one partition a transaction.

        For as long as a batch may take: after that the group wants to hear of us, and the inbox waits too.
        """
        parts = self.parts
        until = time.monotonic() + parts.pace.seconds
        for written, (task, changes) in enumerate(parts.pending.owed(parts.tasks.restored(), parts.clock())):
            if written and time.monotonic() >= until:
                return  # before it is written: what was written is told to `owed` by asking for the next
            batch = Batch({task: []}, self._consumer.consumer_group_metadata())
            if not self._write(batch, {task: changes}):
                return

    def _note_ends(self, batch: Batch) -> None:
        """All before the end of a partition was handled, unless its records come again: then its end is told again, too."""
        for task in self.parts.tasks.running():
            records = batch.records.get(task)
            if task.partition in batch.ends and (not records or task.image.inbox_next > records[-1][0]):
                task.read_to(batch.ends[task.partition])

    def _handle(self, task: PartitionTask, records: list[InboxRecord]) -> Changes:
        """Piece by piece, in the agent: what was handled travels to the broker while the next piece is.

        Ends early when the batch has taken its time, or its transaction would time out; the rest is read again.
        """
        batch = self.parts.engine.begin(task.image, self.parts.clock(), task.orders())
        if self._until is None:  # from where handling begins: the agent may have been busy with another namespace
            self._until = time.monotonic() + self.parts.pace.seconds
        for changes in batch.process(Work(records=records)):
            if changes.handled:
                self.parts.transactions.stream(changes)
            if time.monotonic() >= self._until:
                break
        return batch.changes

    def _settle(self, batch: Batch) -> None:
        began = time.monotonic()
        changes = self._answer(batch)
        handled = time.monotonic()
        parts = {task: part for task, part in changes.items() if part.handled}
        if parts:
            self.parts.pace.handled(sum(part.handled for part in parts.values()), handled - began)  # also if it is aborted
            if not self._write(batch, parts):
                return
            self._tell(parts.values())
            self.parts.pace.committed(time.monotonic() - handled)
        for task, part in changes.items():
            if part.blocked is not None and task.state is TaskState.RUNNING:
                self.parts.tasks.block(task, part.blocked)
            elif part.handled < len(batch.records[task]):
                self.parts.tasks.rewind([task])

    def _answer(self, batch: Batch) -> Mapping[PartitionTask, Changes]:
        """The agent's, while the group is kept waiting; a stop does not tear a batch. Empty if it was aborted."""
        self._until = None
        self._hand(batch, self._handle)
        try:
            return batch.changes.result()
        except UNFINISHED as error:
            self._guarded(batch, partial(self.parts.transactions.producer.give_up, error))
            return {}

    def _guarded(self, batch: Batch, act: Callable[[], None]) -> bool:
        """Whether `act` went well. If not, the batch's records come again."""
        try:
            act()
        except TransactionAborted as error:
            self._after_abort(batch, error)
            return False
        except ProducerLost as error:
            self._after_loss(error)
            return False
        return True

    def _write(self, batch: Batch, changes: Mapping[PartitionTask, Changes]) -> bool:
        """Whether it is true now. If not, the same records come again."""
        now, parts = self.parts.clock(), list(changes.values())
        self._breaker.check(now, parts)
        images = self.parts.tasks.images()
        if not self._guarded(batch, lambda: self.parts.transactions.write(parts, batch.metadata, images)):
            return False
        for task, part in changes.items():
            task.image.apply(part)
            self.parts.pending.committed(task, part)
        if len(batch):  # timers and answers are no events that were handled
            self._breaker.saw(now, parts)
        self.aborted, self._poison = 0, (0, "")
        return True

    def _after_abort(self, batch: Batch, error: TransactionAborted) -> None:
        self.aborted += 1
        log.warning("a transaction was aborted", namespace=self.parts.namespace, times=self.aborted, error=str(error))
        self._poison = (self._poison[0] + 1, str(error)) if error.poison else (0, "")
        if self._poison[0] >= POISONED and len(batch) == 1:
            self._refuse(batch)
            return
        if self._poison[0] >= POISONED and len(batch):
            self.parts.pace.halve(len(batch))
        self._stop.wait(min(2.0, 0.05 * self.aborted))
        self.parts.tasks.rewind(batch.records)

    def _refuse(self, batch: Batch) -> None:
        """One event that no transaction can hold: quarantined by reference, the inbox still has it (rule 8)."""
        [(task, [record])] = batch.records.items()
        change = self.parts.engine.refuse(task.image, record, self._poison[1], self.parts.clock())
        self._poison = (0, "")
        if self._write(batch, {task: change}):
            self.parts.pace.cap = self.parts.pace.cap * 2

    def _after_loss(self, error: ProducerLost) -> None:
        """What was committed is unknown: forget the images, and read what the broker has (rule: never undo locally)."""
        if error.fenced and error.age < self.parts.fence_age:
            raise NamespaceStopped(
                f"{error}. Another worker uses the same instance name and slot: give each machine its own RETOLD_INSTANCE"
            )
        log.warning("the producer was lost; restoring", namespace=self.parts.namespace, error=str(error))
        self.parts.tasks.restart()
        self._ready_transactions()

    def _tell(self, changes: Iterable[Changes]) -> None:
        for part in changes:
            for _, text in part.raised:
                log.error("parked", namespace=self.parts.namespace, detail=text)
