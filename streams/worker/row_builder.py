"""Builds the rows of another generation beside the live ones: it folds the log, and stops for what the code decides otherwise.

It acts on nothing: no event, no timer, no gateway. Workers neither wait for it nor write to its rows; those of the new code fold
what it has not (`streams/worker/generation_restore.py`). It may be killed at any point, and begun again: it goes on where it stood.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from itertools import groupby
from typing import NamedTuple

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from streams.engine.engine import Engine
from streams.engine.envelope import version_header
from streams.engine.fold import NOTHING_CORRECTED, CorrectedRows, RowFold
from streams.engine.generations import BuiltTo, built_key, built_to_key, complete_to, encode_built_to
from streams.engine.marker import Marker
from streams.engine.readable import named
from streams.errors import BrokerError, CodeChanged, RowsNotBuilt
from streams.kafka.bounded_read import headers_of, polls
from streams.kafka.cancellable_steps import Cancelled, Steps
from streams.kafka.messages import table_record
from streams.kafka.offsets import Offsets, ends, starts
from streams.kafka.producer import UNFINISHED, ProducerLost, TransactionAborted, TransactionalProducer
from streams.kafka.renewed_client import Admin
from streams.kafka.topics import TopicNames
from streams.worker.image_reader import ImageReader

RECORDS, IDLE, AGAIN = 1_000, 0.2, 0.5
"""Records that are taken at once; s until the next look if there were fewer; s after a transaction that was aborted."""
REFUSED, ABORTED = 2, 20
"""Transactions in a row that are aborted for the size of a record, or for anything else, after which the build ends."""



class Accepted(NamedTuple):
    """The names of events that may be decided otherwise, and the keys of rows in which one is: what follows there may be, too."""

    events: Collection[str] = ()
    keys: Collection[str] = ()


NOTHING_ACCEPTED = Accepted()


class BuildState(NamedTuple):
    """Of one partition. `sequence` is the last event that its rows have; `done` of `total` offsets of its log were read."""

    partition: int
    sequence: int
    done: int
    total: int
    rows: int
    switched: bool


@dataclass(frozen=True)
class BuilderParts:
    """Of one namespace with so many `partitions`. `code` is a digest of the code that builds.

    `corrected` has by partition the rows that corrections reach, the last of which has the number `corrections`. `consumer` makes a
    read_committed one without a group that reports ends of partitions.
    """

    engine: Engine
    names: TopicNames
    partitions: int
    consumer: Callable[[], Consumer]
    admin: Admin
    producer: TransactionalProducer
    code: str
    accepted: Accepted = NOTHING_ACCEPTED
    corrected: Mapping[int, CorrectedRows] = field(default_factory=dict)
    corrections: int = 0


@dataclass(eq=False)
class PartitionBuild:
    """`offset` is that of the next record of its log. `marker` is the last one: None, as long as nothing was handled."""

    partition: int
    fold: RowFold
    offset: int
    marker: Marker | None
    end: int = 0
    is_new: bool = False
    """Whether more was folded than was written, or it has come to the end of the log for the first time."""
    at_end: bool = False
    whole: bool = False
    """Whether it was at the end of the log before, also as it was begun earlier."""

    def is_over(self, generation: int) -> bool:
        """Whether there is nothing to be built: a worker keeps these rows, or nothing was handled."""
        return self.marker is None or self.marker.generation == generation


class RowBuilder:
    """Used by one thread; `states` may be asked for by any."""

    def __init__(self, parts: BuilderParts) -> None:
        self._parts, self._generation = parts, parts.engine.generation
        self._builds: dict[int, PartitionBuild] = {}
        self._otherwise = set(parts.accepted.keys)
        """Rows without an event that is accepted to be decided otherwise: one behind it may follow from that."""

    def states(self) -> list[BuildState]:
        return [
            BuildState(it.partition, it.fold.sequence, it.offset, it.end, len(it.fold.rows), it.is_over(self._generation))
            for it in list(self._builds.values())
        ]

    @property
    def is_over(self) -> bool:
        """Whether workers keep this generation in all partitions."""
        return bool(self._builds) and all(it.is_over(self._generation) for it in self._builds.values())

    @property
    def has_caught_up(self) -> bool:
        return bool(self._builds) and all(
            (it.at_end and not it.is_new) or it.is_over(self._generation) for it in self._builds.values()
        )

    def follow(self, cancelled: Cancelled) -> Steps[None]:
        """Build, and follow the log until workers keep this generation, or it is cancelled.

        Raises CodeChanged for an event that is decided otherwise and not accepted; RowsNotBuilt if it was begun by other code, or
        another builder has begun; HistoryError if events are missing; BrokerError.
        """
        producer = self._parts.producer
        try:
            producer.ready()  # a builder that was there before writes nothing any more
            yield 0.0
            positions = yield from self._begin(cancelled)
            with closing(self._parts.consumer()) as consumer:
                consumer.assign([TopicPartition(*at, offset) for at, offset in positions.items()])
                while not self.is_over and not cancelled():
                    yield from self._go_on(consumer.consume(RECORDS, 0.0))
        except KafkaException as error:
            raise BrokerError(f"rows cannot be built: {error.args[0].str()}") from error
        finally:
            producer.close()

    def _begin(self, cancelled: Cancelled) -> Steps[Offsets]:
        """Read what the table has; returns from where table and log are followed."""
        parts, names = self._parts, self._parts.names
        tables = [(names.table, number) for number in range(parts.partitions)]
        logs = [(names.log, number) for number in range(parts.partitions)]
        first = starts(parts.admin, [*tables, *logs], cancelled=cancelled)
        last = ends(parts.admin, [*tables, *logs], cancelled=cancelled)
        readings = {number: ImageReader(parts.engine, number) for number in range(parts.partitions)}
        with closing(parts.consumer()) as consumer:
            spans = {at: (first[at], last[at]) for at in tables}
            for messages in polls(consumer, spans, cancelled=cancelled, clock=parts.admin.clock):
                for number, some in groupby(messages, lambda it: it.partition() or 0):
                    readings[number].take_rows(some)
                yield 0.0
        for number, reading in readings.items():
            self._builds[number] = self._build(reading, first[names.log, number], last[names.log, number])
        return {at: last[at] for at in tables} | {at: self._builds[at[1]].offset for at in logs}

    def _build(self, reading: ImageReader, first: int, end: int) -> PartitionBuild:
        built, last, number = reading.built, reading.marker, reading.partition
        sequence = complete_to({} if last is None else last.complete, built, self._generation)
        # Of rows as workers have left them: each event has an offset of its own, so the next one is not before its sequence.
        offset = max(first, built.offset if built is not None and built.sequence == sequence else sequence)
        corrected = self._parts.corrected.get(number, NOTHING_CORRECTED)
        fold = RowFold(self._parts.engine, number, reading.rows, sequence, corrected=corrected)
        it = PartitionBuild(number, fold, offset, last, end)
        if built is not None and built.code != self._parts.code and not it.is_over(self._generation):
            raise RowsNotBuilt(
                f"rows of generation {self._generation} of {self._parts.engine.namespace} were built by other code than is "
                f"here. Give this code the generation {self._generation + 1}, so that no row is made by both"
            )
        it.is_new = built is None or bool(it.fold.changed) or built.corrections != self._parts.corrections
        it.whole = built is not None and built.whole
        if last is not None:
            self._refuse_dropped(last)
        return it

    def _refuse_dropped(self, last: Marker) -> None:
        if self._generation in last.dropped:
            raise RowsNotBuilt(
                f"generation {self._generation} of {self._parts.engine.namespace} was dropped for good: give this code a "
                "generation that there was not yet"
            )

    def _go_on(self, messages: list[Message]) -> Steps[None]:
        for message in messages:
            self._take(message)
        failed = 0
        while waiting := [it for it in self._builds.values() if it.is_new and not it.is_over(self._generation)]:
            try:
                yield from self._write(waiting)
            except (TransactionAborted, ProducerLost) as error:  # nothing of it counts: all of it is written again
                failed += 1
                self._refuse(error, failed, waiting)
                yield AGAIN
                self._parts.producer.ready()
        yield 0.0 if len(messages) == RECORDS else IDLE

    def _refuse(self, error: TransactionAborted | ProducerLost, failed: int, builds: Collection[PartitionBuild]) -> None:
        """Raises what ends the build, if another try would fail as well; `failed` tries in a row have."""
        if isinstance(error, ProducerLost) and error.fenced:
            raise RowsNotBuilt(
                "another `retold rebuild start` of this namespace has begun, or a worker has ended what this one had "
                f"open ({error}). What is built is kept: if no other is at work, start it again"
            ) from error
        why = str(error).partition(": ")[2]
        rows = [(len(value), key) for it in builds for key, (value, _) in it.fold.changed.items()]
        if rows and isinstance(error, TransactionAborted) and error.poison and failed >= REFUSED:
            size, key = max(rows)
            raise RowsNotBuilt(
                f"a row of generation {self._generation} of {self._parts.engine.namespace} is larger than Kafka takes into "
                f"{self._parts.names.table} ({why}). The largest is that of {named(key)}, with {size:,} bytes: let the handlers "
                "make smaller rows, or raise max_event_bytes"
            ) from error
        if failed >= ABORTED:
            raise BrokerError(
                f"rows cannot be built: {failed} transactions in a row came to nothing ({why}). What is built is kept: start it "
                "again once Kafka takes them"
            ) from error

    def _take(self, message: Message) -> None:
        topic, number, offset = message.topic(), message.partition() or 0, message.offset() or 0
        it = self._builds[number]
        error = message.error()
        if error is not None:
            if error.code() == KafkaError._PARTITION_EOF:
                if topic == self._parts.names.log:
                    it.is_new |= not it.whole
                    it.at_end = it.whole = True
            elif not error.retriable():
                raise BrokerError(f"reading {topic} failed: {error.str()}")
        elif topic == self._parts.names.table:
            record = table_record(message)
            if isinstance(record, Marker):
                self._refuse_dropped(record)
                it.marker = record
        else:  # also what a worker of this generation has handled: one of the code before may take the partition back
            self._fold(it, message)
            it.offset, it.end, it.is_new = offset + 1, max(it.end, offset + 1), True

    def _fold(self, it: PartitionBuild, message: Message) -> None:
        found = it.fold.take(message.value(), headers_of(message))
        if found is None:
            return
        if found.event_type in self._parts.accepted.events:
            self._otherwise.add(found.key)
        elif found.key not in self._otherwise:
            raise CodeChanged(
                f"{found.how}. Nothing is built on that: correct the handler; or look at all such events with `retold replay` and "
                "--save FILE, and start the rebuild with --accept FILE"
            )

    def _write(self, builds: list[PartitionBuild]) -> Steps[None]:
        """One transaction, which is open for no longer than it takes to write: readers of the table wait for it."""
        producer, table = self._parts.producer, self._parts.names.table
        try:
            producer.begin()
            for it in builds:
                for key, (value, version) in it.fold.changed.items():
                    producer.put(table, value, built_key(key, self._generation), it.partition, [version_header(version)])
                built = BuiltTo(
                    generation=self._generation, sequence=it.fold.sequence, offset=it.offset, code=self._parts.code,
                    corrections=self._parts.corrections, whole=it.whole,
                )  # fmt: skip
                producer.put(table, encode_built_to(built), built_to_key(self._generation), it.partition, None)
        except UNFINISHED as error:
            producer.give_up(error)
        yield 0.0
        producer.commit([], None)
        for it in builds:
            it.fold.changed.clear()
            it.is_new = False

