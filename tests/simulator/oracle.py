"""What must hold when a seeded run is over, and what is still to be handled before that."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import product
from typing import NamedTuple, Self

from confluent_kafka import murmur2

from streams import App
from streams.codec import AvroCodec
from streams.engine import marker
from streams.engine.envelope import log_header
from streams.engine.event_handlers import Limits
from streams.engine.records import BY_OPERATOR, CORRECTED, QUARANTINED, QueuePosition
from streams.engine.times import from_micros
from streams.engine.wire_format import WireFormat
from streams.history.code.application_handlers import ApplicationHandlers
from streams.history.correction.corrected_past import CorrectedPast
from streams.history.correction.merged_change import merged
from streams.history.past import MemoryPast, Past, cause_of
from streams.history.recorded_event import read_recorded
from streams.history.verification.verification_records import StoredRecord
from streams.kafka.corrections_topic import APPLIED, read_corrections
from streams.kafka.topics import topic_names
from tests.simulator.broker import Entry, MemoryBroker, Partition
from tests.simulator.clients import clients
from tests.simulator.coordinators import Correction
from tests.simulator.operators import Operators, aside_of
from tests.simulator.random_publisher import Published, RandomPublisher
from tests.support.replayed import Rows, replayed
from tests.support.stored_topics import SUFFIXES, StoredTopics, Where

Place = tuple[str, int]
"""A namespace and a partition."""


class Unsettled(Exception):
    """What must hold after a run does not."""


class Oracle:
    """Looks at the topics of `app`, each of which has so many `partitions`."""

    def __init__(self, app: App, codec: AvroCodec, broker: MemoryBroker, partitions: int) -> None:
        self._app, self._codec, self._broker, self._partitions = app, codec, broker, partitions
        self._markers: dict[Place, tuple[int, marker.Marker | None]] = {}
        """Up to where tables were read, and the last markers until there."""
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

    def check(self, publisher: RandomPublisher, operators: Operators, asked: Collection[str]) -> None:
        """`asked` has the references of the requests that gateways were asked. Raises Unsettled."""
        logged, published = set[str](), defaultdict[Place, list[Published]](list)
        for each in publisher.published:
            published[each.namespace, each.partition].append(each)
        for topic, partitions in self._broker.topics.items():
            for at, partition in enumerate(partitions):
                if partition.stable < partition.end:
                    raise Unsettled(f"{topic}-{at} has a transaction that is open")
        for namespace, at in self.places:
            log = [_Logged.of(it) for _, it in self._broker.partition((topic_names("", namespace).log, at)).committed()]
            self._check_published(f"{namespace}-{at}", log, published[namespace, at])
            self._check_timers(f"{namespace}-{at}", log)
            self._check_rejected(namespace, log, operators)
            logged |= {it.event_id for it in log}
        if unknown := {*asked} - logged:  # of what a worker emitted, the id is the reference
            raise Unsettled(f"gateways were asked for what is in no log: {sorted(unknown)[:3]}")
        self._check_quarantined(publisher.refused)
        report = self._stored().verified(codec=self._codec)
        if report.findings:
            raise Unsettled("; ".join(f"{it.where} {it.kind.name}: {it.expected}, {it.found}" for it in report.findings[:5]))

    def check_corrected(self, corrections: Sequence[Correction]) -> None:
        """Each row is what a plain model makes of the corrected log, and nothing is left to be set. Raises Unsettled."""
        plans = [it.plan for it in corrections if it.plan is not None]
        states = read_corrections(clients(self._broker), "", self._app.name)
        if (told := {it.correction: it.state for it in states}) != {it.correction: APPLIED for it in plans}:
            raise Unsettled(f"of the corrections {[it.correction for it in plans]} the topic tells {told}")
        if not states:
            return
        handlers = ApplicationHandlers(self._app, self._codec)
        log = self._past()
        corrected = CorrectedPast(log, handlers, merged(log, [it.change.read(self._codec) for it in states]))
        if left := [*corrected.different_rows()]:
            raise Unsettled(f"{len(left)} rows are not what the corrected past makes of them, first {left[0]}")
        if not _is_causal(log):
            return
        wanted = replayed(corrected.past.events(), handlers)
        if wanted != (live := self._rows()):
            places = [it for it in wanted.keys() | live.keys() if wanted.get(it) != live.get(it)]
            raise Unsettled(f"{places[0]} is {live.get(places[0])}, and a replay gives {wanted.get(places[0])}")

    def _past(self) -> MemoryPast:
        wire = WireFormat(self._codec, Limits())
        return MemoryPast(
            read_recorded(wire, namespace, at, it.value or b"", it.headers)
            for namespace, at in self.places
            for _, it in self._broker.partition((topic_names("", namespace).log, at)).committed()
        )

    def _rows(self) -> Rows:
        """Of the tables, as they are stored."""
        types, found = {space.name: space.row_type for space in self._app.namespaces}, Rows()
        for namespace, at in self.places:
            for _, it in self._broker.partition((topic_names("", namespace).table, at)).committed():
                place = namespace, (it.key or b"").decode()
                if it.key != marker.KEY:
                    found.pop(place, None)
                    if it.value:
                        found[place] = self._codec.decode_row(types[namespace], it.value)
        return found

    @staticmethod
    def _check_published(name: str, log: Sequence[_Logged], published: Sequence[Published]) -> None:
        """Each event that was published is in its log once, those of a key are in their order, and nothing is forged."""
        ids = [(it.own_id, it.key) for it in log]
        counts = Counter(ids)
        for it in published:
            if (times := counts[it.event_id, it.key]) != 1:
                raise Unsettled(f"{it.event_id} of {it.key} is {times} times in the log of {name}")
        wanted = {(it.event_id, it.key): None for it in published if it.in_order}
        if (key := _first_other(_by_key(wanted), _by_key(it for it in ids if it in wanted))) is not None:
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
            between = [other for other in log[scheduled + 1 : number] if other.key == it.key] if scheduled is not None else []
            for other in between if not any(other.is_step for other in between) else ():  # a step may have put the timer back
                if other.time > it.time:
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
        stable, said = self._markers.get((namespace, at), (-1, None))
        if stable != partition.stable:  # else it is the one of the last look
            said = self._found_marker(partition)
            self._markers[namespace, at] = partition.stable, said
        return said

    @staticmethod
    def _found_marker(partition: Partition) -> marker.Marker | None:
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
            yield StoredRecord(offset, it.key, it.value, it.headers)


def _by_key(ids: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """Ids of events by their keys, in their order."""
    found = defaultdict[str, list[str]](list)
    for own_id, key in ids:
        found[key].append(own_id)
    return found


def _first_other(one: Mapping[str, object], other: Mapping[str, object]) -> str | None:
    """A key of which both do not say the same."""
    return next((key for key in one if one[key] != other.get(key)), None)


def _is_causal(log: Past) -> bool:
    """Whether each event stands behind its cause: a clock that was set back by more than an hour may put it before (rule 18)."""
    return all(it.cause is None or (cause := cause_of(log, it)) is None or cause.order < it.order for it in log.events())


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
    is_step: bool

    @classmethod
    def of(cls, it: Entry) -> Self:
        headers = dict(it.headers)
        said, own_id = log_header(it.headers), headers.get("ce_id", b"").decode()
        time = datetime.fromisoformat(headers["ce_time"].decode()) if "ce_time" in headers else from_micros(said.time or 0)
        return cls(
            (it.key or b"").rpartition(b"@")[0].decode(), own_id, said.id or own_id,
            headers.get("ce_causationid", b"").decode(), time, bool(said.timer), said.offset, said.by,
            sum(name.startswith("retold") for name, _ in it.headers) != 1 or "forged" in (said.reason or ""),
            said.outcome == CORRECTED,
        )  # fmt: skip
