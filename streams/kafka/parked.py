"""What is set aside now, read from Kafka, and sending operator commands."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

from streams.engine import control
from streams.engine.control import OperatorCommand
from streams.engine.envelope import ParkedHeader, parked_header, without_packed
from streams.engine.records import Headers, QueuePosition
from streams.errors import InvalidEvent
from streams.kafka.clients import Clients
from streams.kafka.confirmed_producer import ConfirmedProducer
from streams.kafka.messages import parked_message
from streams.kafka.topic_contents import all_partitions, read_whole
from streams.kafka.topics import describe, topic_names

INBOX_OFFSET = re.compile(
    r"(?P<namespace>[a-z][a-z0-9_]*)-(?P<partition>\d{1,6})@(?P<offset>\d{1,18})(?:-(?P<timer>\d{1,9}))?"
)


class InboxOffset(NamedTuple):
    """An event's offset in its inbox, written `user-3@1042`. A timer's event has none: it is `user-3@1042-1`, before that one."""

    namespace: str
    partition: int
    offset: int
    timer: int = 0

    @property
    def position(self) -> QueuePosition:
        return QueuePosition(self.offset, self.timer)

    @property
    def order(self) -> tuple[str, int, tuple[int, int]]:
        return self.namespace, self.partition, self.position.order

    def __str__(self) -> str:
        return f"{self.namespace}-{self.partition}@{self.position}"


class ParkedEntry(NamedTuple):
    """An event that is set aside. `value` is empty if it is kept by reference: the inbox holds it; or if nobody asked for it."""

    inbox_offset: InboxOffset
    header: ParkedHeader
    value: bytes
    headers: Headers


def parse_inbox_offset(text: str) -> InboxOffset:
    """Raises InvalidEvent."""
    match = INBOX_OFFSET.fullmatch(text)
    if match is None:
        raise InvalidEvent(f"{text[:100]!r} is no inbox offset; expected one such as user-3@1042")
    return InboxOffset(match["namespace"], int(match["partition"]), int(match["offset"]), int(match["timer"] or 0))


def read_parked(
    clients: Clients, prefix: str, namespaces: Sequence[str], bodies: Collection[InboxOffset] | None = None
) -> list[ParkedEntry]:
    """Everything that is parked, unanswered or quarantined, in the order of inbox offsets. Raises BrokerError.

    Values and headers of `bodies` alone, if they are given: behind one event there may be a million.
    """
    topics = {topic_names(prefix, namespace).parked: namespace for namespace in namespaces}
    partitions = all_partitions(describe(clients.admin(), list(topics)))
    kept: dict[InboxOffset, ParkedEntry] = {}
    for message in read_whole(clients, "retold-parked", partitions, timeout=30.0):
        record = parked_message(message)
        inbox_offset = InboxOffset(topics[message.topic() or ""], message.partition() or 0, *record.position)
        kept.pop(inbox_offset, None)
        if record.value is not None:
            kept[inbox_offset] = entry = ParkedEntry(inbox_offset, parked_header(record.headers), b"", [])
            if bodies is None or inbox_offset in bodies:
                kept[inbox_offset] = entry._replace(value=record.value, headers=without_packed(record.headers))
    return [kept[inbox_offset] for inbox_offset in sorted(kept, key=lambda it: it.order)]


def send_commands(clients: Clients, prefix: str, namespace: str, commands: Iterable[OperatorCommand], partition: int = -1) -> None:
    """Send commands to the inbox: to the partitions of their keys, or to the `partition` that they are about.

    Raises BrokerError if any was not delivered.
    """
    producer, inbox = ConfirmedProducer(clients, "retold-parked"), topic_names(prefix, namespace).inbox
    for command in commands:
        producer.put(inbox, control.encode(command), command.key.encode(), partition)
    producer.flush(f"a command did not reach the inbox of {namespace}", "Say it again")
