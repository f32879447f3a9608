"""The thread that follows table, log and parked topics from their beginning, read_committed.

Nothing is kept on disk, since a restart can read everything again: projections are folded again at each start.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from streams.codec import AvroCodec
from streams.errors import BrokerError, StreamsError, TopicMismatch
from streams.kafka.clients import Clients
from streams.kafka.offsets import ends, starts
from streams.kafka.renewed_client import Admin
from streams.kafka.schemas_topic import LearningCodec
from streams.kafka.tables_and_logs import partitions_of
from streams.kafka.topics import TopicInfo, TopicNames, describe, topic_names
from streams.server.readmodel.log_follower import LogFollower
from streams.server.readmodel.model import NamespacePartition, ReadModel
from streams.server.readmodel.table_follower import TableFollower

log = logging.getLogger("retold.server")
BATCH = 2_000
AGAIN = 1.0
"""s after which a failed start is retried."""
BROKER_EVERY, BROKER_TIMEOUT = 5.0, 3.0
STUCK_EVERY = 5.0
FETCH_WAIT = 0.5
"""s after which the broker answers a fetch without new records. New records arrive at once."""

At = tuple[str, int]
"""Topic and partition."""


class TopicFollower:
    """Reads into `model` until `stopped`. After a failure, which is reported, everything is read again."""

    def __init__(self, clients: Clients, prefix: str, codec: AvroCodec, model: ReadModel) -> None:
        self._clients, self._prefix, self._codec, self._model = clients, prefix, codec, model

    def run(self, stopped: threading.Event) -> None:
        while not stopped.is_set():
            try:
                self._follow(stopped.is_set)
            except TopicMismatch as error:  # the first worker creates the topics, and may start later: no warning
                self._model.waits = f"the tables and logs cannot be followed yet: {error}"
                log.info("%s", self._model.waits)
            except (StreamsError, KafkaException) as error:
                if stopped.is_set():
                    return
                self._model.waits = f"the tables and logs cannot be followed now: {error}"
                log.warning("%s", self._model.waits)
            except BaseException:  # nothing else would notice the end of this thread: old rows would be shown for ever
                self._model.waits = "the tables and logs cannot be followed, by a fault of the server's own"
                log.exception("following failed; starting again")
            stopped.wait(AGAIN)

    def _follow(self, stopped: Callable[[], bool]) -> None:
        admin = self._clients.admin("retold-server")
        spaces = [topic_names(self._prefix, space.name) for space in self._model.app.namespaces]
        self._model.begin({space.namespace: partitions_of(admin, space.log, stopped) for space in spaces})
        partitions = [
            (topic, number)
            for space in spaces
            for topic in (space.table, space.log, space.parked)
            for number in range(self._model.counts[space.namespace])
        ]
        topics = describe(admin, sorted({topic for topic, _ in partitions}), cancelled=stopped)
        begin, end = starts(admin, partitions, cancelled=stopped), ends(admin, partitions, cancelled=stopped)
        consumer = self._clients.consumer("retold-server", fetch_wait=FETCH_WAIT)
        try:
            consumer.assign([TopicPartition(*partition, offset) for partition, offset in begin.items()])
            reading = _Reading(consumer, spaces, self._model, LearningCodec(self._codec, self._clients, self._prefix), end)
            asked = time.monotonic()
            while not stopped():
                reading.step()
                if time.monotonic() - asked >= BROKER_EVERY:
                    asked = time.monotonic()
                    _compare(admin, topics, stopped)
        finally:
            consumer.close()


def _compare(admin: Admin, topics: Mapping[str, TopicInfo], cancelled: Callable[[], bool]) -> None:
    """Raises BrokerError for a topic that was made again, or has more partitions: what was read of it is no longer true.

    A consumer goes on at its old offset. Without an answer nothing is known; the broker's silence is reported elsewhere.
    """
    try:
        found = describe(admin, list(topics), timeout=BROKER_TIMEOUT, cancelled=cancelled)
    except BrokerError:
        return
    for name, now in found.items():
        if (was := topics.get(name)) is not None and was != now:
            what = "was made again" if was.id != now.id else f"has {now.partitions} partitions instead of {was.partitions}"
            raise BrokerError(f"{name} {what}; all topics are read again")


class _Reading:
    """One consumer that reads all topics. `ends` must be reached before the model is ready."""

    def __init__(
        self, consumer: Consumer, spaces: list[TopicNames], model: ReadModel, learning: LearningCodec, ends: dict[At, int]
    ) -> None:
        self._consumer, self._model, self._ends = consumer, model, ends
        self._kinds = {space.table: ("table", space.namespace) for space in spaces}
        self._kinds |= {space.log: ("log", space.namespace) for space in spaces}
        self._kinds |= {space.parked: ("parked", space.namespace) for space in spaces}
        self._logs = LogFollower(model, learning)
        self._tables = {partition: TableFollower(model, partition, learning) for partition in model.partitions()}
        self._left = set(ends)
        self._paused: set[At] = set()
        self._stuck: dict[At, int] = {}
        """The offsets at which logs are stuck, until their record can be read."""
        self._held: set[At] = set()
        """The stuck logs that are paused until their next retry."""
        self._asked = self._retried = time.monotonic()

    def step(self) -> None:
        first = self._consumer.poll(0.1)  # `consume` alone would wait for a full batch
        messages = [] if first is None else [first, *self._consumer.consume(BATCH, 0)]
        touched = {at for message in messages if (at := self._take(message)) is not None}
        self._logs.flush()
        self._measure(touched)
        self._pace()
        if not self._left:
            self._model.waits = None
        if messages:  # an end of partition too, since it completes a transaction
            self._model.notifier.notify()
        self._look_after()

    def _take(self, message: Message) -> At | None:
        """Handle a message; returns its topic and partition if it is a record."""
        at, error = (message.topic() or "", message.partition() or 0), message.error()
        if error is not None:
            if error.code() == KafkaError._PARTITION_EOF:
                self._at_end(at, message.offset() or 0)
            elif not error.retriable():
                raise BrokerError(f"following {at[0]} failed: {error.str()}")
            return None
        kind, namespace = self._kinds[at[0]]
        partition = namespace, at[1]
        if kind == "table":
            self._tables[partition].take(message, at in self._left)
        elif kind == "parked":
            self._logs.take_parked(partition, message)
        elif at not in self._held:
            self._take_logged(at, partition, message)
        return at

    def _take_logged(self, at: At, partition: NamespacePartition, message: Message) -> None:
        try:
            self._logs.take(partition, message)
        except StreamsError as error:
            self._get_stuck(at, message.offset() or 0, error)
        else:
            if self._stuck.pop(at, None) is not None:  # it can be read now
                self._model.stuck.pop(partition, None)
                self._model.faults.pop(f"{at[0]}-{at[1]}", None)

    def _at_end(self, at: At, offset: int) -> None:
        kind, namespace = self._kinds[at[0]]
        if at not in self._stuck:
            self._model.lags[kind, namespace, at[1]] = 0
            self._model.lag_ages.measured((kind, namespace, at[1]), offset, offset, time.monotonic())
        if kind == "table":
            self._tables[namespace, at[1]].flush()
        if at in self._left and offset >= self._ends[at]:
            self._reached(at)

    def _reached(self, at: At) -> None:
        self._left.discard(at)
        kind, namespace = self._kinds[at[0]]
        if kind == "log":
            self._logs.merge.ended((namespace, at[1]))

    def _measure(self, touched: set[At]) -> None:
        """Update lags, by the last stable offset that the broker sends with records.

        No transaction crosses that offset, so a reader at it has read whole transactions. This is known at once, while an
        end of partition is reported only after an empty fetch.
        """
        for topic, partition in touched:
            here, (kind, namespace) = TopicPartition(topic, partition), self._kinds[topic]
            [position] = self._consumer.position([here])
            _, end = self._consumer.get_watermark_offsets(here, cached=True)
            read = self._stuck.get((topic, partition), position.offset)
            self._model.lags[kind, namespace, partition] = max(0, end - read)
            self._model.lag_ages.measured((kind, namespace, partition), read, end, time.monotonic())
            if kind == "table" and end == position.offset:
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

    def _get_stuck(self, at: At, offset: int, error: StreamsError) -> None:
        """Pause a log at a record that cannot be read: skipping it would make projections silently wrong."""
        why = f"{at[0]}-{at[1]} is not read beyond offset {offset}: {error}"
        self._stuck[at] = offset
        self._held.add(at)
        self._model.stuck[self._kinds[at[0]][1], at[1]] = why
        self._model.faults[f"{at[0]}-{at[1]}"] = why
        log.warning("%s", why)
        self._consumer.pause([TopicPartition(*at)])
        self._reached(at)

    def _look_after(self) -> None:
        """Check the broker now and then, and retry stuck logs."""
        now = time.monotonic()
        if now - self._asked >= BROKER_EVERY:
            self._asked = now
            try:
                self._consumer.list_topics(next(iter(self._kinds)), timeout=BROKER_TIMEOUT)
                self._model.faults.pop("broker", None)
            except KafkaException as error:
                self._model.faults["broker"] = f"the broker does not answer: {error.args[0].str()}"
        if self._held and now - self._retried >= STUCK_EVERY:
            self._retried, held, self._held = now, self._held, set()
            for at in held:
                self._consumer.resume([TopicPartition(*at)])
                self._consumer.seek(TopicPartition(*at, self._stuck[at]))
