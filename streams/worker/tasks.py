"""The tasks of a namespace, one for each assigned partition; rebalances open and close them.

Everything except restores runs in the namespace's thread.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable

import structlog
from confluent_kafka import Consumer, KafkaException, TopicPartition

from streams.engine.changes import BlockingRecord
from streams.engine.image import Image
from streams.errors import BrokerError, NamespaceTaken, PartitionLost, TopicMismatch
from streams.kafka.cancellable_steps import Cancelled, Steps
from streams.kafka.group_membership import join
from streams.kafka.resumed_reading import read_from
from streams.worker.assigned_offsets import assigned_offsets
from streams.worker.call_queues import Assignment
from streams.worker.discarded_images import DiscardedImages
from streams.worker.meter import UNMETERED, Meter
from streams.worker.restore import RestoredImage, Restorer
from streams.worker.restore_progress import RestoreProgress
from streams.worker.runtime import Background
from streams.worker.task import PartitionTask, TaskState

log = structlog.get_logger("retold.worker")

RETRY = 1.0
"""s after which a failed restore is retried."""
LEAVING, LEAVING_POLLS = 0.05, 40
"""s of a poll that waits until every partition is revoked, and how many such polls there are at most: no broker is asked."""


class Tasks:
    """`on_closed` is called with each task that is closed. Restores run in `background`. `now` is in µs since 1970."""

    def __init__(
        self,
        inbox: str,
        restorer: Restorer,
        background: Background,
        on_closed: Callable[[PartitionTask], None],
        now: Callable[[], int],
        meter: Meter = UNMETERED,
    ) -> None:
        self.inbox, self._restorer, self._background = inbox, restorer, background
        self._on_closed, self._now, self._meter = on_closed, now, meter
        self._discarded = DiscardedImages(background)
        self._tasks: dict[int, PartitionTask] = {}
        self._assigned_now: set[int] = set()
        self._epoch = 0
        self._assigned_once = self._ending = self.joined = False
        self._consumer: Consumer

    def subscribe(self, consumer: Consumer) -> None:
        """Join the group."""
        self._consumer, self.joined = consumer, True
        self._ask = join(consumer, self.inbox, self._assigned, self._revoked)

    def leave(self) -> None:
        """Leave the group before the consumer is closed, so that no partition is revoked while it is. Another one may join then.

        An unassign that is asked for while librdkafka (2.16) ends its part in the group is dropped without an answer, and
        confluent-kafka waits for that answer with Python's lock: the whole process would stand still (seen).
        """
        self._consumer.unsubscribe()
        for _ in range(LEAVING_POLLS):
            if self._assigned_now:
                self._consumer.poll(LEAVING)
        if self._assigned_now:
            log.info("left the group before all partitions were revoked", inbox=self.inbox, partitions=sorted(self._assigned_now))
        self._close(self._tasks)
        self._assigned_now, self.joined, self._assigned_once = set(), False, False

    def all(self) -> list[PartitionTask]:
        return list(self._tasks.values())

    def in_state(self, *states: TaskState) -> list[PartitionTask]:
        return [task for task in self.all() if task.status.state in states]

    def running(self) -> list[PartitionTask]:
        """The tasks whose records are handled now."""
        return [task for task in self.all() if task.status.state is TaskState.RUNNING]

    def restored(self) -> list[PartitionTask]:
        """The tasks that have rows. A blocked one still publishes gateways' answers; its timers wait."""
        return self.in_state(TaskState.RUNNING, TaskState.BLOCKED)

    def images(self) -> dict[int, Image]:
        """The images of restored tasks. From any thread."""
        return {task.partition: image for task in self.all() if (image := task.rows) is not None}

    def partitions(self) -> list[int]:
        """The assigned partitions, restored or not. From any thread."""
        return list(self._tasks)

    @property
    def held(self) -> bool:
        """Whether a restore waits for a transaction that has sent the group's offset. From any thread."""
        return any(task.progress.held for task in self.in_state(TaskState.RESTORING))

    @property
    def all_restored(self) -> bool:
        return self._assigned_once and not self.in_state(TaskState.RESTORING)

    def give_up(self) -> None:
        """Cancel all restores. From any thread, since an unavailable broker may block the namespace's own."""
        self._ending = True
        for task in self.all():
            task.give_up()

    def close(self) -> None:
        self._ending = True
        self._discarded.close()
        self._close(self._tasks)
        self._background.close(wait=True)

    def restart(self) -> None:
        """Close every task and restore its partition in a new one, from what the broker has."""
        self.reopen(self.all())

    def reopen(self, tasks: Iterable[PartitionTask]) -> None:
        """Close these tasks and restore their partitions in new ones. Unlike `rewind`, this asks the broker nothing now."""
        partitions = [task.partition for task in tasks if self._tasks.get(task.partition) is task]
        if not partitions:  # as before it has joined: then there is no consumer, either
            return
        self._close(partitions)
        self._consumer.pause([self._at(partition) for partition in partitions])
        for partition in partitions:
            self._open(partition)

    def install(self) -> None:
        """After a poll: start handling the partitions whose restore is done. Raises what a restore raised."""
        if self._ask():  # a round has paused what is read here
            self.rewind(self.running())
        for task in self.in_state(TaskState.RESTORING):
            if task.restore is None or not task.restore.done():
                continue
            try:
                restored = task.restore.value()
            except (NamespaceTaken, TopicMismatch):
                raise
            except PartitionLost:  # cancelled: the worker is stopping
                continue
            except (BrokerError, KafkaException) as error:
                log.warning("restore failed; retrying", inbox=self.inbox, partition=task.partition, error=str(error))
                self._restore(task, RETRY)
                continue
            image = restored.image
            if self._read_from(task.partition, image.inbox_next):
                self._meter.restored((self._now() - task.status.since) / 1e6)
                task.run(restored, self._now())
                log.info(
                    "partition restored", inbox=self.inbox, partition=task.partition, rows=len(image.rows), offset=image.inbox_next
                )

    def rewind(self, tasks: Iterable[PartitionTask]) -> None:
        """Seek back to each image's position; what was polled beyond it is read again."""
        for task in tasks:
            if task.state is TaskState.RUNNING and not self._read_from(task.partition, task.image.inbox_next):
                self._close([task.partition])
                self._open(task.partition)

    def hold(self, tasks: Iterable[PartitionTask]) -> None:
        """Read nothing of them, until `rewind`."""
        self._consumer.pause([self._at(task.partition) for task in tasks])

    def block(self, task: PartitionTask, cause: BlockingRecord) -> None:
        """Pause the partition until `unblock`."""
        log.error("partition blocked", at=f"{self.inbox}-{task.partition}@{cause.offset}", reason=cause.reason)
        task.block(cause, self._now())
        self._consumer.pause([self._at(task.partition)])

    def unblock(self, tasks: Iterable[PartitionTask]) -> None:
        """Retry the record that blocked each task."""
        for task in tasks:
            task.unblock(self._now())
            self.rewind([task])

    def _read_from(self, partition: int, offset: int) -> bool:
        try:
            read_from(self._consumer, self._at(partition, offset))
        except KafkaException as error:
            log.info("partition cannot be resumed yet", inbox=self.inbox, partition=partition, error=str(error))
            return False
        return True

    def _assigned(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        """Assign paused: the marker, not the committed offset, says where to start, once a partition is restored (rule 1c)."""
        self._assigned_once = True
        if not partitions:
            return
        topic_partitions = assigned_offsets(self._restorer.admin, self.inbox, [at.partition for at in partitions])
        consumer.incremental_assign(topic_partitions)
        self._assigned_now |= {at.partition for at in partitions}
        consumer.pause(topic_partitions)
        if not self._ending:  # else we are leaving the group
            for at in topic_partitions:
                self._open(at.partition)

    def _revoked(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._close([at.partition for at in partitions])
        consumer.incremental_unassign(partitions)
        self._assigned_now -= {at.partition for at in partitions}

    def _close(self, partitions: Collection[int]) -> None:
        for partition in list(partitions):
            if (task := self._tasks.pop(partition, None)) is not None:
                image = task.rows
                task.close(self._now())
                self._on_closed(task)
                if image is not None:
                    self._discarded.add(image)

    def _open(self, partition: int) -> None:
        self._epoch += 1
        task = PartitionTask(Assignment(partition, self._epoch), self._now())
        self._restore(task)
        self._tasks[partition] = task
        if self._ending:  # checked last: `give_up` may not have seen the task
            task.give_up()

    def _restore(self, task: PartitionTask, pause: float = 0.0) -> None:
        progress = task.progress = RestoreProgress(task.partition)

        def restore(cancelled: Cancelled) -> Steps[RestoredImage]:
            yield pause
            return (yield from self._restorer.restore(task.partition, cancelled, progress))

        task.restore = self._background.start(restore)

    def _at(self, partition: int, offset: int = -1001) -> TopicPartition:
        return TopicPartition(self.inbox, partition, offset)
