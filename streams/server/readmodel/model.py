"""The read model: committed tables, projections and the end of the logs, with their positions.

One thread writes (TopicFollower); all others read. The lock keeps transactions whole for copies of a table. A copy takes some
time, so only threads take the lock, never a task of the event loop. What such a task reads (a row, a position, an outcome) is
one look-up in a dict. It reads the position before the row, so the position is never ahead of the row.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from confluent_kafka import murmur2

from streams.app import App
from streams.engine.marker import Marker
from streams.engine.records import Codec
from streams.errors import StreamsError
from streams.event import Event
from streams.kafka.messages import LogEvent
from streams.receipt import Receipt, duplicate_outcome
from streams.server.readmodel.key_uses import KeyUse, KeyUses, digest_of
from streams.server.readmodel.lag_ages import LagAges
from streams.server.readmodel.notifier import Notifier
from streams.server.readmodel.recent import KnownOutcome, RecentEvents, RecentOutcomes, known_outcome
from streams.server.readmodel.tables import ProjectionRows, TableCopy, TableRows

T = TypeVar("T")
NamespacePartition = tuple[str, int]
"""Namespace and partition."""
STARTING = "the server has not read the tables and logs yet"


class ReadModel:
    """`waits` is a sentence on why the model cannot answer yet; None once it can."""

    def __init__(self, app: App, codec: Codec) -> None:
        self.app, self._codec = app, codec
        self.lock = threading.Lock()
        self.notifier = Notifier()
        self.waits: str | None = STARTING
        self.faults: dict[str, str] = {}
        """Present faults, as sentences, by what they are about."""
        self.stuck: dict[NamespacePartition, str] = {}
        """The reasons of stuck logs: what needs all of their events cannot be answered."""
        self.begin({})

    def begin(self, counts: Mapping[str, int]) -> None:
        """Reset the model; `counts` has the number of partitions of each namespace."""
        with self.lock:
            self.waits = STARTING
            self.counts = dict(counts)
            self.tables = {space.name: TableRows() for space in self.app.namespaces}
            self.markers: dict[NamespacePartition, Marker] = {}
            self.logs: dict[NamespacePartition, RecentEvents] = {partition: RecentEvents() for partition in self.partitions()}
            self.outcomes = RecentOutcomes()
            self._sent = KeyUses()
            self.projections = {it.name: ProjectionRows(self.app, it.name, self._codec) for it in self.app.projections}
            self.lags: dict[tuple[str, str, int], int] = {}
            self.lag_ages = LagAges()
            self.faults = {}
            self.stuck = {}

    def partitions(self, namespaces: Iterable[str] | None = None) -> list[NamespacePartition]:
        chosen = self.counts if namespaces is None else namespaces
        return [(name, number) for name in chosen for number in range(self.counts.get(name, 0))]

    def partition_of(self, namespace: str, key: str) -> NamespacePartition:
        return namespace, int(murmur2(key.encode("utf-8", "surrogatepass"), self.counts[namespace]))

    # Called by the one thread that follows.

    def committed(self, partition: NamespacePartition, last: Marker | None, rows: Mapping[str, tuple[Any, int]]) -> None:
        """Apply one whole transaction of a table's partition, so that no part of it is ever visible alone."""
        with self.lock:
            table = self.tables[partition[0]]
            for key, (row, version) in rows.items():
                table.put(key, row, version)
            if last is not None:
                self.markers[partition] = last
                for it in last.duplicates:
                    became = known_outcome(duplicate_outcome(it.outcome, it.sequence))
                    self.outcomes.add((*partition, it.offset), became)

    def logged(self, event: LogEvent, inbox_offset: int) -> None:
        """Apply the next record of a partition's log.

        It counts as read once all of its folds are applied. They run without the lock, since they are the application's.
        """
        inner = event.event
        became = KnownOutcome(
            outcome=event.outcome, sequence=event.sequence, recorded=event.recorded, reason=event.reason,
            wrong_version=event.wrong_version, event_type=inner.data.event_type, key=inner.key, id=inner.id,
        )  # fmt: skip
        folds = list(self.projections.values()) if event.outcome == "accepted" else []
        changes = [(projected, change) for projected in folds if (change := projected.fold(event)) is not None]
        with self.lock:
            for projected, change in changes:
                projected.put(change)
            self.logs[event.namespace, event.partition].add(event)
            self.outcomes.add((event.namespace, event.partition, inbox_offset), became)

    def remember(self, event: Event[Any], partition: NamespacePartition, offset: int, expected_version: int | None) -> None:
        """Remember an event that was published with an Idempotency-Key, at any server; `offset` is its inbox offset."""
        try:
            content = self._codec.encode(event.data)
        except StreamsError:
            return  # the classes here cannot publish it any more, so the request cannot be repeated
        receipt = Receipt(partition[0], event.data.event_type, event.key, event.id)
        receipt.partition, receipt.offset = partition[1], offset
        self._sent.add(KeyUse(receipt, digest_of(content, expected_version)))

    def set_aside(self, partition: NamespacePartition, offset: int, became: KnownOutcome) -> None:
        with self.lock:
            self.outcomes.add((*partition, offset), became)

    # Called by all threads and tasks.

    def became(self, partition: NamespacePartition, offset: int) -> KnownOutcome | None:
        """The outcome of an inbox record, once its row is here too (rule 25); None if it is not known here."""
        last = self.markers.get(partition)
        if last is None or last.inbox_next <= offset:
            return None
        return self.outcomes.get((*partition, offset))

    def sent(self, event_id: str) -> KeyUse | None:
        """The use of an Idempotency-Key, by its event's id, as far as it is known here."""
        return self._sent.get(event_id)

    def table_position(self, partition: NamespacePartition) -> int:
        """The last sequence whose row is in the table."""
        last = self.markers.get(partition)
        return 0 if last is None else last.last

    def log_position(self, partition: NamespacePartition) -> int:
        """The last sequence that is folded into projections and visible in streams."""
        recent = self.logs.get(partition)
        return 0 if recent is None else recent.last

    def lag(self, kinds: Iterable[str], partitions: Iterable[NamespacePartition]) -> int:
        """Records of these tables or logs that are committed and not read here yet, as last measured."""
        return sum(self.lags.get((kind, *partition), 0) for kind in kinds for partition in partitions)

    def copy(self, table: TableRows | ProjectionRows, look: Callable[[], T]) -> tuple[TableCopy, T]:
        """A consistent copy of a table, and what `look` returns at the same moment.

        It blocks, so it is for threads. Because of the lock only one copy is made at a time.
        """
        with self.lock:
            return table.copy(), look()
