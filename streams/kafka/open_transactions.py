"""Open transactions that block read_committed readers: where, since when, whose, and what ends them (rule 33).

A read_committed reader stops before the first open transaction of a partition, without any notice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from confluent_kafka import TIMESTAMP_NOT_AVAILABLE, KafkaException

from streams.engine.readable import named
from streams.errors import BrokerError
from streams.kafka.bounded_read import first_records
from streams.kafka.clients import OVERDUE, Clients
from streams.kafka.messages import topic_partition_of
from streams.kafka.offsets import GROUPS, TopicAndPartition, group_offsets_partition, held_up, stable_ends
from streams.kafka.renewed_client import Admin
from streams.kafka.topics import group_of

if TYPE_CHECKING:
    from streams.kafka.active_producers import ActiveProducer

FIRST_RECORDS = 3.0
"""s for reading the first record of each transaction."""
UNSEEN = "the broker shows no producer with a transaction there"


@dataclass(frozen=True, slots=True)
class OpenTransaction:
    """`behind` counts the records from its first one on, which no read_committed reader gets. `timeout` in s.

    `hangs`: it is past its timeout, or no coordinator has it, so only an operator can end it. `committed`: Kafka has committed
    it without this partition (rule 37). If `producer_id` is None, `unknown` says why.
    """

    topic: str
    partition: int
    first_offset: int
    behind: int
    since: datetime | None = None
    producer_id: int | None = None
    transactional_id: str | None = None
    timeout: float | None = None
    hangs: bool = False
    unknown: str = ""
    committed: bool = False

    @property
    def topic_partition(self) -> TopicAndPartition:
        return self.topic, self.partition


def open_transactions(
    clients: Clients, admin: Admin, partitions: Sequence[TopicAndPartition], *, older: float = 0.0
) -> list[OpenTransaction]:
    """The open transactions of these partitions that are at least `older` s old, in order. Raises BrokerError.

    One that began in the future, by this machine's clock, is as old as nobody knows, and is among them.
    To be called in a thread without a running event loop. Takes a few seconds at most if a broker does not report producers.
    """
    held = held_up(admin, partitions)
    begun = _begun(clients, {partition: it.offset for partition, it in held.items()})
    now = datetime.fromtimestamp(clients.clock.now() / 1e6, UTC)
    old = [at for at in held if at not in begun or not 0 <= (now - begun[at]).total_seconds() < older]
    asked = _asked(clients, old)
    still = stable_ends(admin, old)
    found = []
    for partition in old:
        if still[partition] != held[partition].offset:  # it has ended while we asked
            continue
        offset, end = held[partition]
        first = OpenTransaction(*partition, offset, end - offset, begun.get(partition))
        found += _of_partition(first, asked[partition], now)
    return sorted(found, key=lambda it: (it.topic, it.partition, it.first_offset))


def among_offsets(
    clients: Clients, admin: Admin, prefix: str, applications: Mapping[str, str | None], *, older: float = 0.0
) -> list[OpenTransaction]:
    """The open transactions that block the committed offsets of these namespaces' groups.

    `applications` has each namespace's application (None: unknown). Empty if this user may not see Kafka's own topic, or its
    broker does not answer: the rest of a status is useful without it.
    """
    workers = tuple(worker_ids(prefix, its, name) if its else f"{prefix}retold." for name, its in applications.items())
    try:
        found = {group_offsets_partition(admin, group_of(prefix, name)) for name in applications}
        held = open_transactions(clients, admin, sorted(each for each in found if each is not None), older=older)
    except (BrokerError, KafkaException):
        return []
    return [it for it in held if concerns(it, workers)]


def concerns(it: OpenTransaction, workers: tuple[str, ...]) -> bool:
    """Whether a transaction may block these workers, which are given by the prefixes of their transactional ids.

    In Kafka's own topic other groups' offsets are beside ours; only our workers send ours.
    """
    return it.topic != GROUPS or it.transactional_id is None or it.transactional_id.startswith(workers)


def worker_ids(prefix: str, application: str, namespace: str) -> str:
    """The prefix of the transactional ids of a namespace's workers."""
    return f"{prefix}retold.{application}.{namespace}."


def _asked(clients: Clients, partitions: Sequence[TopicAndPartition]) -> dict[TopicAndPartition, list[ActiveProducer] | str]:
    if not partitions:
        return {}
    from streams.kafka.active_producers import active_producers  # seldom needed, and a slow import

    return active_producers(clients, partitions)


