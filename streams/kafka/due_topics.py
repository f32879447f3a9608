"""Pending timers and gateways' calls, read from the due topics."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import NamedTuple

from confluent_kafka import Message

from streams.engine.envelope import CALL, TIMER, DueHeader, due_header
from streams.errors import UndecodableRecord
from streams.kafka.bounded_read import headers_of
from streams.kafka.clients import Clients
from streams.kafka.messages import topic_partition_of
from streams.kafka.offsets import stable_ends
from streams.kafka.topic_contents import all_partitions, read_whole
from streams.kafka.topics import TIMEOUT, describe, topic_names


class TimerEntry(NamedTuple):
    """A pending timer. `at` in µs since 1970; `owner` is the key whose event scheduled it, if it is another one."""

    at: int
    namespace: str
    partition: int
    event_type: str
    key: str
    id: str
    owner: str | None
    overdue: bool


def read_timers(clients: Clients, prefix: str, namespaces: Sequence[str]) -> list[TimerEntry]:
    """All of these namespaces, earliest first. Raises BrokerError."""
    found = (
        _timer(namespace, header, message)
        for namespace, header, message in _pending(clients, prefix, namespaces)
        if header.kind == TIMER
    )
    return sorted(found, key=lambda timer: timer.at)


def read_open_requests(clients: Clients, prefix: str, namespaces: Sequence[str]) -> set[tuple[str, str]]:
    """Namespaces and references of the requests whose gateways are called until there is an answer. Raises BrokerError."""
    return {
        (namespace, _name(message))
        for namespace, header, message in _pending(clients, prefix, namespaces)
        if header.kind == CALL
    }


def _pending(clients: Clients, prefix: str, namespaces: Sequence[str]) -> Iterator[tuple[str, DueHeader, Message]]:
    """By namespace. What no worker wrote is left out."""
    topics = {topic_names(prefix, namespace).due: namespace for namespace in namespaces}
    partitions = all_partitions(describe(clients.admin(), list(topics)))
    kept: dict[tuple[str, int, bytes], tuple[str, DueHeader, Message]] = {}
    for message in read_whole(clients, "retold-due", partitions, stable_ends, timeout=TIMEOUT):
        topic, partition = topic_partition_of(message)
        name = topic, partition, message.key() or b""
        kept.pop(name, None)
        if message.value() is not None:
            with suppress(UndecodableRecord):
                kept[name] = topics[topic], due_header(headers_of(message)), message
    yield from kept.values()


def _timer(namespace: str, header: DueHeader, message: Message) -> TimerEntry:
    event_type = (dict(headers_of(message)).get("ce_type") or b"").decode(errors="replace")
    own = header.owner is None or (header.owner == header.key and header.namespace == namespace)
    owner, partition = None if own else header.owner, message.partition() or 0
    return TimerEntry(header.at, namespace, partition, event_type, header.key, _name(message), owner, header.overdue)


def _name(message: Message) -> str:
    """The id of a timer's event, or the reference of a request."""
    return (message.key() or b"").decode(errors="replace")
