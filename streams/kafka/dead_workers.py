"""Ends what a worker that is gone left open: its transaction would hide the records behind it until its time-out (rule 3)."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence

from confluent_kafka import KafkaException

from streams.errors import BrokerError, PartitionLost
from streams.kafka.cancellable_steps import Cancelled, Steps, never_cancelled
from streams.kafka.clients import Clients
from streams.kafka.offsets import TopicAndPartition, group_offsets_partition, held_up, last_written, stable_ends
from streams.kafka.open_transactions import OpenTransaction, open_transactions
from streams.kafka.owners import member_ids
from streams.kafka.producer import Complete
from streams.kafka.renewed_client import Admin

log = logging.getLogger("retold.kafka")

OLD = 3.0
"""s that a transaction must have been open: a worker that has just started is not in its group yet, and makes a short one."""
SECONDS = 5.0
"""s that ending one may take."""
AGAIN, PATIENCE = 0.2, 5.0
"""s until the next look at one that is not known to be old, or whose it is; and s after which the latter is given up."""


class DeadWorkers:
    """Of one namespace. A worker's transactional id is its client id in the group, so the group says whether it is alive.

    A worker that only stood still is taken for dead by the group, too: its partitions have other owners, so its transaction
    could not be committed any more (rule 4). `ids` is what the ids of all of them begin with, and `me` is this worker's: who is not
    in the group knows nothing of it. `written` are partitions that workers write to: their records tell the broker's time, since
    this machine's clock may be another. `complete` is as a producer's: what Kafka has committed is not aborted here.
    """

    def __init__(
        self, clients: Clients, admin: Admin, ids: str, group: str, me: str,
        written: Sequence[TopicAndPartition] = (), complete: Complete = lambda _: None,
    ) -> None:  # fmt: skip
        self._clients, self._admin, self._me, self._written, self._complete = clients, admin, me, written, complete
        self._ids, self._group = ids, group
        self._ending = threading.Lock()
        """Two restores at once would fence each other's producer, and both wait for a second."""

    def end_transactions(self, partitions: Sequence[TopicAndPartition], cancelled: Cancelled = never_cancelled) -> Steps[None]:
        """End those that hold up any of these partitions. If that is not possible, their time-outs end them.

        One whose age is not known is waited for. Raises PartitionLost when cancelled.
        """
        seen: dict[tuple[str | None, TopicAndPartition, int], float] = {}
        until = self._admin.clock.monotonic() + PATIENCE
        problem = "whose it is could not be found out"
        while True:
            now, known = self._admin.clock.monotonic(), False
            try:
                if not held_up(self._admin, partitions, cancelled=cancelled):
                    return
                open_now, known = self._left_open(partitions)
                found = {(it.transactional_id, it.topic_partition, it.first_offset): it for it in open_now}
                old = [it for what, it in found.items() if now - seen.setdefault(what, now) >= OLD or self._is_old(it)]
                for it in old:
                    with self._ending:
                        self._end(it)
                if known and len(old) == len(found):
                    return
            except PartitionLost:
                raise
            except (BrokerError, KafkaException) as error:
                known, problem = False, str(error)
            if not known and now >= until:
                _tell_unknown(problem)
                return
            yield AGAIN

    def end_offsets(self, cancelled: Cancelled = never_cancelled) -> Steps[None]:
        """As `end_transactions`, of those that hold up the group's committed offsets, and maybe no record.

        A worker that was killed may have sent its offsets and not a record yet. Nothing is done for a user who may not see
        Kafka's own topic.
        """
        try:
            at = group_offsets_partition(self._admin, self._group)
        except KafkaException as error:
            _tell_unknown(str(error))
            return
        yield from self.end_transactions([at] if at is not None else [], cancelled)

    def _left_open(self, partitions: Sequence[TopicAndPartition]) -> tuple[list[OpenTransaction], bool]:
        """One of each worker that is not in the group, and whether that is all: a busy broker may not say whose one is."""
        found = open_transactions(self._clients, self._admin, partitions)
        ours = {it.transactional_id: it for it in found if (it.transactional_id or "").startswith(self._ids)}
        alive = member_ids(self._admin, self._group) if ours else {self._me}
        known = self._me in alive and not any(it.unknown for it in found)
        return [it for name, it in ours.items() if self._me in alive and name not in alive], known

    def _is_old(self, it: OpenTransaction) -> bool:
        """By the broker's times alone: it has written a record that much later."""
        now = last_written(self._admin, self._written)
        return it.since is not None and now / 1000 - it.since.timestamp() >= OLD

    def _end(self, it: OpenTransaction) -> None:
        """A producer of the same id takes its place for a moment: the broker aborts what was open."""
        if self._has_ended(it):
            return  # the worker may have been started again
        name = it.transactional_id or ""
        log.warning("ending the transaction that the worker %s left open: it is not in its group any more", name)
        self._complete(name)
        if self._has_ended(it):
            return  # it was committed, and is now
        producer = self._clients.transactional_producer(name, "retold-dead-workers", lambda *_: None)
        producer.init_transactions(SECONDS)

    def _has_ended(self, it: OpenTransaction) -> bool:
        """Where other groups' offsets are, an older transaction may hold up the same partition."""
        return stable_ends(self._admin, [it.topic_partition])[it.topic_partition] > it.first_offset


def _tell_unknown(problem: str) -> None:
    log.warning("whether a dead worker left a transaction open is not known: %s", problem)
