"""What is set aside and what is pending, read from their topics, each time from where the last reading stopped."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from sys import intern
from typing import NamedTuple

from confluent_kafka import Message

from streams.engine.envelope import CALL, due_header, parked_header
from streams.engine.records import QUARANTINED, UNANSWERED, QueuePosition
from streams.errors import UndecodableRecord
from streams.kafka.bounded_read import headers_of
from streams.kafka.clients import Clients
from streams.kafka.messages import parked_message, placed, topic_partition_of
from streams.kafka.offset_set import OffsetSet
from streams.kafka.offsets import TopicAndPartition, stable_ends
from streams.kafka.renewed_client import Admin
from streams.kafka.topic_contents import Spans, all_partitions, read_spans, whole
from streams.kafka.topics import TIMEOUT, TopicInfo

FOREIGN = 100
"""The most records of a partition that are told not to be a worker's: anyone who may write there can write any number."""


class SetAside(NamedTuple):
    """What is set aside in a namespace now. `unanswered` counts among `parked`.

    `oldest` is when the oldest of `parked` was set aside, in µs since 1970. A quarantined record blocks nothing, and no
    command takes it out again, so its age says nothing about work that waits.
    """

    parked: int = 0
    quarantined: int = 0
    unanswered: int = 0
    keys: int = 0
    oldest: int | None = None


class Pending(NamedTuple):
    """When the first pending timer is due, and when the oldest pending call was asked for, in µs since 1970.

    Timers of parked keys do not count: they wait with their key. `live_due` is that of the timers that no import's clock holds.
    """

    timer_due: int | None = None
    live_due: int | None = None
    call_asked: int | None = None


class _Aside(NamedTuple):
    status: str
    key: str | None
    recorded: int


class _Due(NamedTuple):
    kind: str
    at: int
    owner: str | None
    overdue: bool


class BacklogReader:
    """Reads the parked and due topics of an application. Used by one thread at a time."""

    def __init__(self, clients: Clients) -> None:
        self._clients = clients
        self._ids: dict[str, str] = {}
        """Topic ids, by the name of each topic that was read."""
        self._next: dict[TopicAndPartition, int] = {}
        self._aside: dict[TopicAndPartition, dict[QueuePosition, _Aside]] = {}
        """What somebody decides about, and quarantined timers."""
        self._quarantined: dict[TopicAndPartition, OffsetSet] = {}
        """Inbox offsets of records: anybody who may publish can make any number of them, and none is ever taken out."""
        self._due: dict[TopicAndPartition, dict[bytes, _Due]] = {}
        self._foreign: dict[TopicAndPartition, dict[bytes, str]] = {}
        """Sentences about records that no worker wrote, by the records' keys."""

    def read(
        self, admin: Admin, topics: Mapping[str, TopicInfo], parked: Iterable[str], due: Iterable[str]
    ) -> tuple[Mapping[str, SetAside], Mapping[str, Pending]]:
        """Both by topic; `topics` describes them. Raises BrokerError."""
        parked, due = list(parked), list(due)
        for topic in (*parked, *due):
            if self._ids.setdefault(topic, topics[topic].id) != topics[topic].id:
                self._forget(topic)
                self._ids[topic] = topics[topic].id
        partitions = all_partitions({topic: topics[topic] for topic in (*parked, *due)})
        found = whole(admin, partitions, stable_ends)
        self._read_on({at: (max(first, self._next.get(at, 0)), last) for at, (first, last) in found.items()}, frozenset(parked))
        return {topic: self._set_aside(topic) for topic in parked}, {topic: self._pending(topic) for topic in due}

    def foreign(self, topic: str) -> list[str]:
        """Sentences about records, of what was read of a topic, that no worker wrote: one that restores refuses them."""
        return [why for (of, _), found in sorted(self._foreign.items()) if of == topic for why in found.values()]

    def _forget(self, topic: str) -> None:
        """A topic that was made again has other records at the same offsets, and may have as many of them."""
        for kept in (self._next, self._aside, self._quarantined, self._due, self._foreign):
            for at in [at for at in kept if at[0] == topic]:
                del kept[at]

    def _read_on(self, spans: Spans, parked: frozenset[str]) -> None:
        for message in read_spans(self._clients, "retold-status", spans, timeout=TIMEOUT):
            at = topic_partition_of(message)
            if self._foreign:
                self._foreign.get(at, {}).pop(message.key() or b"", None)
            try:
                self._take(at, message, is_parked=at[0] in parked)
            except UndecodableRecord as error:
                found = self._foreign.setdefault(at, {})
                if message.value() is not None and len(found) < FOREIGN:
                    found[message.key() or b""] = str(placed(error, message))
        self._next |= {at: end for at, (_, end) in spans.items()}

    def _take(self, at: TopicAndPartition, message: Message, *, is_parked: bool) -> None:
        """Raises UndecodableRecord."""
        if is_parked:
            self._take_parked(self._aside.setdefault(at, {}), self._quarantined.setdefault(at, OffsetSet()), message)
        else:
            self._take_due(self._due.setdefault(at, {}), message)

    def _take_parked(self, kept: dict[QueuePosition, _Aside], quarantined: OffsetSet, message: Message) -> None:
        """The last record of a position counts."""
        record = parked_message(message)
        kept.pop(record.position, None)
        quarantined.discard(record.offset)
        if record.value is None:
            return
        header = parked_header(record.headers)
        if header.status == QUARANTINED and not record.position.timer:
            quarantined.add(record.offset)
        else:
            key = None if header.key is None else intern(header.key)
            kept[record.position] = _Aside(intern(header.status), key, header.recorded)

    def _take_due(self, kept: dict[bytes, _Due], message: Message) -> None:
        key = message.key() or b""
        if message.value() is None:
            kept.pop(key, None)
            return
        header = due_header(headers_of(message))
        kept[key] = _Due(header.kind, header.at, header.owner, header.overdue)

    def _set_aside(self, topic: str) -> SetAside:
        found = [each for (of, _), kept in self._aside.items() if of == topic for each in kept.values()]
        blocking = [each for each in found if each.status != QUARANTINED]
        quarantined = sum(len(offsets) for (of, _), offsets in self._quarantined.items() if of == topic)
        return SetAside(
            len(blocking),
            len(found) - len(blocking) + quarantined,
            sum(each.status == UNANSWERED for each in found),
            len({each.key for each in blocking}),
            min((each.recorded for each in blocking), default=None),
        )

    def _pending(self, topic: str) -> Pending:
        found = [each for (of, _), kept in self._due.items() if of == topic for each in kept.values()]
        parked = self._parked_keys(f"{topic.removesuffix('-due')}-parked")
        timers = [each for each in found if each.kind != CALL and each.owner not in parked]
        return Pending(
            min((each.at for each in timers), default=None),
            min((each.at for each in timers if not each.overdue), default=None),
            min((each.at for each in found if each.kind == CALL), default=None),
        )

    def _parked_keys(self, topic: str) -> set[str | None]:
        found = (each for (of, _), kept in self._aside.items() if of == topic for each in kept.values())
        return {each.key for each in found if each.status != QUARANTINED}
