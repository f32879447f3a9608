"""The status of an application, read from Kafka alone: positions from markers, owners from groups, blocked partitions and why.

It reads no whole table: the last marker of a partition is near its end.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from confluent_kafka import Message

from streams.codec import AvroCodec
from streams.engine import control, marker
from streams.engine.changes import ImportClock
from streams.engine.records import SCHEMA, Counters, blocking_cause
from streams.errors import InvalidEvent, UndecodableRecord, UnsupportedSchema
from streams.kafka.backlog import BacklogReader, Pending, SetAside
from streams.kafka.bounded_read import first_records
from streams.kafka.clients import Clients
from streams.kafka.deleted_records import NOTHING, Accepted, DeletedRecords, deleted_records, never_cut, wrong_settings
from streams.kafka.last_markers import last_markers
from streams.kafka.messages import topic_partition_of
from streams.kafka.offsets import TopicAndPartition, ends, stable_ends, starts
from streams.kafka.open_transactions import OpenTransaction, among_offsets, open_transactions
from streams.kafka.owners import owners
from streams.kafka.renewed_client import Admin
from streams.kafka.schemas_topic import LearningCodec
from streams.kafka.task_reports import STANDBY, WAITS, Report, ReportReader, copies_of, ended, key_of, state_of
from streams.kafka.topics import TIMEOUT, TopicNames, after_recreation, describe, topic_names

NORMAL = 5.0
"""s for which a transaction may be open before it is reported."""


@dataclass(frozen=True, slots=True)
class CopyStatus:
    """A worker's copy of a partition that it does not own: `done` of `total` offsets are read; `ready`: it is up to date.

    `joined`: its worker is in the group, and does not read its copies first.
    """

    worker: str
    ready: bool
    done: int
    total: int
    joined: bool


@dataclass(frozen=True, slots=True)
class PartitionStatus:
    """`position` is the next inbox offset to handle; `lag` counts the records up to the end (Kafka's control records too).

    Records that an open transaction hides count too: they will be handled, or dropped.

    `owner` is the client id of the worker that owns the partition. `recorded` in µs since 1970.

    `state` is the owner's report (restoring, running, blocked), or `starting` if there is none yet, or `no worker` if there
    is no owner; None if the reports cannot be read. `state_since` in µs since 1970, if it is known.
    """

    partition: int
    owner: str | None
    inbox_end: int
    position: int
    lag: int
    sequence: int
    recorded: int
    state: str | None = None
    state_since: int | None = None
    state_why: str = ""
    state_cause: str = ""
    """Of a blocked partition: its worker's cause, as in `streams.engine.records`; empty if it did not report one."""
    oldest: int | None = None
    """The time stamp (µs since 1970) of the first record that is not handled, None if there is none that can be read."""
    oldest_offset: int | None = None
    copies: tuple[CopyStatus, ...] = ()


@dataclass(frozen=True, slots=True)
class BlockedPartition:
    """A partition that is blocked by the record at `offset`. `cause` is SCHEMA or HANDLER: what is not known here."""

    topic: str
    partition: int
    offset: int
    schema_id: int
    reason: str
    cause: str = SCHEMA


@dataclass(frozen=True, slots=True)
class NamespaceEnd:
    """A worker ended the namespace by an error: `since` in µs since 1970, a reason, and a traceback's lines, if there is one.

    `waits`: it runs, has left the group, and joins again once its rows are built.
    """

    worker: str
    since: int
    why: str
    trace: str = ""
    waits: bool = False


@dataclass(frozen=True, slots=True)
class MissingTopics:
    """Topics of a namespace that do not exist, and a sentence about what to do."""

    topics: tuple[str, ...]
    do: str

    def __str__(self) -> str:
        one = len(self.topics) == 1
        return f"{', '.join(self.topics)} {'is' if one else 'are'} missing"


@dataclass(frozen=True, slots=True)
class NamespaceStatus:
    """`counters` are sums since the topics were created; `parked` and `quarantined` count what is set aside now.

    `calls` counts requests whose gateway's answer is not handled yet, `timers` scheduled events that are not due.

    `unanswered` counts requests whose gateway gave up, among `parked`. `parked_keys` are blocked by what is parked.
    `parked_oldest` is when the oldest of `parked` was set aside, `timer_due` when the first timer is or was due, `call_asked`
    when the oldest pending call was asked for, all in µs since 1970. Timers that wait for a parked key or an import's clock do
    not count.

    `waiting` has the blocked partitions. `producers_replaced` counts, for the workers that wrote last, the producers that
    were replaced since they started (rule 31).

    `ended` says why a worker ended the namespace, if nobody runs it since.

    `generations` are those of the rows that workers keep: several while a deployment goes over to another one.

    `imports` has the clocks of imports that are not over, by the import's name: the earliest of the partitions.

    `deleted` has partitions whose first records were deleted, and that nobody has accepted. `foreign` has sentences about records
    of the parked and due topics that no worker wrote.

    `missing` has its topics that do not exist. While there are any, there are no partitions, and nothing else but `ended` is
    known. `application` is also None if nothing was handled yet.
    """

    name: str
    application: str | None
    partitions: tuple[PartitionStatus, ...] = ()
    counters: Counters = field(default_factory=Counters)
    parked: int = 0
    quarantined: int = 0
    waiting: tuple[BlockedPartition, ...] = ()
    calls: int = 0
    timers: int = 0
    producers_replaced: int = 0
    ended: NamespaceEnd | None = None
    unanswered: int = 0
    parked_keys: int = 0
    parked_oldest: int | None = None
    timer_due: int | None = None
    call_asked: int | None = None
    missing: MissingTopics | None = None
    imports: Mapping[str, ImportClock] = field(default_factory=dict)
    generations: tuple[int, ...] = ()
    deleted: tuple[DeletedRecords, ...] = ()
    foreign: tuple[str, ...] = ()

    @property
    def lag(self) -> int:
        return sum(partition.lag for partition in self.partitions)


@dataclass(frozen=True, slots=True)
class Status:
    broker: str
    prefix: str
    namespaces: tuple[NamespaceStatus, ...]
    open_transactions: tuple[OpenTransaction, ...] = ()
    """Those older than `NORMAL` in topics of these namespaces and among their groups' offsets."""
    wrong_settings: tuple[str, ...] = ()
    """Sentences about settings by which Kafka deletes records, or gives them another time."""


def status(
    clients: Clients,
    prefix: str,
    namespaces: Iterable[str],
    codec: AvroCodec,
    backlog: BacklogReader | None = None,
    accepted: Accepted = NOTHING,
) -> Status:
    """The status of these namespaces. Raises BrokerUnavailable or BrokerError.

    Whoever asks again and again gives a `backlog` that has read before. `accepted` as the setting `accepted_starts`.

    Whether a partition is blocked is decided by `codec` and the schemas topic: by the application as it is here, which may
    differ from the one that a worker runs.
    """
    admin = clients.admin()
    spaces = [topic_names(prefix, name) for name in namespaces]
    topics = describe(admin, [topic for space in spaces for topic in space[1:]])
    there = [space for space in spaces if all(topic in topics for topic in space[1:])]
    backlog = backlog or BacklogReader(clients)
    look = _StatusReader(clients, admin, {topic: info.partitions for topic, info in topics.items()})
    markers = look.markers([space.table for space in there])
    firsts = look.firsts(there, markers)
    aside, pending = backlog.read(admin, topics, [space.parked for space in there], [space.due for space in there])
    seen = _Findings(
        look.counts,
        markers,
        ends(admin, look.partitions(space.inbox for space in there)),
        stable_ends(admin, look.partitions(space.inbox for space in there)),
        firsts,
        aside,
        pending,
        owners(admin, prefix, [space.namespace for space in spaces]),
        ReportReader(clients, admin, prefix).read(),
        _waiting(firsts.values(), LearningCodec(codec, clients, prefix)),
        clients.clock.now(),
        look.deleted(there, accepted),
        {space.namespace: (*backlog.foreign(space.parked), *backlog.foreign(space.due)) for space in there},
    )
    found = [seen.namespace(space) if space in there else seen.incomplete(space) for space in spaces]
    held = open_transactions(clients, admin, look.partitions(it for space in there for it in space[1:]), older=NORMAL)
    workers = {it.name: it.application for it in found if it.partitions}
    held += among_offsets(clients, admin, prefix, workers, older=NORMAL)
    return Status(clients.address, prefix, tuple(found), tuple(held), wrong_settings(admin, prefix, topics, spaces))


@dataclass(frozen=True)
class _Findings:
    """What was read. `firsts` has the first record of each inbox partition that is not handled yet."""

    counts: Mapping[str, int]
    markers: Mapping[TopicAndPartition, marker.Marker]
    inbox_ends: Mapping[TopicAndPartition, int]
    stable_ends: Mapping[TopicAndPartition, int]
    firsts: Mapping[TopicAndPartition, Message]
    aside: Mapping[str, SetAside]
    pending: Mapping[str, Pending]
    owners: Mapping[TopicAndPartition, str]
    reports: Mapping[str, Report] | None
    waiting: Sequence[BlockedPartition]
    now: int
    deleted: Sequence[DeletedRecords]
    foreign: Mapping[str, tuple[str, ...]]

    def namespace(self, space: TopicNames) -> NamespaceStatus:
        numbers = range(self.counts[space.inbox])
        markers = [last for number in numbers if (last := self.markers.get((space.table, number))) is not None]
        counters = Counters()
        for last in markers:
            counters = counters.plus(last.counters)
        aside, pending = self.aside[space.parked], self.pending[space.due]
        imports: dict[str, ImportClock] = {}
        for name, clock in (named for last in markers for named in last.imports.items()):
            imports[name] = min(clock, imports.get(name, clock), key=lambda it: it.at)
        return NamespaceStatus(
            space.namespace,
            markers[0].application if markers else None,
            tuple(self._partition(space, number) for number in numbers),
            counters,
            aside.parked,
            aside.quarantined,
            tuple(each for each in self.waiting if each.topic == space.inbox),
            sum(last.calls for last in markers),
            sum(last.timers for last in markers),
            sum(marker.producers_replaced(markers).values()),
            ended=self._end(space),
            unanswered=aside.unanswered,
            parked_keys=aside.keys,
            parked_oldest=aside.oldest,
            timer_due=pending.live_due if imports else pending.timer_due,
            call_asked=pending.call_asked,
            imports=imports,
            generations=tuple(sorted({last.generation for last in markers})),
            deleted=tuple(it for it in self.deleted if it.topic in never_cut(space)),
            foreign=self.foreign[space.namespace],
        )

    def incomplete(self, space: TopicNames) -> NamespaceStatus:
        """The status of a namespace whose topics do not all exist."""
        missing = tuple(topic for topic in space[1:] if topic not in self.counts)
        if len(missing) == len(space[1:]):
            do = "Start a worker, or create them with `retold topics --create`"
        else:  # what exists holds records that topics made anew would not fit (rule 34)
            anew = after_recreation(space, *missing, missing=True)
            do = f"They were deleted, or something stopped while they were being made. {anew}"
        return NamespaceStatus(space.namespace, None, ended=self._end(space), missing=MissingTopics(missing, do))

    def _end(self, space: TopicNames) -> NamespaceEnd | None:
        held = [self.owners.get((space.inbox, number)) for number in range(self.counts.get(space.inbox, 0))]
        end = ended(self.reports, space.namespace, held)
        return None if end is None else NamespaceEnd(end.worker, end.since, end.why, end.trace, end.state == WAITS)

    def _partition(self, space: TopicNames, number: int) -> PartitionStatus:
        at = (space.inbox, number)
        last, first = self.markers.get((space.table, number)), self.firsts.get(at)
        end, owner = self.inbox_ends[at], self.owners.get(at)
        lag = end - (first.offset() or 0) if first is not None else max(0, end - self.stable_ends[at])
        position, sequence, recorded = (last.inbox_next, last.last, last.recorded) if last is not None else (0, 0, 0)
        state = state_of(self.reports, key_of(space.namespace, number), owner)
        oldest = None if first is None else max(0, first.timestamp()[1]) * 1000
        return PartitionStatus(
            number, owner, end, position, lag, sequence, recorded, *state,
            oldest=oldest, oldest_offset=None if first is None else first.offset(),
            copies=self._copies(space.namespace, number, owner),
        )  # fmt: skip

    def _copies(self, namespace: str, number: int, owner: str | None) -> tuple[CopyStatus, ...]:
        return tuple(
            CopyStatus(report.worker, it.ready, it.done, it.total, report.state == STANDBY)
            for report in copies_of(self.reports, namespace, self.now)
            for it in report.copies
            if it.partition == number and report.worker != owner
        )


@dataclass(frozen=True)
class _StatusReader:
    """Reads parts of many partitions at once. `counts` has the number of partitions of each topic that exists."""

    clients: Clients
    admin: Admin
    counts: Mapping[str, int]

    def partitions(self, topics: Iterable[str]) -> list[TopicAndPartition]:
        return [(topic, partition) for topic in topics for partition in range(self.counts[topic])]

    def markers(self, tables: Iterable[str]) -> dict[TopicAndPartition, marker.Marker]:
        return last_markers(self.clients, self.admin, self.partitions(tables))

    def deleted(self, spaces: Sequence[TopicNames], accepted: Accepted) -> list[DeletedRecords]:
        start = starts(self.admin, self.partitions(topic for space in spaces for topic in never_cut(space)))
        return [it for space in spaces for it in deleted_records(space, start, accepted)]

    def firsts(
        self, spaces: Sequence[TopicNames], markers: Mapping[TopicAndPartition, marker.Marker]
    ) -> dict[TopicAndPartition, Message]:
        """The first unhandled record of each inbox partition that has one."""
        tables = {space.inbox: space.table for space in spaces}
        partitions = self.partitions(tables)
        first, end = starts(self.admin, partitions), stable_ends(self.admin, partitions)
        begin = {}
        for topic, partition in partitions:
            last = markers.get((tables[topic], partition))
            start = max(first[topic, partition], last.inbox_next if last else 0)
            if start < end[topic, partition]:
                begin[topic, partition] = start
        return self._first_of(begin)

    def _first_of(self, begin: Mapping[TopicAndPartition, int]) -> dict[TopicAndPartition, Message]:
        """The first record from each position on; none where only Kafka's own records follow. Raises BrokerError."""
        if not begin:
            return {}
        consumer = self.clients.consumer("retold-status")
        try:
            messages = first_records(consumer, begin, clock=self.clients.clock, timeout=TIMEOUT)
            return {topic_partition_of(message): message for message in messages}
        finally:
            consumer.close()


def _waiting(firsts: Iterable[Message], learning: LearningCodec) -> list[BlockedPartition]:
    found = []
    for message in firsts:
        value = message.value() or b""
        try:
            if value[:1] == control.PREFIX:  # an `answer` command contains an event; other commands contain none
                value = control.read(message.key(), value).value
            learning.decode(value)
        except UnsupportedSchema as error:
            topic, partition = topic_partition_of(message)
            cause = blocking_cause(error)
            found.append(BlockedPartition(topic, partition, message.offset() or 0, error.schema_id, str(error), cause))
        except (InvalidEvent, UndecodableRecord):
            continue  # it will be quarantined, so it does not block
    return found
