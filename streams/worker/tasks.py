"""The tasks of a namespace, one for each partition that is assigned, and the group's rebalances that make and close them.

All but the restores runs in the namespace's thread.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable

import structlog
from confluent_kafka import Consumer, KafkaException, TopicPartition

from streams.engine.changes import BlockingRecord
from streams.engine.image import Image
from streams.errors import BrokerError, NamespaceTaken, PartitionLost, TopicMismatch
from streams.kafka.cancellable_steps import Cancelled, Steps
from streams.worker.caller import Assignment
from streams.worker.restore import RestoredImage, RestoreProgress, Restorer
from streams.worker.runtime import Background
from streams.worker.task import PartitionTask, TaskState

log = structlog.get_logger("retold.worker")

RETRY = 1.0
"""s after which a restore that failed is tried again."""


class Tasks:
    """`on_closed` is told of each task when it is closed. Restores go on in `background`. `now` gives µs since 1970."""

    def __init__(
        self,
        inbox: str,
        restorer: Restorer,
        background: Background,
        on_closed: Callable[[PartitionTask], None],
        now: Callable[[], int],
    ) -> None:
        self.inbox, self._restorer, self._background = inbox, restorer, background
        self._on_closed, self._now = on_closed, now
        self._tasks: dict[int, PartitionTask] = {}
        self._epoch = 0
        self._assigned_once = self._ending = False
        self._consumer: Consumer

    def subscribe(self, consumer: Consumer) -> None:
        """Join the group."""
        self._consumer = consumer
        consumer.subscribe([self.inbox], on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._revoked)

    def all(self) -> list[PartitionTask]:
        return list(self._tasks.values())

    def in_state(self, *states: TaskState) -> list[PartitionTask]:
        return [task for task in self.all() if task.state in states]

    def running(self) -> list[PartitionTask]:
        """Those whose records are handled now."""
        return self.in_state(TaskState.RUNNING)

    def restored(self) -> list[PartitionTask]:
        """Those that have rows. One that is blocked still fires its timers, and publishes what gateways answer."""
        return self.in_state(TaskState.RUNNING, TaskState.BLOCKED)

    def images(self) -> dict[int, Image]:
        """Of those that have rows. From any thread."""
        return {task.partition: image for task in self.all() if (image := task.rows) is not None}

    def partitions(self) -> list[int]:
        """Those that are assigned, restored or not. From any thread."""
        return list(self._tasks)

    @property
    def held(self) -> bool:
        """Whether a restore waits for a transaction that has sent the group's offset. From any thread."""
        return any(task.progress.held for task in self.in_state(TaskState.RESTORING))

    @property
    def all_restored(self) -> bool:
        return self._assigned_once and not self.in_state(TaskState.RESTORING)

    def give_up(self) -> None:
        """No restore is waited for any more. From any thread: the namespace's own may be held by a broker that is away."""
        self._ending = True
        for task in self.all():
            task.give_up()

    def close(self) -> None:
        self._ending = True
        self._close(self._tasks)
        self._background.close(wait=True)

    def restart(self) -> None:
        """Close every task and restore its partition in a new one: what is true is what the broker has."""
        partitions = list(self._tasks)
        self._close(partitions)
        self._consumer.pause([self._at(partition) for partition in partitions])
        for partition in partitions:
            self._open(partition)

    def install(self) -> None:
        """Begin to handle the partitions whose restore is done. Raises what a restore raised."""
        for task in self.in_state(TaskState.RESTORING):
            if task.restore is None or not task.restore.done():
                continue
            try:
                restored = task.restore.value()
            except (NamespaceTaken, TopicMismatch):
                raise
            except PartitionLost:  # given up: we are ending
                continue
            except (BrokerError, KafkaException) as error:
                log.warning("a restore failed", inbox=self.inbox, partition=task.partition, error=str(error))
                self._restore(task, RETRY)
                continue
            image = restored.image
            if self._read_from(task.partition, image.inbox_next):
                task.run(restored, self._now())
                log.info(
                    "restored", inbox=self.inbox, partition=task.partition, rows=len(image.rows), offset=image.inbox_next
                )

    def rewind(self, tasks: Iterable[PartitionTask]) -> None:
        """Read again from where each image stands: what was in hand is dropped, nothing is lost."""
        for task in tasks:
            if task.state is TaskState.RUNNING and not self._read_from(task.partition, task.image.inbox_next):
                self._close([task.partition])
                self._open(task.partition)

    def block(self, task: PartitionTask, cause: BlockingRecord) -> None:
        """Read no further until `unblock`."""
        log.error("partition blocked", at=f"{self.inbox}-{task.partition}@{cause.offset}", reason=cause.reason)
        task.block(cause, self._now())
        self._consumer.pause([self._at(task.partition)])

    def unblock(self, tasks: Iterable[PartitionTask]) -> None:
        """Try again the record that each waited at."""
        for task in tasks:
            task.unblock(self._now())
            self.rewind([task])

    def _read_from(self, partition: int, offset: int) -> bool:
        try:
            self._consumer.seek(self._at(partition, offset))
            self._consumer.resume([self._at(partition)])
        except KafkaException as error:
            log.info("not ready to go on", inbox=self.inbox, partition=partition, error=str(error))
            return False
        return True

    def _assigned(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        """Always with an explicit offset and paused: the marker, and no committed offset, says where to begin (rule 1c)."""
        self._assigned_once = True
        if not partitions:
            return
        topic_partitions = [self._at(at.partition, 0) for at in partitions]
        consumer.incremental_assign(topic_partitions)
        consumer.pause(topic_partitions)
        if not self._ending:  # else we leave the group at this moment
            for at in topic_partitions:
                self._open(at.partition)

    def _revoked(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._close([at.partition for at in partitions])
        consumer.incremental_unassign(partitions)

    def _close(self, partitions: Collection[int]) -> None:
        for partition in list(partitions):
            if (task := self._tasks.pop(partition, None)) is not None:
                task.close(self._now())
                self._on_closed(task)

    def _open(self, partition: int) -> None:
        self._epoch += 1
        task = PartitionTask(Assignment(partition, self._epoch), self._now())
        self._restore(task)
        self._tasks[partition] = task
        if self._ending:  # looked at last: `give_up` may not have seen the task
            task.give_up()

    def _restore(self, task: PartitionTask, pause: float = 0.0) -> None:
        progress = task.progress = RestoreProgress(task.partition)

        def restore(cancelled: Cancelled) -> Steps[RestoredImage]:
            yield pause
            return (yield from self._restorer.restore(task.partition, cancelled, progress))

        task.restore = self._background.start(restore)

    def _at(self, partition: int, offset: int = -1001) -> TopicPartition:
        return TopicPartition(self.inbox, partition, offset)
