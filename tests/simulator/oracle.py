"""What must hold when a seeded run is over, and what is still to be handled before that."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from datetime import datetime
from itertools import product
from typing import NamedTuple, Self

from confluent_kafka import murmur2

from streams import App
from streams.codec import AvroCodec
from streams.engine import marker
from streams.engine.envelope import log_header
from streams.engine.records import BY_OPERATOR, QUARANTINED, QueuePosition
from streams.history.verification.verification_records import StoredRecord
from streams.kafka.topics import topic_names
from tests.simulator.broker import OPEN, Entry, MemoryBroker
from tests.simulator.operators import Operators, aside_of
from tests.simulator.random_publisher import Published, RandomPublisher
from tests.support.stored_topics import SUFFIXES, StoredTopics, Where

Place = tuple[str, int]
"""A namespace and a partition."""


class Unsettled(Exception):
    """What must hold after a run does not."""


class Oracle:
    """Looks at the topics of `app`, each of which has so many `partitions`."""

    def __init__(self, app: App, codec: AvroCodec, broker: MemoryBroker, partitions: int) -> None:
        self._app, self._codec, self._broker, self._partitions = app, codec, broker, partitions
        self.places: Sequence[Place] = [*product((space.name for space in app.namespaces), range(partitions))]

    def left_over(self, timers_due: Collection[Place]) -> str:
        """What is not handled yet, in words; empty if nothing is. `timers_due` are places that workers have timers of."""
        for namespace, at in self.places:
            inbox = self._broker.partition((namespace, at))
            if inbox.stable < inbox.end:
                return f"{namespace}-{at} has an open transaction at {inbox.stable}"
            said = self._marker(namespace, at)
            if inbox.readable(0 if said is None else said.inbox_next, committed=True) is not None:
                return f"{namespace}-{at} is not handled from {said and said.inbox_next} on"
            if said is not None and said.calls:
                return f"{said.calls} calls of {namespace}-{at} have no answer"
            if said is not None and said.timers and (namespace, at) in timers_due:
                return f"timers of {namespace}-{at} are due"
        return ""

    def check(self, publisher: RandomPublisher, operators: Operators) -> None:
        """Raises Unsettled."""
        for topic, partitions in self._broker.topics.items():
            for at, partition in enumerate(partitions):
                if any(it.transaction is not None and it.transaction.state == OPEN for it in partition.entries):
                    raise Unsettled(f"{topic}-{at} has a transaction that is open")
        for namespace, at in self.places:
            log = [_Logged.of(it) for _, it in self._broker.partition((topic_names("", namespace).log, at)).committed()]
            ours = [it for it in publisher.published if (it.namespace, it.partition) == (namespace, at)]
            self._check_published(f"{namespace}-{at}", log, ours)
            self._check_timers(f"{namespace}-{at}", log)
            self._check_rejected(namespace, log, operators)
        self._check_quarantined(publisher.refused)
        report = self._stored().verified(codec=self._codec)
        if report.findings:
            raise Unsettled("; ".join(f"{it.where} {it.kind.name}: {it.expected}, {it.found}" for it in report.findings[:5]))

    @staticmethod
    def _check_published(name: str, log: Sequence[_Logged], published: Sequence[Published]) -> None:
        """Each event that was published is in its log once, those of a key are in their order, and nothing is forged."""
        ids = [(it.own_id, it.key) for it in log]
        counts = Counter(ids)
        for it in published:
            if (times := counts[it.event_id, it.key]) != 1:
                raise Unsettled(f"{it.event_id} of {it.key} is {times} times in the log of {name}")
        for key in {it.key for it in published}:
            wanted = {it.event_id: None for it in published if it.key == key and it.in_order}
            if [own for own, other in ids if other == key and own in wanted] != [*wanted]:
                raise Unsettled(f"events of {key} of {name} are not in the order in which they were published")
        for it in log:
            if it.is_forged:
                raise Unsettled(f"{it} of {name} says of itself what a publisher forged")

    @staticmethod
    def _check_timers(name: str, log: Sequence[_Logged]) -> None:
        """No event of a key is handled before a timer of that key that was due before the event's time (rule 23)."""
        index = {(it.key, it.event_id): number for number, it in enumerate(log)}
        for number, it in enumerate(log):
            scheduled = index.get((it.key, it.cause)) if it.fired else None
            for other in log[scheduled + 1 : number] if scheduled is not None else ():
                if other.key == it.key and other.time > it.time:
                    raise Unsettled(f"{other} of {name} was handled before {it}, which was due")

    @staticmethod
    def _check_rejected(namespace: str, log: Sequence[_Logged], operators: Operators) -> None:
        """What operators rejected was to be rejected (rule 12): a command that is sent twice rejects one event."""
        for it in log:
            meant = (namespace, it.key, QueuePosition(it.offset)) in operators.rejected
            if it.by == BY_OPERATOR and it.offset >= 0 and not meant:
                raise Unsettled(f"{it} of {namespace} was rejected by an operator who did not mean it")

    def _check_quarantined(self, expected: set[tuple[str, int, int]]) -> None:
        """All that is refused, and nothing else."""
        found = {
            (space.name, header.partition, header.offset)
            for space in self._app.namespaces
            for _, header, _ in aside_of(self._broker, space.name)
            if header.status == QUARANTINED
        }
        if found != expected:
            raise Unsettled(f"{sorted(expected - found)} are not quarantined, and {sorted(found - expected)} are")

    def _marker(self, namespace: str, at: int) -> marker.Marker | None:
        """The last one."""
        partition = self._broker.partition((topic_names("", namespace).table, at))
        for offset in range(partition.stable - 1, -1, -1):
            it = partition.entries[offset]
            if it.key == marker.KEY and partition.readable(offset, committed=True) == (offset, it):
                return marker.decode(it.value or b"")
        return None

    def _stored(self) -> StoredTopics:
        stored = StoredTopics(self._app, self._partitions, lambda key: int(murmur2(key, self._partitions)))
        for (namespace, at), (kind, suffix) in product(self.places, SUFFIXES.items()):
            stored.topics[Where(kind, (namespace, at))] = [*self._records((f"{namespace}{suffix}", at))]
        return stored

    def _records(self, topic_partition: tuple[str, int]) -> Iterator[StoredRecord]:
        for offset, it in self._broker.partition(topic_partition).committed():
            yield StoredRecord(offset, it.key, it.value, list(it.headers))


class _Logged(NamedTuple):
    """A log record. `own_id` is its header's, `event_id` the event's. `fired`: it is a timer of its own key; `by` rejected it."""

    key: str
    own_id: str
    event_id: str
    cause: str
    time: datetime
    fired: bool
    offset: int
    by: str | None
    is_forged: bool

    @classmethod
    def of(cls, it: Entry) -> Self:
        headers = dict(it.headers)
        said, own_id = log_header(it.headers), headers.get("ce_id", b"").decode()
        return cls(
            (it.key or b"").rpartition(b"@")[0].decode(), own_id, said.id or own_id,
            headers.get("ce_causationid", b"").decode(), datetime.fromisoformat(headers["ce_time"].decode()), bool(said.timer),
            said.offset, said.by, sum(name.startswith("retold") for name, _ in it.headers) != 1 or "forged" in (said.reason or ""),
        )  # fmt: skip
