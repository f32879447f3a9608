"""The partitions that a worker owns: assigned, restored beside the polling, then handled; dropped when they move.

All but the restores run in the poll thread. `images` holds those that are restored, and no others.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

import structlog
from confluent_kafka import Consumer, KafkaException, TopicPartition

from streams.engine.image import Image
from streams.errors import BrokerError, NamespaceTaken, PartitionLost, TopicMismatch
from streams.worker.restore import Progress, Restored, Restorer

log = structlog.get_logger("retold.worker")


AGAIN = 1.0
"""s after which a restore that failed is tried again."""


@dataclass
class Restore:
    progress: Progress
    cancelled: threading.Event = field(default_factory=threading.Event)
    result: Future[Restored] | None = None


class Partitions:
    """`on_come(restored)` is told of a partition that is restored, `on_gone(partition)` of one that is ours no longer."""

    def __init__(
        self, inbox: str, restorer: Restorer, on_come: Callable[[Restored], None], on_gone: Callable[[int], None]
    ) -> None:
        self.inbox, self._restorer, self._on_come, self._on_gone = inbox, restorer, on_come, on_gone
        self.images: dict[int, Image] = {}
        self.restores: dict[int, Restore] = {}
        self.assigned_once = False
        self._consumer: Consumer
        self._ending = False
        self._pool = ThreadPoolExecutor(2, thread_name_prefix=f"restore-{inbox}")

    def follow(self, consumer: Consumer) -> None:
        """Join the group."""
        self._consumer = consumer
        consumer.subscribe([self.inbox], on_assign=self._assigned, on_revoke=self._taken, on_lost=self._taken)

    @property
    def all_restored(self) -> bool:
        return self.assigned_once and not self.restores

    def give_up(self) -> None:
        """No restore is waited for any more. From any thread: the poll thread may be held by a broker that is away."""
        self._ending = True
        for restore in list(self.restores.values()):
            restore.cancelled.set()

    @property
    def mine(self) -> list[int]:
        """Assigned to us, restored or not; for other threads too."""
        return [*self.images.copy(), *self.restores.copy()]

    @property
    def held(self) -> bool:
        """Whether a restore waits for a transaction that has sent the group's offset; for other threads too."""
        return any(restore.progress.held for restore in self.restores.copy().values())

    def close(self) -> None:
        self._drop(self.mine)
        self._pool.shutdown(wait=True)

    def forget(self) -> None:
        """Drop every image and restore it again: what is true is what the broker has."""
        mine = self.mine
        self._drop(mine)
        self._consumer.pause([self._at(partition) for partition in mine])
        for partition in mine:
            self._begin(partition)

    def install(self) -> None:
        """Begin to handle the partitions whose restore is done. Raises what a restore raised."""
        for partition, restore in list(self.restores.items()):
            assert restore.result is not None, "a restore is submitted before it is listed"
            if not restore.result.done():
                continue
            try:
                restored = restore.result.result()
            except (NamespaceTaken, TopicMismatch):
                raise
            except (BrokerError, KafkaException):
                self._begin(partition, AGAIN)
                continue
            image = restored.image
            if self._go_on(partition, image.inbox_next):
                del self.restores[partition]
                self.images[partition] = image
                self._on_come(restored)
                log.info(
                    "restored", inbox=self.inbox, partition=partition, rows=len(image.rows), offset=image.inbox_next
                )

    def rewind(self, partitions: Iterable[int]) -> None:
        """Read again from where each image stands: what was in hand is dropped, nothing is lost."""
        for partition in partitions:
            image = self.images.get(partition)
            if image is not None and not self._go_on(partition, image.inbox_next):
                self._drop([partition])
                self._begin(partition)

    def hold(self, partition: int) -> None:
        """Read no further for now; `rewind` goes on."""
        self._consumer.pause([self._at(partition)])

    def _go_on(self, partition: int, offset: int) -> bool:
        try:
            self._consumer.seek(self._at(partition, offset))
            self._consumer.resume([self._at(partition)])
        except KafkaException as error:
            log.info("not ready to go on", inbox=self.inbox, partition=partition, error=str(error))
            return False
        return True

    def _assigned(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        """Always with an explicit offset and paused: the marker, and no committed offset, says where to begin (rule 1c)."""
        self.assigned_once = True
        if not partitions:
            return
        places = [self._at(at.partition, 0) for at in partitions]
        consumer.incremental_assign(places)
        consumer.pause(places)
        for at in places:
            self._begin(at.partition)

    def _taken(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._drop([at.partition for at in partitions])
        consumer.incremental_unassign(partitions)

    def _drop(self, partitions: list[int]) -> None:
        for partition in partitions:
            self.images.pop(partition, None)
            self._on_gone(partition)
            if (restore := self.restores.pop(partition, None)) is not None:
                restore.cancelled.set()

    def _begin(self, partition: int, pause: float = 0.0) -> None:
        restore = Restore(Progress(partition))
        restore.result = self._pool.submit(self._restore, partition, restore, pause)
        restore.result.add_done_callback(lambda done: None if done.cancelled() else _quiet(done))
        self.restores[partition] = restore
        if self._ending:  # asked last: `give_up` may not have seen it
            restore.cancelled.set()

    def _restore(self, partition: int, restore: Restore, pause: float) -> Restored:
        restore.cancelled.wait(pause)
        return self._restorer.restore(partition, restore.cancelled.is_set, restore.progress)

    def _at(self, partition: int, offset: int = -1001) -> TopicPartition:
        return TopicPartition(self.inbox, partition, offset)


def _quiet(done: Future[Restored]) -> None:
    error = done.exception()
    if error is not None and not isinstance(error, PartitionLost):
        log.warning("a restore failed", error=str(error))
