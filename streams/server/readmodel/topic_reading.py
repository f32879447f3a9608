"""Reads all topics with one consumer into the file, a transaction for each poll."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from functools import partial

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from streams.engine.envelope import log_header
from streams.errors import BrokerError, StreamsError
from streams.history.recorded_event import NamespacePartition
from streams.kafka.bounded_read import headers_of
from streams.kafka.offsets import TopicAndPartition
from streams.kafka.schemas_topic import LearningCodec
from streams.kafka.topics import TopicNames
from streams.server.readmodel import commit_pace
from streams.server.readmodel.commit_pace import CommitPace
from streams.server.readmodel.follower_state import FollowerState
from streams.server.readmodel.log_follower import LogFollower
from streams.server.readmodel.reread_tables import RereadTables
from streams.server.readmodel.row_writer import UnreadableRow
from streams.server.readmodel.store import Store, StoreDoubt
from streams.server.readmodel.store_writer import StoreWriter
from streams.server.readmodel.table_follower import TableFollower, read_row

log = logging.getLogger("retold.server")
KINDS = ("table", "log", "parked", "due")
BROKER_EVERY, BROKER_TIMEOUT = 5.0, 3.0
STUCK_EVERY = 5.0
WAIT = 0.1
"""s that a step waits for something to arrive."""


class TopicReading:
    """`ends` must be reached before the file is up to date."""

    def __init__(
        self,
        consumer: Consumer,
        spaces: Sequence[TopicNames],
        store: Store,
        writer: StoreWriter,
        learning: LearningCodec,
        state: FollowerState,
        ends: dict[TopicAndPartition, int],
    ) -> None:
        self._consumer, self._store, self._writer, self._state, self._ends = consumer, store, writer, state, ends
        self._kinds = {getattr(space, kind): (kind, space.namespace) for space in spaces for kind in KINDS}
        partitions = [(name, number) for name, count in store.partitions.items() for number in range(count)]
        self._logs = LogFollower(writer, learning, partitions)
        self._tables = {at: _table_follower(store, writer, at, learning) for at in partitions}
        self._left, self._paused = set(ends), set[TopicAndPartition]()
        self._log_ends: dict[NamespacePartition, int] = {}
        """Of logs that were read to their end, until all before that is in the file."""
        self._stuck: dict[TopicAndPartition, int] = {}
        """The offsets at which partitions are stuck, until their record can be read."""
        state.forget_stuck(but=partitions)
        self._held: set[TopicAndPartition] = set()
        """The stuck partitions that are paused until their next retry."""
        self._asked = self._retried = time.monotonic()
        self._pace_of_commits = CommitPace()
        tables = {name: _needed(name, ends, self._kinds, store.new_namespaces) for name in store.row_types}
        self._reread = RereadTables(store, writer, state, {topic: kind for topic, (kind, _) in self._kinds.items()}, tables, ends)
        self._takers: dict[TopicAndPartition, Callable[[Message], None]] = {at: self._taker(at) for at in ends}
        _read_unreadable(store, writer, learning)

    def offset_of(self, at: TopicAndPartition, begin: int) -> int:
        """Where to read a partition from, which begins at `begin`. Raises StoreDoubt if the file does not go on there."""
        kind, namespace = self._kinds[at[0]]
        known, end = self._writer.positions.get((kind, namespace, at[1])), self._ends[at]
        offset = begin if known is None else known.next_offset
        self._reread.begins[at] = begin
        if kind == "log" and (namespace, at[1]) in self._state.stuck:  # as another reading has told: until something is read
            self._stuck[at] = offset
        if not begin <= offset <= end:
            raise StoreDoubt(f"it ends at offset {offset} of {at[0]}-{at[1]}, which has {begin} to {end} now")
        self._state.measured((kind, namespace, at[1]), offset, end)
        if offset == end:
            self._reached(at)
        return offset

    def step(self, busy: bool = False) -> None:
        """Take and write what has arrived. `busy`: something else is to be done, so nothing is waited for."""
        pause = partial(self._pace_of_commits.pause, self._writer.has_changes)
        messages = _arrived(self._consumer, 0.0 if busy else WAIT, pause)
        touched = set[TopicAndPartition]()
        for message in messages:
            if message.error() is None:
                at = message.topic() or "", message.partition() or 0
                self._takers[at](message)
                touched.add(at)
            else:
                self._on_error(message)
        self._logs.flush()
        self._note_ends()
        self._measure(touched)
        self._pace()
        took = self._commit(len(messages))
        exchanged = bool(self._store.reread) and self._reread.exchange(self._left)
        if not self._left and not self._writer.has_changes and self._state.behind is not None:
            self._store.completed()
            self._state.waits, self._state.behind = None, self._state.folding
        self._state.stopped = {name: it.fault for name, it in self._writer.projections.items() if it.fault is not None}
        self._look_after()
        if took is not None or not self._writer.has_changes:  # else the file is not as far as was measured
            self._state.tell(committed=took is not None or exchanged, commit=took)

    def _commit(self, arrived: int) -> float | None:
        """How long a transaction took (s); None: there was none, since nothing was given, or more is collected."""
        more = bool(self._left) and not self._store.is_complete
        if not self._writer.has_changes or not self._pace_of_commits.is_due(arrived, more):
            return None
        began = time.monotonic()
        self._writer.commit()
        self._pace_of_commits.begin_anew()
        return time.monotonic() - began

    def _taker(self, at: TopicAndPartition) -> Callable[[Message], None]:
        """What handles the records of a topic's partition."""
        store, (kind, namespace) = self._store, self._kinds[at[0]]
        partition, logs = (namespace, at[1]), self._logs
        if kind == "table":
            return partial(self._take, at, partial(_take_row, store, self._tables[partition], namespace))
        if kind == "log" and namespace in store.new_namespaces:
            return partial(self._take, at, partial(_take_first, logs, partition, store.frontier))
        takes = {"log": logs.take, "parked": logs.take_parked, "due": logs.take_due}
        return partial(self._take, at, partial(takes[kind], partition))

    def _on_error(self, message: Message) -> None:
        """Raises BrokerError."""
        at, error = (message.topic() or "", message.partition() or 0), message.error()
        assert error is not None, "asked before"
        if error.code() == KafkaError._PARTITION_EOF:
            self._at_end(at, message.offset() or 0)
        elif not error.retriable():
            raise BrokerError(f"following {at[0]} failed: {error.str()}")

    def _take(self, at: TopicAndPartition, take: Callable[[Message], None], message: Message) -> None:
        """Stops this partition at a record that does not read: what others have is followed on."""
        if at in self._held:
            return
        try:
            take(message)
        except StreamsError as error:
            self._get_stuck(at, message.offset() or 0, error)
        else:
            if self._stuck and self._stuck.pop(at, None) is not None:  # it can be read now
                self._state.goes_on((*self._kinds[at[0]], at[1]))

    def _at_end(self, at: TopicAndPartition, offset: int) -> None:
        kind, namespace = self._kinds[at[0]]
        partition = namespace, at[1]
        if at in self._stuck and at not in self._held:  # what could not be read is not there any more
            del self._stuck[at]
            self._state.goes_on((kind, *partition))
        if at not in self._stuck:
            if kind == "table":
                self._tables[partition].flush()
            self._state.measured((kind, *partition), offset, offset)
            if kind == "log":
                self._log_ends[partition] = offset
            else:
                self._writer.reached((kind, *partition), offset)
        if at in self._left and offset >= self._ends[at]:
            self._reached(at)

    def _note_ends(self) -> None:
        """Logs are read beyond their last record: what follows it, such as the end of its transaction, is no record."""
        for partition, offset in [*self._log_ends.items()]:
            if not self._logs.merge.waiting(partition):
                read = self._writer.positions.get(("log", *partition))
                if read is None or read.next_offset < offset:
                    self._writer.reached(("log", *partition), offset)
                del self._log_ends[partition]

    def _reached(self, at: TopicAndPartition) -> None:
        self._left.discard(at)
        kind, namespace = self._kinds[at[0]]
        if kind == "log":
            self._logs.merge.ended((namespace, at[1]))

    def _measure(self, touched: set[TopicAndPartition]) -> None:
        """Update lags, by the last stable offset that the broker sends with records.

        No transaction crosses that offset, so a reader at it has read whole transactions. This is known at once, while an
        end of partition is reported only after an empty fetch.
        """
        for topic, partition in touched:
            here, (kind, namespace) = TopicPartition(topic, partition), self._kinds[topic]
            [position] = self._consumer.position([here])
            _, end = self._consumer.get_watermark_offsets(here, cached=True)
            read = self._stuck.get((topic, partition), position.offset)
            self._state.measured((kind, namespace, partition), read, end)
            if kind == "table" and read == end:
                self._tables[namespace, partition].flush()

    def _pace(self) -> None:
        """Pause logs that are far ahead while logs are merged."""
        for at in [at for at in self._ends if self._kinds[at[0]][0] == "log"]:
            partition = self._kinds[at[0]][1], at[1]
            if at in self._paused and self._logs.merge.low(partition):
                self._paused.discard(at)
                self._consumer.resume([TopicPartition(*at)])
            elif at not in self._paused and self._logs.merge.full(partition):
                self._paused.add(at)
                self._consumer.pause([TopicPartition(*at)])

    def _get_stuck(self, at: TopicAndPartition, offset: int, error: StreamsError) -> None:
        """Pause a partition at a record that cannot be read: skipping it would make what follows silently wrong."""
        why = f"{at[0]}-{at[1]} is not read beyond offset {offset}: {error}"
        self._stuck[at] = offset
        self._held.add(at)
        self._state.got_stuck((*self._kinds[at[0]], at[1]), why)
        log.warning("%s", why)
        self._consumer.pause([TopicPartition(*at)])
        self._reached(at)

    def _look_after(self) -> None:
        """Check the broker now and then, and retry stuck partitions."""
        now = time.monotonic()
        if now - self._asked >= BROKER_EVERY:
            self._asked = now
            _ask_broker(self._consumer, next(iter(self._kinds)), self._state.faults)
        if self._held and now - self._retried >= STUCK_EVERY:
            self._retried, held, self._held = now, self._held, set()
            for at in held:
                self._consumer.resume([TopicPartition(*at)])
                self._consumer.seek(TopicPartition(*at, self._stuck[at]))


