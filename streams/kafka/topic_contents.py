"""Reading all that topics have: each reading has a consumer of its own, which is closed behind it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from confluent_kafka import Message

from streams.kafka.bounded_read import read_to
from streams.kafka.cancellable_steps import Cancelled, never_cancelled
from streams.kafka.clients import Clients
from streams.kafka.offsets import Offsets, TopicAndPartition, ends, starts
from streams.kafka.renewed_client import Admin
from streams.kafka.topics import TopicInfo

Spans = Mapping[TopicAndPartition, tuple[int, int]]
"""From an offset on, up to another one."""
EndsOf = Callable[[Admin, Sequence[TopicAndPartition]], Offsets]
"""`ends` or `stable_ends`: whether what is in an open transaction is waited for."""


def all_partitions(topics: Mapping[str, TopicInfo]) -> list[TopicAndPartition]:
    return [(topic, number) for topic, info in topics.items() for number in range(info.partitions)]


def whole(admin: Admin, partitions: Sequence[TopicAndPartition], ends_of: EndsOf = ends) -> Spans:
    """From the first record that is kept to the end that there is now. Raises BrokerError."""
    first, last = starts(admin, partitions), ends_of(admin, partitions)
    return {at: (first[at], last[at]) for at in partitions}


def read_spans(
    clients: Clients, name: str, spans: Spans, *, timeout: float, cancelled: Cancelled = never_cancelled
) -> Iterator[Message]:
    """The records of `streams.kafka.bounded_read.polls`, by a client that is called `name`. Raises as that does."""
    if all(start >= end for start, end in spans.values()):
        return
    consumer = clients.consumer(name)
    try:
        yield from read_to(consumer, spans, clock=clients.clock, timeout=timeout, cancelled=cancelled)
    finally:
        consumer.close()


def read_whole(
    clients: Clients, name: str, partitions: Sequence[TopicAndPartition], ends_of: EndsOf = ends, *, timeout: float
) -> Iterator[Message]:
    """All records that these partitions have. Raises BrokerError, also after `timeout` s without progress."""
    yield from read_spans(clients, name, whole(clients.admin(), partitions, ends_of), timeout=timeout)