def _of_partition(first: OpenTransaction, asked: list[ActiveProducer] | str, now: datetime) -> list[OpenTransaction]:
    """`first` is what is known without the producers."""
    if isinstance(asked, str) or not asked:
        why = asked if isinstance(asked, str) else UNSEEN
        return [OpenTransaction(*first.topic_partition, first.first_offset, first.behind, first.since, unknown=why)]
    end = first.first_offset + first.behind
    return [
        _of_producer(first, producer, end, now) for producer in asked if first.first_offset <= producer.first_offset < end
    ]


def _of_producer(first: OpenTransaction, producer: ActiveProducer, end: int, now: datetime) -> OpenTransaction:
    offset, known = producer.first_offset, producer.coordinator_state
    since = first.since if offset == first.first_offset else None
    name = known.transactional_id if known is not None else None
    if known is None or first.topic_partition not in known.partitions:  # its coordinator has none here, or a later one elsewhere
        hangs, timeout = producer.proven, None
    else:
        since, timeout = known.started or since, known.timeout
        age = (now - since).total_seconds() if since is not None else 0.0
        hangs = known.ongoing and age > timeout + OVERDUE
    return OpenTransaction(
        *first.topic_partition, offset, end - offset, since, producer.producer_id, name, timeout, hangs,
        committed=producer.is_committed,
    )  # fmt: skip


def _begun(clients: Clients, offsets: Mapping[TopicAndPartition, int]) -> dict[TopicAndPartition, datetime]:
    """Timestamps of the records at these offsets, if they can be read; in our topics they are the broker's (LogAppendTime)."""
    found: dict[TopicAndPartition, datetime] = {}
    if not offsets:
        return found
    consumer = clients.consumer("retold-transactions", read_uncommitted=True)
    try:
        for message in first_records(consumer, offsets, clock=clients.clock, timeout=FIRST_RECORDS):
            kind, at = message.timestamp()
            if kind != TIMESTAMP_NOT_AVAILABLE:
                found[topic_partition_of(message)] = datetime.fromtimestamp(at / 1000, UTC)
    except BrokerError:
        pass  # a transaction is reported without its time
    finally:
        consumer.close()
    return found


def sentence(it: OpenTransaction, address: str, prefix: str) -> str:
    """A message for an operator: where the transaction is, since when, what it blocks, whose it is, and what ends it.

    `address` is the broker's, for the command; the transactional ids of workers begin with `prefix`.
    """
    since = f" that has been open since {it.since.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}" if it.since is not None else ""
    records = f"{it.behind:,} record{'' if it.behind == 1 else 's'} from there on cannot be read"
    return (
        f"{it.topic}-{it.partition} waits at offset {it.first_offset} for a transaction{since or ' that is open'}: {records}. "
        f"{_ending(it, address, prefix)}"
    )


def _ending(it: OpenTransaction, address: str, prefix: str) -> str:
    tool = f"kafka-transactions.sh --bootstrap-server {address}"
    where = f"--topic {it.topic} --partition {it.partition}"
    timeout = "its time-out" if it.timeout is None else f"its time-out of {it.timeout:g} s"
    otherwise = f"otherwise the broker aborts it after {timeout}."
    if it.producer_id is None:
        find = f"To find it, run `{tool} describe-producers {where}`."
        return f"Its producer is unknown: {it.unknown}. {find} It must commit or abort it; {otherwise}"
    name = f" (transactional id {named(it.transactional_id)})" if it.transactional_id else ""
    whose = f"Its producer is {it.producer_id}{name}"
    if it.committed:
        return (
            f"{whose}. Kafka has committed it, but not in this partition. Do not abort it: a worker of retold that starts under "
            "this id commits it here, too."
        )
    if it.hangs:
        return f"{whose}. It hangs: {_why_it_hangs(it)} To end it, run `{tool} abort {where} --start-offset {it.first_offset}`."
    if (it.transactional_id or "").startswith(f"{prefix}retold."):
        return f"{whose}, a worker of retold. It ends it when it starts again, or whoever takes over its partitions; {otherwise}"
    return f"{whose}. It must commit or abort it; {otherwise}"


def _why_it_hangs(it: OpenTransaction) -> str:
    if it.transactional_id is None:
        right = "(Or you lack the right to describe its transactional id; check that first.)"
        return f"no coordinator knows it. {right}"
    if it.timeout is None:
        return "its coordinator knows of no transaction there."
    return f"the broker has not aborted it, long after its time-out of {it.timeout:g} s."
