"""What an application in memory would have stored in Kafka, topic by topic and transaction by transaction, to be altered."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import NamedTuple, Self

from confluent_kafka import murmur2

from streams.app import App
from streams.codec import AvroCodec, codec_of
from streams.engine import marker
from streams.engine.changes import Changes, PendingCall, PendingTimer
from streams.engine.duplicates import DEFAULT_WINDOW
from streams.engine.envelope import VERSION_HEADER
from streams.engine.marker import Marker
from streams.engine.records import Counters, DuplicateRecord, QueuePosition
from streams.engine.stored import due_record, log_record, parked_record
from streams.history.verification.verification import PartitionStart, Verification
from streams.history.verification.verification_findings import VerificationReport
from streams.history.verification.verification_records import StoredRecord
from streams.history.verification.verification_rows import TableRow
from tests.applications import combined
from tests.support.partitions import Partitions
from tests.support.stored import Stored

Place = tuple[str, int]
LOG, TABLE, PARKED, DUE, INBOX = "log", "table", "parked", "due", "inbox"
MARKER = marker.KEY


class Where(NamedTuple):
    """A topic's partition."""

    kind: str
    place: Place


class StoredTopics:
    """`transactions` has for each what it wrote, as topic and index; offsets are indexes."""

    def __init__(self, app: App, partitions: int, partition_of: Callable[[bytes], int]) -> None:
        self.app, self.partitions, self._partition_of = app, partitions, partition_of
        self.topics: dict[Where, list[StoredRecord]] = defaultdict(list)
        self.transactions: list[list[tuple[Where, int]]] = []
        self.starts: dict[Place, PartitionStart] = {
            (space.name, number): PartitionStart() for space in app.namespaces for number in range(partitions)
        }
        self.moved: Collection[Place] = ()
        self.codec: AvroCodec | None = None
        self.read_last = (LOG, INBOX)

    @classmethod
    def of(cls, there: Partitions) -> Self:
        made = cls(there.app, there.count, there.partition_of)
        for place, published in there.published.items():
            for offset, key, value, headers, _ in published:
                made.topics[Where(INBOX, place)].append(StoredRecord(offset, key, value, list(headers or [])))
        pending: dict[Place, tuple[set[str], set[str]]] = defaultdict(lambda: (set(), set()))
        sequences: dict[Place, int] = defaultdict(int)
        counters: dict[Place, Counters] = defaultdict(Counters)
        for place, changes in there.changes:
            timers, calls = pending[place]
            timers |= {it.event_id for it in changes.due}
            calls |= set(changes.calls)
            timers -= set(changes.settled)
            calls -= set(changes.settled)
            counters[place] = counters[place].plus(changes.counters)
            repeated = [DuplicateRecord(it.offset, it.sequence, it.outcome) for it in changes.duplicates]
            said = Marker(
                first=sequences[place] + 1, last=changes.sequence, inbox_next=changes.inbox_next, recorded=changes.recorded,
                application=there.app.name, topic_ids={place[0]: place[0]}, partitions=there.count, transactional_id="t",
                counters=counters[place], duplicates=repeated,
                calls=len(calls), timers=len(timers),
            )  # fmt: skip
            sequences[place] = changes.sequence
            made._write(place, changes, said)
        return made

    def _write(self, place: Place, changes: Changes, said: Marker) -> None:
        self.transactions.append([])
        for handled in changes.log:
            self._put(LOG, place, *log_record(handled))
        self._put(TABLE, place, MARKER, marker.encode(said), [])
        for name, value in changes.row_bytes.items():
            self._put(TABLE, place, name.encode(), value, [(VERSION_HEADER, b"%d" % changes.rows[name][1])])
        for record in changes.set_aside:
            self._put(PARKED, place, *parked_record(record))
        for position in changes.unparked:
            self._put(PARKED, place, str(position).encode(), None, [])
        pendings: list[PendingTimer | PendingCall] = [*changes.due, *changes.calls.values()]
        for pending in pendings:
            self._put(DUE, place, *due_record(place[0], pending))
        for settled in changes.settled:
            self._put(DUE, place, settled.encode(), None, [])

    def _put(self, kind: str, place: Place, key: bytes, value: bytes | None, headers: list[tuple[str, bytes]]) -> None:
        topic = self.topics[Where(kind, place)]
        self.transactions[-1].append((Where(kind, place), len(topic)))
        topic.append(StoredRecord(len(topic), key, value, headers))

    def of_kind(self, kind: str) -> list[tuple[Where, int]]:
        """All records of a kind of topic."""
        return [(where, index) for where, topic in self.topics.items() if where.kind == kind for index in range(len(topic))]

    def verified(
        self, app: App | None = None, codec: AvroCodec | None = None, *, window: int = DEFAULT_WINDOW
    ) -> VerificationReport:
        """As the command does it: tables, what is parked and what is due first, then logs and inboxes."""
        app = app or self.app
        codec = codec or self.codec or codec_of(app)
        made = Verification(app, codec, self.starts, lambda _, key: self._partition_of(key), window=window)
        for where, topic in self.topics.items():
            for record in topic if where.kind not in (LOG, INBOX) else ():
                self._hand_before(made, where, record)
        for kind in self.read_last:
            take = made.log if kind == LOG else made.inbox
            for where, topic in self.topics.items():
                for record in topic if where.kind == kind else ():
                    take(where.place, record)
        return made.report(self.moved)

    def _hand_before(self, made: Verification, where: Where, record: StoredRecord) -> None:
        _, name, value, headers = record
        key = name or b""
        if where.kind == TABLE and key == MARKER:
            made.marker(where.place, marker.decode(value or b""))
        elif where.kind == TABLE:
            made.row(where.place, key.decode(), TableRow(value or b"", int(dict(headers)[VERSION_HEADER])))
        elif where.kind == PARKED:
            offset, _, timer = key.decode().partition("-")
            made.parked(where.place, QueuePosition(int(offset), int(timer or 0)), value, headers)
        elif where.kind == DUE:
            made.due(where.place, key.decode(), value, headers)

    def name(self, where: Where, index: int) -> str:
        """Of a log record: as it is written, such as `user-3:7`."""
        key = self.topics[where][index].key
        assert key is not None
        return f"{where.place[0]}-{where.place[1]}:{key.rpartition(b'@')[2].decode()}"


def places(report: VerificationReport) -> Mapping[str, list[str]]:
    """What was found, by where."""
    found: dict[str, list[str]] = defaultdict(list)
    for it in report.findings:
        found[it.where].append(it.kind.name)
    return found


def kept_topics(file: Path) -> StoredTopics:
    """What a worker of an earlier commit stored."""
    kept, app = Stored.read(file), combined.app()
    counts = {topic: int(number) + 1 for topic, _, number in sorted(name.rpartition("-") for name in kept.ends)}
    made = StoredTopics(app, max(counts.values()), lambda key: int(murmur2(key, max(counts.values()))))
    kinds = {f"{space.name}{suffix}": (kind, space.name) for space in app.namespaces for kind, suffix in SUFFIXES.items()}
    for record in kept.records:
        if record.name in kinds:
            kind, namespace = kinds[record.name]
            where = Where(kind, (namespace, record.place))
            made.topics[where].append(StoredRecord(record.at, record.stored_key, record.stored_value, record.stored_headers))
    made.codec = codec_of(app)
    for record in kept.of("retold-schemas", 0):
        made.codec.add_schema(json.loads(record.stored_value or b"")["schema"])
    return made


SUFFIXES = {INBOX: "", LOG: "-log", TABLE: "-table", PARKED: "-parked", DUE: "-due"}
