"""The read model as those see it who answer: the file, read at any moment, and what the follower told of itself.

One thread hands over what the follower tells (`take`); all others read. Positions are those of the file when it last told of
something new, so what is looked up after them in the file is never behind them.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import msgspec
from confluent_kafka import murmur2

from streams.app import App
from streams.codec import AvroCodec
from streams.data import namespace_of
from streams.engine.marker import Marker
from streams.history.recorded_event import NamespacePartition
from streams.kafka.messages import LogEvent, kept_marker
from streams.server.readmodel.change_log import change_places
from streams.server.readmodel.commit_times import CommitTimes
from streams.server.readmodel.corrected_note import uncorrected
from streams.server.readmodel.follower_report import FollowerReport
from streams.server.readmodel.follower_state import STARTING
from streams.server.readmodel.kept_records import events_of_records
from streams.server.readmodel.key_uses import KeyUse
from streams.server.readmodel.known_outcome import KnownOutcome
from streams.server.readmodel.lag_ages import LagAges
from streams.server.readmodel.notifier import Notifier
from streams.server.readmodel.outcome_lookup import key_use, outcome_at
from streams.server.readmodel.row_columns import columns_of
from streams.server.readmodel.row_json import RowDecoder
from streams.server.readmodel.store_moment import FoundRow, StoreMoment
from streams.server.readmodel.store_readers import StoreAway, StoreReaders
from streams.server.readmodel.store_schema import projection_table, row_table
from streams.server.readmodel.unbuilt_tables import unbuilt_tables
from streams.server.readmodel.watched_reports import FAULT

POSITIONS = "select kind, ns, part, seq, marker from position where kind in ('table', 'log')"
LEFT_OUT_TO = "select seq from left_out_log where ns = ? and part = ?"
NOTHING: Mapping[str, str] = MappingProxyType({})
TOLD = {**dict.fromkeys(("faults", "stopped", "rebuilding", "held"), dict), **dict.fromkeys(("reshaped", "missing"), frozenset)}
"""What is as the follower tells it, and how it is kept."""


class RemadeTables(NamedTuple):
    """What is made again: how many percent are done, and where those stand still into which nothing is folded.

    `uncorrected` are projections that are not known to be as the corrections of the past make them, and why.
    """

    rebuilding: Mapping[str, int]
    held: Mapping[str, Mapping[str, int]]
    uncorrected: Mapping[str, str] = NOTHING


class ReadModel:
    """`waits` is a sentence on why the model cannot answer yet, `behind` on why what it answers may be old; None: it is not.

    All that reads the file raises StoreAway if there is none, and sqlite3.Error.
    """

    def __init__(self, app: App, codec: AvroCodec) -> None:
        self.app, self._codec = app, codec
        self.notifier = Notifier()
        self.waits: str | None = STARTING
        self.behind: str | None = STARTING
        self.faults: dict[str, str] = {}
        """Present faults, as sentences, by what they are about."""
        self.stuck: dict[NamespacePartition, str] = {}
        """The reasons of stuck logs: what needs all of their events cannot be answered."""
        self.stopped: dict[str, str] = {}
        """The reasons of stopped projections, by name."""
        self.rebuilding: Mapping[str, int] = {}
        self.reshaped: Collection[str] = frozenset()
        self.missing: Collection[str] = frozenset()
        self.held: Mapping[str, Mapping[str, int]] = {}
        """As in FollowerReport."""
        self.unbuilt: Mapping[str, str] = NOTHING
        """Namespaces whose rows are of a generation that is not there, with a sentence."""
        self.file: Path | None = None
        """The file that is read; None: there is none yet."""
        self.counts: dict[str, int] = {}
        self.lags: dict[tuple[str, str, int], int] = {}
        self.commits, self.lag_ages = CommitTimes(), LagAges()
        self.markers: Mapping[NamespacePartition, Marker] = {}
        self._logged: Mapping[NamespacePartition, int] = {}
        self.changes: Mapping[str, str] = {}
        """By table in the file the place of its last change. Another mapping after each commit."""
        self._uncorrected: Mapping[str, str] = NOTHING
        self._blobs: dict[NamespacePartition, bytes] = {}
        self.readers = StoreReaders()
        self._refreshing = threading.Lock()
        tables = {space.name: row_table(space.name) for space in app.namespaces}
        self.tables = tables
        """The names of tables in the file, by namespace."""
        self.projected = {it.name: projection_table(it.name) for it in app.projections}
        self.folded_by = {it.name: sorted({namespace_of(data.event_type) for data in it.folds_by}) for it in app.projections}
        """The namespaces whose events a projection folds."""
        types = {space.name: space.row_type for space in app.namespaces} | {it.name: it.row_type for it in app.projections}
        self.row_types = types
        self.columns = {name: columns_of(of) for name, of in types.items()}
        self.decoders = {name: RowDecoder(of, codec) for name, of in types.items()}

    def take(self, report: FollowerReport) -> None:
        """What the follower tells. Whoever waits for something looks again."""
        if report.file is not msgspec.UNSET:
            self._begin(report.file, report.partitions or {})
        if report.committed or report.file is not msgspec.UNSET:  # before it is told that the rows before are not answered any more
            self.unbuilt = unbuilt_tables(self.readers, self.app)
        for name, kind in TOLD.items():
            if (told := getattr(report, name)) is not msgspec.UNSET:
                setattr(self, name, kind(told))
        if report.stuck is not msgspec.UNSET:
            self.stuck = {(namespace, part): why for namespace, part, why in report.stuck}
        self._measured(report)
        if report.committed:
            self.refresh()
        if report.behind is not msgspec.UNSET:
            self.behind = report.behind
        if report.waits is not msgspec.UNSET:
            self.waits = report.waits
        self.notifier.notify()

    def _measured(self, report: FollowerReport) -> None:
        for kind, namespace, part, lag, since in report.lags:
            self.lags[kind, namespace, part] = lag
            self.lag_ages.told((kind, namespace, part), since)
        if report.before is not None:
            self.commits.begin_with(report.before)
        self.commits.take(report.commit, report.store_errors)

    @property
    def remade(self) -> RemadeTables:
        """What is made again now."""
        return RemadeTables(self.rebuilding, self.held, self._uncorrected)

    def fault(self, what: str, why: str) -> None:
        """Something is wrong with the follower itself."""
        self.faults = {**self.faults, what: why}
        self.behind = why
        self.notifier.notify()

    def _begin(self, file: str, counts: Mapping[str, int]) -> None:
        """There is another file."""
        self.waits = STARTING
        self.counts, self.lags, self.lag_ages = dict(counts), {}, LagAges()
        self.faults, self.stuck, self.stopped = {}, {}, {}
        self.rebuilding, self.reshaped, self.missing, self.held = {}, frozenset(), frozenset(), {}
        self.file = Path(file)
        self.readers.open(file)
        self._blobs = {}
        self.refresh()

    def refresh(self) -> None:
        """Read the positions again."""
        with self._refreshing, self.readers.borrow() as db:
            found = db.execute(POSITIONS).fetchall()
            markers = dict(self.markers) if self._blobs else {}
            for kind, namespace, part, _, blob in found:
                if kind == "table" and blob is not None and self._blobs.get((namespace, part)) != blob:
                    self._blobs[namespace, part], markers[namespace, part] = blob, kept_marker(blob)
            self.markers = markers
            self._logged = {(ns, part): seq for kind, ns, part, seq, _ in found if kind == "log"}
            self._uncorrected, self.changes = uncorrected(db), change_places(db)

    def partitions(self, namespaces: Iterable[str] | None = None) -> list[NamespacePartition]:
        chosen = self.counts if namespaces is None else namespaces
        return [(name, number) for name in chosen for number in range(self.counts.get(name, 0))]

    def partition_of(self, namespace: str, key: str) -> NamespacePartition:
        return namespace, int(murmur2(key.encode("utf-8", "surrogatepass"), self.counts[namespace]))

    def table_position(self, partition: NamespacePartition) -> int:
        """The last sequence whose row is in the table."""
        last = self.markers.get(partition)
        return 0 if last is None else last.last

    def log_position(self, partition: NamespacePartition) -> int:
        """The last sequence that is folded into projections and visible in streams."""
        return self._logged.get(partition, 0)

    def lag(self, kinds: Iterable[str], partitions: Sequence[NamespacePartition]) -> int | None:
        """Records of these tables or logs that are committed and not read here yet, as last measured; None: nobody knows."""
        found = [self.lags.get((kind, *partition)) for kind in kinds for partition in partitions]
        return None if FAULT in self.faults or (self.behind is not None and None in found) else sum(filter(None, found))

    @contextmanager
    def moment(self) -> Iterator[StoreMoment]:
        """All that is asked of it is of one moment. To be held for a short time."""
        with self.readers.borrow() as db:
            yield StoreMoment(db)

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A connection in a read transaction, for what asks the recorded past. To be held for a short time."""
        with self.readers.borrow() as db:
            db.execute("begin")
            yield db

    def sizes(self, *names: str) -> dict[str, int]:
        """How many rows these tables and projections have, or all, as far as it is known. Counting takes long: for threads."""
        try:
            with self.moment() as moment:
                there = {name: it for name, it in (self.tables | self.projected).items() if name not in self.unbuilt}
                counted = {name: it for name, it in there.items() if not names or name in names}
                return {name: moment.count(it, whole=name in self.projected) for name, it in counted.items()}
        except (StoreAway, sqlite3.Error):
            return {}

    def unreadable(self, limit: int) -> dict[str, dict[str, str]]:
        """Reasons by key of rows that cannot be read here, by table."""
        try:
            with self.moment() as moment:
                found = {name: dict(moment.unreadable(table, limit)[1]) for name, table in self.tables.items()}
        except (StoreAway, sqlite3.Error):
            return {}
        return {name: reasons for name, reasons in found.items() if reasons}

    def row(self, table: str, key: str) -> FoundRow | None:
        """One row of a table or projection: one look-up, so a task of the event loop may ask."""
        with self.readers.borrow() as db:
            text = f"select version, body, problem from {table} where key = ?"
            found = db.execute(text, (key,)).fetchone() if _is_text(key) else None
        return None if found is None else FoundRow(*found)

    def became(self, partition: NamespacePartition, offset: int) -> KnownOutcome | None:
        """The outcome of an inbox record, once its row is here too (rule 25); None if it is not known here."""
        last = self.markers.get(partition)
        if last is None or last.inbox_next <= offset:
            return None
        with self.readers.borrow() as db:
            return outcome_at(db, (*partition, offset))

    def sent(self, event_id: str) -> KeyUse | None:
        """The use of an Idempotency-Key, by its event's id, as far as it is known here."""
        with self.readers.borrow() as db:
            return key_use(db, self._codec, event_id)

    def left_out(self, partitions: Iterable[NamespacePartition]) -> dict[NamespacePartition, int]:
        """By partition the last sequence of which the event is not kept, since it is too old."""
        with self.readers.borrow() as db:
            found = {at: db.execute(LEFT_OUT_TO, at).fetchone() for at in partitions}
        return {at: row[0] for at, row in found.items() if row is not None}

    def events(self, partition: NamespacePartition, after: int, limit: int, key: str | None = None) -> list[LogEvent]:
        """At most `limit` events after the sequence `after`, of one key or of all.

        Raises UnsupportedSchema for one that cannot be read with the code of this process.
        """
        only, values = ("", ()) if key is None else (" and key = ?", (key,))
        text = f"select seq, key, value, headers from record where ns = ? and part = ? and seq > ?{only} order by seq limit ?"
        with self.readers.borrow() as db:
            found = db.execute(text, (*partition, after, *values, limit)).fetchall()
            return events_of_records(db, self._codec, partition, found)


def _is_text(key: str) -> bool:
    """Whether it is UTF-8: an address may hold half of a surrogate pair, which no key has."""
    try:
        key.encode()
    except UnicodeEncodeError:
        return False
    return True
