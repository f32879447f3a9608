"""The producers with an open transaction in a partition, as its leader and the transaction coordinators report them.

confluent-kafka has no such requests, so they go through aiokafka, on an event loop of their own. A failure there (other
security settings, an old broker, no permission) is returned as a reason in words.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Collection, Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import IncompatibleBrokerVersion, TopicAuthorizationFailedError, for_code
from aiokafka.structs import TopicPartition

from streams.kafka.clients import Clients
from streams.kafka.offsets import TopicAndPartition
from streams.kafka.security import UnmappedOption, connection_options
from streams.kafka.transaction_protocol import DescribeProducers, DescribeTransactions, ListTransactions, plain

T = TypeVar("T")
ProducerState = Mapping[str, Any]
"""A producer's fields in a DescribeProducers response."""

ENDED = ("CompleteAbort", "Empty")
"""Kafka's words for the last transaction of an id that is not committed, and not open."""
TIMEOUT, REQUEST, CLOSING = 5.0, 3.0, 1.0
"""s for all requests, for one request, and for cancelling what is left of them."""


@dataclass(frozen=True, slots=True)
class CoordinatorState:
    """A coordinator's state of a transactional id: its current transaction, with its timeout in s.

    `ongoing`: its commit or abort has not begun. `state` is Kafka's own word, and `epoch` that of the producer.
    """

    transactional_id: str
    ongoing: bool
    started: datetime | None
    timeout: float
    partitions: frozenset[TopicAndPartition]
    state: str = ""
    epoch: int = -1


@dataclass(frozen=True, slots=True)
class ActiveProducer:
    """A producer whose transaction is open in a partition from `first_offset` on.

    `coordinator_state` is None if no coordinator lists it. `proven`: every coordinator answered, and the transaction was
    still open after that; so one that they do not know has not just ended.
    """

    producer_id: int
    first_offset: int
    coordinator_state: CoordinatorState | None
    proven: bool
    epoch: int = -1
    coordinator_epoch: int = -1

    @property
    def is_committed(self) -> bool:
        """Whether Kafka has committed it, and not here. Its epoch tells it from an earlier one, of which a record came late."""
        known = self.coordinator_state
        return known is not None and known.state == "CompleteCommit" and known.epoch == self.epoch

    @property
    def is_left(self) -> bool:
        """Whether its coordinator will not end it here any more: it has aborted it, or has begun another one of that id since."""
        known = self.coordinator_state
        if known is None or not self.proven or known.epoch < self.epoch or self.is_committed:
            return False
        return known.epoch > self.epoch or known.state in ENDED


class NeverKnown(str):
    """Why producers are not known, however often one asks."""

    __slots__ = ()


class Forbidden(NeverKnown):
    """The user lacks the right to ask."""

    __slots__ = ()


Answers = dict[TopicAndPartition, list[ActiveProducer] | str]
"""By partition, its producers in the order of their first offsets, or why they are not known."""


def active_producers(clients: Clients, partitions: Sequence[TopicAndPartition]) -> Answers:
    """The producers of each partition, or why they are not known. Takes `TIMEOUT` s at most.

    To be called in a thread without a running event loop.
    """
    if not partitions:
        return {}
    try:
        return with_client(clients, {topic for topic, _ in partitions}, lambda client: _asked(client, partitions), TIMEOUT)
    except Exception as error:  # noqa: BLE001 - the open transaction must be reported in any case
        return dict.fromkeys(partitions, _why(error))


def with_client(
    clients: Clients, topics: Collection[str], ask: Callable[[AIOKafkaClient], Coroutine[Any, Any, T]], timeout: float
) -> T:
    """What `ask` returns, with a client that knows the leaders of these topics. Raises TimeoutError, and what aiokafka raises."""
    with _unlogged():
        return run(_connected(clients, topics, ask), timeout)


def run(questions: Coroutine[Any, Any, T], timeout: float) -> T:
    """As `asyncio.run`, which would wait for an address lookup however long that hangs. Raises TimeoutError."""
    loop = asyncio.new_event_loop()
    try:
        return loop.run_until_complete(asyncio.wait_for(questions, timeout))
    finally:
        if left := asyncio.all_tasks(loop):
            for task in left:
                task.cancel()
            loop.run_until_complete(asyncio.wait(left, timeout=CLOSING))
        loop.close()


_asking = threading.local()


def _of_others(_record: logging.LogRecord) -> bool:
    """A log filter that drops aiokafka's records of our threads: they name addresses and users, and repeat each attempt.

    Records of an application whose gateways use aiokafka too are kept.
    """
    return not getattr(_asking, "now", False)


@contextmanager
def _unlogged() -> Iterator[None]:
    for name in [name for name in logging.root.manager.loggerDict if name.split(".")[0] == "aiokafka"]:
        logging.getLogger(name).addFilter(_of_others)  # a logger keeps it only once
    _asking.now = True
    try:
        yield
    finally:
        _asking.now = False


