"""Rules of docs/correctness.md, switched off: a rule that no seed misses is not tested by seeded runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from streams.engine.duplicates import DuplicateWindow
from streams.engine.timers import Timers
from streams.kafka.commit import TransactionWriter
from streams.kafka.coordinator_connection import CoordinatorConnection
from streams.kafka.producer import TransactionalProducer
from streams.kafka.written_partitions import WrittenPartitions
from streams.worker.cycle import Cycle
from streams.worker.restore import Restorer
from streams.worker.task import PartitionTask
from streams.worker.tasks import Tasks


@contextmanager
def _put(owner: Any, name: str, instead: Any) -> Iterator[None]:
    with patch.object(owner, name, instead):
        yield


def _newer_metadata(write: Any) -> Any:
    def instead(self: Cycle, batch: Any, done: Any) -> None:
        assert self._consumer is not None
        batch.metadata = self._consumer.consumer_group_metadata()
        write(self, batch, done)

    return instead


def _without_waiting(self: Restorer, copy: Any, _committed: Any, cancelled: Any, progress: Any) -> Iterator[Any]:
    image = yield from self._image(copy, cancelled, progress)
    from streams.kafka.offsets import ends
    from streams.worker.restore import RestoredImage

    inbox = (self.names.inbox, copy.partition)
    return RestoredImage(image, ends(self.admin, [inbox], cancelled=cancelled)[inbox])


def _committed_anyway(self: TransactionalProducer, _error: BaseException) -> None:
    """What could not be sent is left out of the transaction."""


def _kept_after_a_loss(self: Cycle, _error: Any) -> None:
    """The images go on as if nothing had been committed."""


RULES: dict[str, Callable[[], Any]] = {
    "1: a restore waits for transactions that are open": lambda: _put(Restorer, "_settled", _without_waiting),
    "4: the group metadata is that of the poll": lambda: _put(Cycle, "_commit", _newer_metadata(Cycle._commit)),
    "what was not committed is read again": lambda: _put(Tasks, "rewind", lambda self, tasks: None),
    "3: a lost producer's images are restored": lambda: _put(Cycle, "_after_loss", _kept_after_a_loss),
    "13: an id is handled once": lambda: _put(DuplicateWindow, "find", lambda self, digest, last: None),
    "23: a key's timers fire before its later events": lambda: _put(Timers, "before", lambda self, arrival, offset=None: None),
    "23: a partition's next owner makes its calls": lambda: _put(PartitionTask, "take_restored_calls", lambda self: []),
    "31: a producer whose end was disturbed is replaced": lambda: _put(
        CoordinatorConnection, "disturbed", property(lambda self: False)
    ),
    "31: an empty transaction ends what hangs": lambda: _put(
        WrittenPartitions, "write_again", lambda self, producer, seconds: False
    ),
    "a transaction holds all of a batch": lambda: _put(TransactionWriter, "stream", lambda self, changes: self._begin()),
}
"""By what they say, each with its number in docs/correctness.md if it has one."""
