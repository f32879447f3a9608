"""The timers that are pending, read from the due topics."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from confluent_kafka import Message

from streams.engine.envelope import TIMER, due_header
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
    topics = {topic_names(prefix, namespace).due: namespace for namespace in namespaces}
    partitions = all_partitions(describe(clients.admin(), list(topics)))
    kept: dict[tuple[str, int, bytes], TimerEntry] = {}
    for message in read_whole(clients, "retold-timers", partitions, stable_ends, timeout=TIMEOUT):
        topic, partition = topic_partition_of(message)
        name = topic, partition, message.key() or b""
        kept.pop(name, None)
        if message.value() is not None and (timer := _timer(topics[topic], partition, message)) is not None:
            kept[name] = timer
    return sorted(kept.values(), key=lambda timer: timer.at)


def _timer(namespace: str, partition: int, message: Message) -> TimerEntry | None:
    """None for a gateway's call, and for a record that no worker wrote."""
    headers = headers_of(message)
    try:
        header = due_header(headers)
    except UndecodableRecord:
        return None
    if header.kind != TIMER:
        return None
    event_type = next((value for name, value in headers if name == "ce_type"), b"").decode(errors="replace")
    event_id = (message.key() or b"").decode(errors="replace")
    own = header.owner is None or (header.owner == header.key and header.namespace == namespace)
    owner = None if own else header.owner
    return TimerEntry(header.at, namespace, partition, event_type, header.key, event_id, owner, header.overdue)