def _why(error: BaseException) -> str:
    """The reason in words, never the error's own text, which may contain an option's value."""
    if isinstance(error, UnmappedOption):
        return NeverKnown(f"with the Kafka option {error} it cannot be asked from here")
    if isinstance(error, TopicAuthorizationFailedError):
        return Forbidden("this user may not ask: it lacks the right Read on the topic")
    if isinstance(error, IncompatibleBrokerVersion | NotImplementedError):
        return NeverKnown("this version of Kafka cannot say")
    if isinstance(error, TimeoutError):
        return f"there was no answer within {TIMEOUT:.0f} s"
    return f"asking failed with {type(error).__name__}"


async def _connected(
    clients: Clients, topics: Collection[str], ask: Callable[[AIOKafkaClient], Coroutine[Any, Any, T]]
) -> T:
    client = AIOKafkaClient(
        bootstrap_servers=clients.address,
        client_id="retold-transactions",
        request_timeout_ms=round(REQUEST * 1000),
        **connection_options(clients.options),
    )
    try:
        await client.bootstrap()
        await client.set_topics(set(topics))
        return await ask(client)
    finally:
        await client.close()


async def _asked(client: AIOKafkaClient, partitions: Sequence[TopicAndPartition]) -> Answers:
    """Asks for the producers twice: one whose transaction ended in between is unknown to its coordinator, and does not hang."""
    before = await _all_producers(client, partitions)
    ids = sorted({it["producer_id"] for answer in before if isinstance(answer, list) for it in answer})
    known, all_asked = await _coordinated(client, ids)
    after = await _all_producers(client, partitions) if ids else before
    found: Answers = {}
    for topic_partition, first, second in zip(partitions, before, after, strict=True):
        if isinstance(first, BaseException):
            found[topic_partition] = _why(first)
        else:
            found[topic_partition] = still_active(first, None if isinstance(second, BaseException) else second, known, all_asked)
    return found


def still_active(
    before: Sequence[ProducerState], after: Sequence[ProducerState] | None, known: Mapping[int, CoordinatorState], all_asked: bool
) -> list[ActiveProducer]:
    """The producers with the same transaction open before and after asking the coordinators; `after` is None if unknown."""
    still = {_transaction(it) for it in (before if after is None else after)}
    proven = all_asked and after is not None
    found = [
        ActiveProducer(*key, known.get(key[0]), proven, it["producer_epoch"], it["coordinator_epoch"])
        for it in before
        if (key := _transaction(it)) in still
    ]
    return sorted(found, key=lambda producer: producer.first_offset)


def _transaction(producer: ProducerState) -> tuple[int, int]:
    return producer["producer_id"], producer["current_txn_start_offset"]


async def _all_producers(
    client: AIOKafkaClient, partitions: Sequence[TopicAndPartition]
) -> list[list[ProducerState] | BaseException]:
    return await asyncio.gather(*(_producers(client, topic_partition) for topic_partition in partitions), return_exceptions=True)


async def _producers(client: AIOKafkaClient, topic_partition: TopicAndPartition) -> list[ProducerState]:
    """The producers of a partition with an open transaction."""
    leader = client.cluster.leader_for_partition(TopicPartition(*topic_partition))
    answer = plain(await client.send(leader, DescribeProducers(*topic_partition)))
    [topic] = answer["topics"]
    [partition] = topic["partitions"]
    _check(partition["error_code"])
    return [it for it in partition["active_producers"] if it["current_txn_start_offset"] >= 0]


async def _coordinated(client: AIOKafkaClient, producer_ids: Sequence[int]) -> tuple[dict[int, CoordinatorState], bool]:
    """Coordinators' states by producer id, and whether every broker answered. Only its coordinator lists a transactional id."""
    if not producer_ids:
        return {}, True
    nodes = [broker.nodeId for broker in client.cluster.brokers()]
    answers = await asyncio.gather(*(_of_node(client, node, producer_ids) for node in nodes), return_exceptions=True)
    good = [answer for answer in answers if isinstance(answer, dict)]
    return {number: it for answer in good for number, it in answer.items()}, len(good) == len(nodes)


async def _of_node(client: AIOKafkaClient, node: int, producer_ids: Sequence[int]) -> dict[int, CoordinatorState]:
    listed = plain(await client.send(node, ListTransactions(producer_ids)))
    _check(listed["error_code"])
    if not listed["transaction_states"]:
        return {}
    names = [it["transactional_id"] for it in listed["transaction_states"]]
    described = plain(await client.send(node, DescribeTransactions(names)))
    found = {}
    for it in described["transaction_states"]:
        _check(it["error_code"])
        started = it["transaction_start_time_ms"]
        found[it["producer_id"]] = CoordinatorState(
            it["transactional_id"],
            it["transaction_state"] == "Ongoing",
            datetime.fromtimestamp(started / 1000, UTC) if started > 0 else None,
            it["transaction_timeout_ms"] / 1000,
            frozenset((of["topic"], number) for of in it["topics"] for number in of["partitions"]),
            it["transaction_state"],
            it["producer_epoch"],
        )
    return found


def _check(code: int) -> None:
    if code:
        raise for_code(code)
