"""Verifying what a cluster has of an application: read only, to the ends that its topics had at the beginning.

Workers may go on meanwhile. So the ends of the tables are taken first: whatever was committed there lies before the ends of the
other topics, which are taken after that, and include what open transactions hide. Those are waited for until they time out. What
lies in a log beyond its table is handled again too, but is not missed where it is not there as a whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import NamedTuple

from confluent_kafka import Message, murmur2

from streams.app import App
from streams.codec import AvroCodec
from streams.engine.marker import Marker
from streams.errors import BrokerError, TopicMismatch, UndecodableRecord
from streams.history.cut_past import moment_text
from streams.history.recorded_event import NamespacePartition
from streams.history.verification.verification import PartitionStart, Verification
from streams.history.verification.verification_digests import LogDigests, log_name, noted_logs, tell_unread
from streams.history.verification.verification_findings import VerificationReport
from streams.history.verification.verification_note import FORMAT, VerificationNote
from streams.history.verification.verification_records import StoredRecord
from streams.history.verification.verification_rows import TableRow
from streams.kafka.bounded_read import headers_of, polls, read_to
from streams.kafka.clients import Clients
from streams.kafka.deleted_records import NOTHING, Accepted, deleted_records
from streams.kafka.messages import StoredRow, parked_message, table_record, topic_partition_of
from streams.kafka.offsets import Offsets, TopicAndPartition, ends, held_up, stable_ends, starts
from streams.kafka.renewed_client import Admin
from streams.kafka.schemas_topic import add_schemas, all_schemas
from streams.kafka.tables_and_logs import OPEN_TRANSACTION
from streams.kafka.topics import TopicNames, describe, topic_names

AHEAD = 1_024
"""kB of a partition that are fetched ahead: what a log has is kept until its inbox is read as far, and the other way round."""
Progress = Callable[[int, int], None]
"""Called with how many offsets are read, and how many there are."""
Take = Callable[[NamespacePartition, Message], None]


class _Source(NamedTuple):
    """What is done with the records of a topic."""

    namespace: str
    take: Take


def verify_cluster(  # noqa: PLR0913 - the options of a command
    clients: Clients,
    prefix: str,
    app: App,
    codec: AvroCodec,
    *,
    window: int,
    progress: Progress = lambda _done, _total: None,
    patience: float = OPEN_TRANSACTION,
    since: VerificationNote | None = None,
    noting: bool = False,
    accepted: Accepted = NOTHING,
) -> VerificationReport:
    """Verify all namespaces of `app`. A transaction that is open for `patience` s is a finding.

    So is a table, due or parked topic whose first records were deleted, unless `accepted` has where it begins, and an inbox
    that begins behind where handling goes on.

    Where a log is not as the note `since` has it is a finding, too. The report has a note if `noting`.

    Adds published schemas to `codec`. Raises BrokerError, and TopicMismatch if topics are missing or do not fit together.
    """
    made = _ClusterVerification(clients, prefix, app, codec, window, progress, patience, accepted)
    made.tell_deleted(accepted)
    report = made.run(since, noting=noting)
    return report._replace(note=made.note(prefix, app.name)) if noting else report


@dataclass
class _Reading:
    """Partitions that one consumer reads, and how many of their offsets it has read."""

    partitions: Sequence[TopicAndPartition]
    polls: Iterator[list[Message]]
    total: int
    done: int = 0


class _ClusterVerification:
    def __init__(  # noqa: PLR0913 - the options of a command
        self, clients: Clients, prefix: str, app: App, codec: AvroCodec, window: int, progress: Progress, patience: float,
        accepted: Accepted,
    ) -> None:  # fmt: skip
        self._clients, self._progress, self._patience = clients, progress, patience
        self._admin: Admin = clients.admin("retold-verify")
        add_schemas(codec.add_schema, all_schemas(clients, prefix))
        self._names = [topic_names(prefix, space.name) for space in app.namespaces]
        self._generations = {space.name: space.generation for space in app.namespaces}
        self._counts = _partition_counts(self._admin, self._names)
        at = [(names.namespace, number) for names in self._names for number in range(self._counts[names.namespace])]
        self._tables = self._partitions(lambda names: names.table)
        self._due_topics = self._partitions(lambda names: names.due)
        self._parked_topics = self._partitions(lambda names: names.parked)
        self._logs = self._partitions(lambda names: names.log)
        self._inboxes = self._partitions(lambda names: names.inbox)
        everything = [*self._tables, *self._due_topics, *self._parked_topics, *self._logs, *self._inboxes]
        self._first = starts(self._admin, everything)
        self._last: Offsets = stable_ends(self._admin, self._tables)
        guessed = self._last | ends(self._admin, [each for each in everything if each not in self._last])
        self._done, self._total = 0, sum(guessed[each] - self._first[each] for each in everything)
        names_of = {names.namespace: names for names in self._names}
        begun = {}
        for each in at:
            log, inbox = ((topic, each[1]) for topic in (names_of[each[0]].log, names_of[each[0]].inbox))
            begun[each] = PartitionStart(self._first[log] == 0, self._first[inbox], accepted.get(inbox, 0))
        self._digests: dict[NamespacePartition, LogDigests] = {}
        self._verification = Verification(app, codec, begun, self._partition_of, window=window, digests=self._digests)
        self._sources = {
            topic: _Source(names.namespace, take)
            for names in self._names
            for topic, take in (
                (names.table, self._table), (names.parked, self._parked), (names.due, self._due), (names.log, self._log),
                (names.inbox, self._inbox),
            )
        }  # fmt: skip
        self._hidden: set[NamespacePartition] = set()

    def _partitions(self, topic: Callable[[TopicNames], str]) -> list[TopicAndPartition]:
        return [(topic(names), number) for names in self._names for number in range(self._counts[names.namespace])]

    def _partition_of(self, namespace: str, key: bytes) -> int:
        return int(murmur2(key, self._counts[namespace]))

    def run(self, since: VerificationNote | None, *, noting: bool) -> VerificationReport:
        if noting or since is not None:
            noted = {} if since is None else since.logs
            for log in self._logs:
                at = self._sources[log[0]].namespace, log[1]
                self._digests[at] = LogDigests(at, noted.get(log_name(at)), begins=self._first[log] == 0)
        # An event goes from due to parked to the log. So each end is asked for once what comes before is read: by then the
        # transactions are over that took something away there, and all that they wrote lies before the next end.
        self._read(self._tables)
        for partitions in (self._due_topics, self._parked_topics):
            self._last |= ends(self._admin, partitions)
            self._read(partitions)
        for partitions in (self._logs, self._inboxes):  # what is in a log was in its inbox before
            self._last |= ends(self._admin, partitions)
        self._read(self._logs, self._inboxes)
        now = ends(self._admin, self._tables)
        moved = {(self._sources[at[0]].namespace, at[1]) for at in self._tables if now[at] != self._last[at]}
        if moved:
            self._look_again()
        if since is not None:
            tell_unread(since, self._digests, self._verification.findings)
            for log, digests in self._digests.items():
                digests.compare(self._verification.findings, since.taken, hidden=log in self._hidden)
        return self._verification.report(moved, self._hidden)

    def tell_deleted(self, accepted: Accepted) -> None:
        for names in self._names:
            for it in deleted_records(names, self._first, accepted):
                self._verification.deleted((names.namespace, it.partition), it.topic, str(it))

    def note(self, prefix: str, application: str) -> VerificationNote:
        taken = moment_text(self._clients.clock.now() // 1_000_000 * 1_000_000)
        return VerificationNote(FORMAT, application, prefix, taken, noted_logs(self._digests))

    def _read(self, *groups: Sequence[TopicAndPartition]) -> None:
        """Hand over what lies before the ends; the groups are read side by side, each as far as the others."""
        before = self._done
        with ExitStack() as stack:
            left = [_Reading(group, self._polls(group, stack), sum(map(self._size, group)) or 1) for group in groups]
            while left:
                reading = min(left, key=lambda it: it.done / it.total)
                try:
                    messages = next(reading.polls, None)
                except BrokerError:
                    if not self._report_open(reading.partitions):
                        raise
                    messages = None
                if messages is None:
                    left.remove(reading)
                    continue
                self._take(messages)
                reading.done += len(messages)
                self._done += len(messages)
                self._progress(self._done, self._total)
        self._done = before + sum(self._size(at) for group in groups for at in group)  # transactions' own records are among them
        self._progress(self._done, self._total)

    def _size(self, at: TopicAndPartition) -> int:
        return self._last[at] - self._first[at]

    def _polls(self, partitions: Sequence[TopicAndPartition], stack: ExitStack) -> Iterator[list[Message]]:
        consumer = self._clients.consumer("retold-verify", ahead=AHEAD)
        stack.callback(consumer.close)
        spans = {each: (self._first[each], self._last[each]) for each in partitions}
        return polls(consumer, spans, clock=self._clients.clock, timeout=self._patience)

    def _take(self, messages: Sequence[Message]) -> None:
        for message in messages:
            at = topic_partition_of(message)
            if (message.offset() or 0) < self._last[at]:
                source = self._sources[at[0]]
                source.take((source.namespace, at[1]), message)

    def _look_again(self) -> None:
        """At what was due after it was read: an operator may have had a request called again that was parked before."""
        spans = {at: (self._last[at], end) for at, end in stable_ends(self._admin, self._due_topics).items()}
        consumer = self._clients.consumer("retold-verify")
        try:
            for message in read_to(consumer, spans, clock=self._clients.clock, timeout=self._patience):
                topic, partition = topic_partition_of(message)
                name = (message.key() or b"").decode(errors="replace")
                self._verification.due_again((self._sources[topic].namespace, partition), name)
        finally:
            consumer.close()

    def _report_open(self, partitions: Sequence[TopicAndPartition]) -> bool:
        """Report the open transactions that reading has waited for. False: there are none."""
        held = {at: it for at, it in held_up(self._admin, partitions).items() if it.offset < self._last[at]}
        for (topic, number), it in held.items():
            at = (self._sources[topic].namespace, number)
            self._hidden.add(at)
            self._verification.open_transaction(at, topic, it.offset, self._patience)
        return bool(held)

    def _table(self, at: NamespacePartition, message: Message) -> None:
        try:
            record = table_record(message)
        except UndecodableRecord as error:
            expected = f"a row or a marker at offset {message.offset()} of {message.topic()}"
            self._verification.unreadable(at, expected, str(error))
            return
        if isinstance(record, Marker):
            self._verification.marker(at, record)
        elif isinstance(record, StoredRow) and record.generation == self._generations[at[0]]:
            self._verification.row(at, record.key, TableRow(record.value, record.version, record.built))

    def _parked(self, at: NamespacePartition, message: Message) -> None:
        try:
            record = parked_message(message)
        except UndecodableRecord as error:
            expected = f"an event that is set aside at offset {message.offset()} of {message.topic()}"
            self._verification.unreadable(at, expected, str(error))
            return
        self._verification.parked(at, record.position, record.value, record.headers)

    def _due(self, at: NamespacePartition, message: Message) -> None:
        name = (message.key() or b"").decode(errors="replace")
        self._verification.due(at, name, message.value(), headers_of(message))

    def _log(self, at: NamespacePartition, message: Message) -> None:
        self._verification.log(at, _stored(message))

    def _inbox(self, at: NamespacePartition, message: Message) -> None:
        self._verification.inbox(at, _stored(message))


def _stored(message: Message) -> StoredRecord:
    return StoredRecord(message.offset() or 0, message.key(), message.value(), headers_of(message))


def _partition_counts(admin: Admin, spaces: Sequence[TopicNames]) -> Mapping[str, int]:
    """By namespace. Raises TopicMismatch."""
    found = describe(admin, [topic for names in spaces for topic in names[1:]])
    counts = {}
    for names in spaces:
        if missing := [topic for topic in names[1:] if topic not in found]:
            raise TopicMismatch(
                f"{', '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing, so {names.namespace} cannot be verified. "
                "`retold status` says what to do"
            )
        there = {topic: found[topic].partitions for topic in names[1:]}
        if len({*there.values()}) > 1:
            which = ", ".join(f"{topic} has {count}" for topic, count in there.items())
            raise TopicMismatch(
                f"the topics of {names.namespace} have different numbers of partitions: {which}. See `retold topics`"
            )
        counts[names.namespace] = there[names.table]
    return counts
