"""Brings a commit that Kafka has decided on to the partitions that it was not written to (rule 37).

A broker that ends while it ends a transaction goes on with that when it is back. Partitions that have no leader at that moment
are taken for deleted: it leaves them out, and says that the transaction is complete (seen with Kafka 4.1, where one broker is
all of a cluster). What was written there stays open, and the next end of the same transactional id would decide on it: a
part of the transaction would be committed, and a part not. So before a producer takes an id over, that part is committed, too.

What it leaves open of an aborted transaction, the next one ends where it writes a record (rule 31). Among the groups' offsets it
writes none, and a restore would wait for good: there it is aborted here. It decides on nothing, since workers read on where the
table's marker says (rule 1).
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import ClusterAuthorizationFailedError, for_code
from aiokafka.structs import TopicPartition
from confluent_kafka import KafkaError, KafkaException

from streams.errors import BrokerError
from streams.kafka.active_producers import (
    ActiveProducer,
    Answers,
    CoordinatorState,
    Forbidden,
    NeverKnown,
    active_producers,
    with_client,
)
from streams.kafka.clients import Clients
from streams.kafka.offsets import GROUPS, NoSuchTopic, TopicAndPartition, group_offsets_partition, held_up
from streams.kafka.renewed_client import Admin
from streams.kafka.transaction_protocol import WriteEnds, plain

log = logging.getLogger("retold.kafka")

SECONDS = 10.0
"""s that a broker has to go on with an end that it has begun."""
AGAIN = 0.2
"""s between two looks at it."""
TIMEOUT = 3.0
"""s for one look, and for writing what is missing."""
UNDER_WAY = ("PrepareCommit", "PrepareAbort", "PrepareEpochFence")


class CommitCompletion:
    """For the transactional ids of a namespace's workers: `group` is their group, and `partitions` all that they write to."""

    def __init__(self, clients: Clients, admin: Admin, group: str, partitions: Sequence[TopicAndPartition]) -> None:
        self._clients, self._admin, self._group, self._partitions = clients, admin, group, partitions

    def complete(self, transactional_id: str) -> None:
        """To be called before a producer of this id begins.

        Raises KafkaException if the broker does not say what is open, to be tried again, and BrokerError if this user may not
        ask, or not write what is missing.
        """
        open_ones = self._ended(transactional_id)
        if missing := {at: it for at, it in open_ones.items() if it.is_committed}:
            log.warning(
                "Kafka has committed the last transaction of %s without %d partitions, %s among them: they are committed now",
                transactional_id, len(missing), _first(missing),
            )  # fmt: skip
            try:
                self._end(missing, committed=True)
            except ClusterAuthorizationFailedError as error:
                raise BrokerError(
                    f"Kafka has committed the last transaction of {transactional_id} without {len(missing)} partitions, "
                    f"{_first(missing)} among them, and this user may not commit it there. Give the worker's user the "
                    "right Alter on the cluster, and start it again; nothing was changed"
                ) from error
        if left := {at: it for at, it in open_ones.items() if at[0] == GROUPS and it.is_left}:
            log.warning(
                "Kafka has left a transaction of %s open in %s, which no record of ours reaches: it is aborted there",
                transactional_id, _first(left),
            )  # fmt: skip
            with suppress(ClusterAuthorizationFailedError):  # it is reported as one that hangs
                self._end(left, committed=False)

    def _end(self, partitions: Mapping[TopicAndPartition, ActiveProducer], *, committed: bool) -> None:
        """Raises ClusterAuthorizationFailedError, and KafkaException to be tried again."""
        topics = {topic for topic, _ in partitions}
        try:
            with_client(self._clients, topics, lambda client: _write(client, partitions, committed), TIMEOUT)
        except ClusterAuthorizationFailedError:
            raise
        except Exception as error:
            raise _not_known(f"{type(error).__name__} while its end was written") from error

    def _ended(self, transactional_id: str) -> Mapping[TopicAndPartition, ActiveProducer]:
        """Where a transaction of this id is open, once no end of it is under way."""
        until = self._admin.clock.monotonic() + SECONDS
        while True:
            found = self._open(transactional_id)
            if not any(known.state in UNDER_WAY for _, known in found.values()):
                return {at: it for at, (it, _) in found.items()}
            if self._admin.clock.monotonic() >= until:
                raise _not_known("its end is under way")
            self._admin.clock.sleep(AGAIN)

    def _open(self, transactional_id: str) -> dict[TopicAndPartition, tuple[ActiveProducer, CoordinatorState]]:
        """Where a transaction of this id is open, and what its coordinator says of it."""
        try:
            offsets = group_offsets_partition(self._admin, self._group, timeout=TIMEOUT)
            partitions = [*self._partitions, *([] if offsets is None else [offsets])]
            held = list(held_up(self._admin, partitions, timeout=TIMEOUT))
        except NoSuchTopic:  # whoever compares topics says so
            return {}
        except BrokerError as error:
            raise _not_known(str(error)) from error
        return of_id(transactional_id, active_producers(self._clients, held))


def of_id(transactional_id: str, answers: Answers) -> dict[TopicAndPartition, tuple[ActiveProducer, CoordinatorState]]:
    """Where a transaction of this id is open, and what its coordinator says. Raises KafkaException if that may be known later.

    Raises BrokerError if this user may not ask: asking again would never end. Of Kafka's own topic of groups' offsets, which a
    restore does not depend on, that is only said.
    """
    found: dict[TopicAndPartition, tuple[ActiveProducer, CoordinatorState]] = {}
    for at, answer in answers.items():
        if isinstance(answer, Forbidden) and at[0] != GROUPS:
            raise BrokerError(
                f"a transaction is open in {at[0]}-{at[1]}, and whether it is the last one of {transactional_id} cannot be asked. "
                f"Give the worker's user the right Read on the topic {at[0]}, and start it again; nothing was changed"
            )
        if isinstance(answer, NeverKnown):
            log.warning("whether Kafka has committed what is open in %s-%d is not known: %s", *at, answer)
            continue
        if isinstance(answer, str):
            raise _not_known(f"{answer} about {at[0]}-{at[1]}")
        for it in answer:
            known = it.coordinator_state
            if known is None and not it.proven:
                raise _not_known(f"not every broker said whose transaction is open in {at[0]}-{at[1]}")
            if known is not None and known.transactional_id == transactional_id:
                found[at] = it, known
    return found


def _first(partitions: Iterable[TopicAndPartition]) -> str:
    topic, number = min(partitions)
    return f"{topic}-{number}"


def _not_known(why: str) -> KafkaException:
    return KafkaException(KafkaError(KafkaError._TIMED_OUT, f"whether the last transaction is complete is not known: {why}"))


async def _write(client: AIOKafkaClient, ends: Mapping[TopicAndPartition, ActiveProducer], committed: bool) -> None:
    """Raises an error of aiokafka."""
    by_leader = defaultdict[tuple[int, int, int, int], defaultdict[str, list[int]]](partial(defaultdict, list))
    for (topic, number), it in ends.items():
        leader = client.cluster.leader_for_partition(TopicPartition(topic, number))
        by_leader[leader, it.producer_id, it.epoch, max(0, it.coordinator_epoch)][topic].append(number)
    for (leader, producer_id, epoch, coordinator_epoch), partitions in by_leader.items():
        producer = producer_id, epoch, coordinator_epoch
        answer = plain(await client.send(leader, WriteEnds(producer, partitions, committed=committed)))
        for of_producer in answer["markers"]:
            for topic in of_producer["topics"]:
                for each in topic["partitions"]:
                    if each["error_code"]:
                        raise for_code(each["error_code"])
