"""What is set aside now, read from Kafka, and sending operator commands."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from datetime import datetime
from itertools import groupby
from sys import intern, maxsize
from typing import NamedTuple

from confluent_kafka import Message
from msgspec.structs import replace

from streams.engine import control
from streams.engine.control import OperatorCommand
from streams.engine.envelope import ParkedHeader, parked_header, without_packed
from streams.engine.envelope_reader import EnvelopeReader
from streams.engine.records import Headers, QueuePosition
from streams.engine.times import from_micros
from streams.errors import InvalidEvent
from streams.kafka.clients import Clients
from streams.kafka.confirmed_producer import ConfirmedProducer
from streams.kafka.messages import ParkedMessage, parked_message
from streams.kafka.offsets import TopicAndPartition
from streams.kafka.topic_contents import all_partitions, read_spans, read_whole
from streams.kafka.topics import describe, topic_names

INBOX_OFFSET = re.compile(
    r"(?P<namespace>[a-z][a-z0-9_]*)-(?P<partition>\d{1,6})@(?P<offset>\d{1,18})(?:-(?P<timer>\d{1,9}))?"
)
SHARED = ("status", "reason", "key", "topic")
"""Texts of a header that many events have in common."""
NOTHING: tuple[int, ParkedMessage | None] = (-1, None)


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
    """An event that is set aside. `value` is empty if it is kept by reference: the inbox holds it; or if nobody asked for it.

    `place` is its offset in the parked topic, and `event_type` what `read_parked` was told to make of its value.
    """

    inbox_offset: InboxOffset
    header: ParkedHeader
    value: bytes
    headers: Headers
    place: int = -1
    event_type: str | None = None

    @property
    def time(self) -> datetime | None:
        """When its event happened, where its headers were read; None if they say it in no way that reads."""
        try:
            said = EnvelopeReader().read(self.headers).time
        except InvalidEvent:  # as the reason says
            return None
        return from_micros(self.header.time) if said is None and self.header.time is not None else said


def _entry(inbox_offset: InboxOffset, headers: Headers, place: int, event_type: str | None) -> ParkedEntry:
    """Without its body, and with one text for all that are the same: of a million, most are."""
    header = parked_header(headers)
    texts = {name: intern(text) for name in SHARED if (text := getattr(header, name)) is not None}
    return ParkedEntry(inbox_offset, replace(header, **texts), b"", [], place, event_type)


def parse_inbox_offset(text: str) -> InboxOffset:
    """Raises InvalidEvent."""
    match = INBOX_OFFSET.fullmatch(text)
    if match is None:
        raise InvalidEvent(f"{text[:100]!r} is no inbox offset; expected one such as user-3@1042")
    return InboxOffset(match["namespace"], int(match["partition"]), int(match["offset"]), int(match["timer"] or 0))


def read_parked(
    clients: Clients,
    prefix: str,
    namespaces: Sequence[str],
    bodies: Collection[InboxOffset] | None = None,
    type_of: Callable[[bytes], str | None] = lambda _: None,
) -> list[ParkedEntry]:
    """Everything that is parked, unanswered or quarantined, in the order of inbox offsets. Raises BrokerError.

    Values and headers of `bodies` alone, if they are given: behind one event there may be a million. `with_bodies` reads them,
    one after another.
    """
    topics = {topic_names(prefix, namespace).parked: namespace for namespace in namespaces}
    partitions = all_partitions(describe(clients.admin(), list(topics)))
    kept: dict[InboxOffset, ParkedEntry] = {}
    for message in read_whole(clients, "retold-parked", partitions, timeout=30.0):
        record = parked_message(message)
        inbox_offset = InboxOffset(topics[message.topic() or ""], message.partition() or 0, *record.position)
        kept.pop(inbox_offset, None)
        if record.value is not None:
            kept[inbox_offset] = entry = _entry(inbox_offset, record.headers, message.offset() or 0, type_of(record.value))
            if bodies is None or inbox_offset in bodies:
                kept[inbox_offset] = entry._replace(value=record.value, headers=without_packed(record.headers))
    return [kept[inbox_offset] for inbox_offset in sorted(kept, key=lambda it: it.order)]


def with_bodies(clients: Clients, prefix: str, entries: Iterable[ParkedEntry]) -> Iterator[ParkedEntry]:
    """The same, in their order, each with its value and headers. They are read again, a poll at a time, and not kept.

    What is not there any more is left out. Raises BrokerError.
    """
    for (namespace, partition), found in groupby(entries, lambda it: it.inbox_offset[:2]):
        yield from _with_bodies(clients, (topic_names(prefix, namespace).parked, partition), list(found))


def _with_bodies(clients: Clients, at: TopicAndPartition, entries: Sequence[ParkedEntry]) -> Iterator[ParkedEntry]:
    """Of one partition. What was set aside again stands behind what follows it in its queue: that is read first, and kept."""
    late, least = set[int](), maxsize
    for entry in reversed(entries):
        if entry.place > least:
            late.add(entry.place)
        least = min(entry.place, least)
    kept = dict(_records(clients, at, late))
    others = _records(clients, at, {it.place for it in entries} - late)
    place, record = next(others, NOTHING)
    for entry in entries:
        if entry.place in late:
            found = kept.pop(entry.place, None)
        elif entry.place == place:
            found = record
            place, record = next(others, NOTHING)
        else:
            found = None
        if found is not None and found.value is not None:
            yield entry._replace(value=found.value, headers=without_packed(found.headers))


def _records(clients: Clients, at: TopicAndPartition, places: Collection[int]) -> Iterator[tuple[int, ParkedMessage | None]]:
    """The records at these offsets of a parked topic, in order, as far as they are there."""
    if places:
        for message in read_spans(clients, "retold-parked", {at: (min(places), max(places) + 1)}, timeout=30.0):
            if (place := message.offset()) in places:
                yield place or 0, parked_message(message)


def send_commands(
    clients: Clients, prefix: str, namespace: str, commands: Iterable[OperatorCommand], partition: int = -1
) -> list[InboxOffset]:  # fmt: skip
    """Send commands to the inbox: to the partitions of their keys, or to the `partition` that they are about.

    Returns where they are. Raises BrokerError if any was not delivered.
    """
    places = list[InboxOffset]()

    def delivered(message: Message) -> None:
        places.append(InboxOffset(namespace, message.partition() or 0, message.offset() or 0))

    producer, inbox = ConfirmedProducer(clients, "retold-parked", delivered), topic_names(prefix, namespace).inbox
    for command in commands:
        producer.put(inbox, control.encode(command), command.key.encode(), partition)
    producer.flush(f"a command did not reach the inbox of {namespace}", "Say it again")
    return places
