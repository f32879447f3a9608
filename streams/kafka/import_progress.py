"""Follows how far an application has handled what an import published, and which timers wait for the import's clock."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from confluent_kafka import KafkaError, Message, TopicPartition

from streams.engine import marker
from streams.engine.envelope import CALL, due_header, parked_header
from streams.engine.records import QUARANTINED, QueuePosition
from streams.errors import BrokerError, OutcomeTimeout, UndecodableRecord
from streams.kafka.bounded_read import headers_of
from streams.kafka.clients import Clients
from streams.kafka.messages import parked_message, table_record
from streams.kafka.offsets import TopicAndPartition, ends, stable_ends, starts
from streams.kafka.topics import TopicNames, describe, topic_names

STILL = 60.0
"""s without any progress after which waiting ends with an error."""


class _Due(NamedTuple):
    kind: str
    at: int
    owner: str
    overdue: bool


class _Partition:
    """What is known of one partition of a namespace: of its inbox the last record, and of its table the position."""

    def __init__(self) -> None:
        self.last = -1
        self.position = 0
        self.due: dict[bytes, _Due] = {}
        self.parked: dict[QueuePosition, str | None] = {}

    @property
    def handled(self) -> bool:
        return self.position > self.last and not any(it.kind == CALL for it in self.due.values())

    def next_due(self) -> int | None:
        """Of timers that were overdue when they were scheduled, and whose key's clock does not stand still."""
        parked = set(self.parked.values())
        waiting = (it.at for it in self.due.values() if it.kind != CALL and it.overdue and it.owner not in parked)
        return min(waiting, default=None)


class ImportProgress:
    """Of all partitions of an application. Made before the import's first record. Used by one thread."""

    def __init__(self, clients: Clients, prefix: str, namespaces: Sequence[str]) -> None:
        self._clock, self._admin = clients.clock, clients.admin()
        spaces = [topic_names(prefix, namespace) for namespace in namespaces]
        found = describe(self._admin, [topic for space in spaces for topic in space[1:]])
        self._parts: dict[TopicAndPartition, _Partition] = {}
        """Each topic of a namespace's partition leads to one."""
        begin, recent = list[TopicAndPartition](), list[TopicAndPartition]()
        for space in spaces:
            for number in range(found[space.inbox].partitions if space.inbox in found else 0):
                part = _Partition()
                self._parts.update(((topic, number), part) for topic in (space.inbox, space.table, space.due, space.parked))
                begin += [(space.due, number), (space.parked, number)]
                recent += [(space.inbox, number), (space.table, number)]
        self._topics = {topic: kind for space in spaces for topic, kind in _kinds(space)}
        self._read = {**starts(self._admin, begin), **stable_ends(self._admin, recent)}
        self._consumer = clients.consumer("retold-import")
        self._consumer.assign([TopicPartition(*at, offset) for at, offset in self._read.items()])

    def close(self) -> None:
        self._consumer.close()

    def next_due(self) -> int | None:
        """When the first timer is due that waits for the import's clock, in µs since 1970; None: no timer does."""
        found = (part.next_due() for part in set(self._parts.values()))
        return min((at for at in found if at is not None), default=None)

    def wait(self, before: int | None = None) -> None:
        """Wait until all that was published is handled, with all that followed, and timers that are due before `before` fired.

        Raises OutcomeTimeout if nothing moves for a minute, and BrokerError.
        """
        moved = self._clock.monotonic()
        while True:
            known = self._positions()
            if self._read_to_end():
                moved = self._clock.monotonic()
            due = self.next_due()
            fired = before is None or due is None or due >= before
            if fired and known == self._positions() and all(part.handled for part in self._parts.values()):
                return
            if self._clock.monotonic() - moved > STILL:
                raise OutcomeTimeout(
                    f"nothing was handled for {STILL:.0f} s: is a worker running, and is no partition blocked? See `retold status`"
                )

    def _positions(self) -> list[int]:
        return [part.position for part in self._parts.values()]

    def _read_to_end(self) -> bool:
        """Read what there is now, also what is in an open transaction now. Whether there was anything."""
        end, found = ends(self._admin, list(self._read)), False
        deadline = self._clock.monotonic() + STILL
        first = True
        while first or any(self._read[at] < offset for at, offset in end.items()):
            for message in self._consumer.consume(500, 0.02):
                found |= self._take(message)
            if self._clock.monotonic() > deadline:
                raise OutcomeTimeout(f"a transaction is open for more than {STILL:.0f} s: see `retold status`")
            first = False
        return found

    def _take(self, message: Message) -> bool:
        at, offset = (message.topic() or "", message.partition() or 0), message.offset() or 0
        error = message.error()
        if error is not None:
            if error.code() == KafkaError._PARTITION_EOF:
                self._read[at] = max(self._read[at], offset)
            elif error.fatal():
                raise BrokerError(f"the progress of the import cannot be read: {error.str()}")
            return False
        self._read[at] = offset + 1
        part, kind = self._parts[at], self._topics[at[0]]
        if kind == "inbox":
            part.last = offset
        elif kind == "table":
            record = table_record(message)
            if isinstance(record, marker.Marker):
                part.position = record.inbox_next
        elif kind == "due":
            _take_due(part, message)
        else:
            _take_parked(part, message)
        return True


def _kinds(space: TopicNames) -> list[tuple[str, str]]:
    return [(space.inbox, "inbox"), (space.table, "table"), (space.due, "due"), (space.parked, "parked")]


def _take_due(part: _Partition, message: Message) -> None:
    key = message.key() or b""
    part.due.pop(key, None)
    if message.value() is not None:
        try:
            header = due_header(headers_of(message))
        except UndecodableRecord:
            return  # a worker's restore refuses it, and says so
        part.due[key] = _Due(header.kind, header.at, header.key if header.owner is None else header.owner, header.overdue)


def _take_parked(part: _Partition, message: Message) -> None:
    record = parked_message(message)
    part.parked.pop(record.position, None)
    if record.value is not None and (header := parked_header(record.headers)).status != QUARANTINED:
        part.parked[record.position] = header.key