def _arrived(consumer: Consumer, wait: float, pause: Callable[[], float]) -> list[Message]:
    """What arrives in `pause()` s after the first record, for which it waits `wait` s."""
    first = consumer.poll(wait)  # `consume` alone would wait for a full batch
    return [] if first is None else [first, *consumer.consume(commit_pace.BATCH, pause())]


def _ask_broker(consumer: Consumer, topic: str, faults: dict[str, str]) -> None:
    try:
        consumer.list_topics(topic, timeout=BROKER_TIMEOUT)
        faults.pop("broker", None)
    except KafkaException as error:
        faults["broker"] = f"the broker does not answer: {error.args[0].str()}"


def _needed(
    namespace: str, ends: Iterable[TopicAndPartition], kinds: Mapping[str, tuple[str, str]], new: Set[str]
) -> Sequence[TopicAndPartition]:
    """What must be read before the rows of a namespace are whole: of a new one, all."""
    wanted = KINDS if namespace in new else ("table",)
    return [at for at in ends if kinds[at[0]][1] == namespace and kinds[at[0]][0] in wanted]


def _take_row(store: Store, table: TableFollower, namespace: str, message: Message) -> None:
    table.take(message, past=not store.is_complete or namespace in store.reread)


def _take_first(logs: LogFollower, partition: NamespacePartition, frontier: int, message: Message) -> None:
    _refuse_older(message, partition, frontier)
    logs.take(partition, message)


def _refuse_older(message: Message, partition: NamespacePartition, frontier: int) -> None:
    """Raises StoreDoubt for a record from before the frontier: what was told as of then did not know it."""
    if message.value() is not None and log_header(headers_of(message)).recorded <= frontier:
        raise StoreDoubt(f"{partition[0]} is new here, and has a past: all logs are to be read in one order")


def _read_unreadable(store: Store, writer: StoreWriter, learning: LearningCodec) -> None:
    """Rows that were not read may be by now: their schema has come."""
    for namespace, key, part, version, raw in writer.unreadable():
        row = read_row(learning, store.row_types[namespace], raw)
        if type(row) is not UnreadableRow:
            writer.put_row(namespace, part, key, version, row, raw)


def _table_follower(store: Store, writer: StoreWriter, at: NamespacePartition, learning: LearningCodec) -> TableFollower:
    return TableFollower(writer, at, store.row_types[at[0]], learning, writer.generations[at[0]])
