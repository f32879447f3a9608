"""Follows table, log, parked and due topics into the read model's file, read_committed, from where the file ends."""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from confluent_kafka import KafkaException, TopicPartition

from streams.app import App
from streams.codec import AvroCodec
from streams.errors import BrokerError, PartitionLost, StreamsError, TopicMismatch
from streams.history.correction.correction_plan import schema_ids_of
from streams.kafka.clients import Clients
from streams.kafka.corrections_topic import CorrectionState
from streams.kafka.offsets import Offsets, TopicAndPartition, ends, starts
from streams.kafka.renewed_client import Admin
from streams.kafka.schemas_topic import LearningCodec
from streams.kafka.topics import TopicInfo, TopicNames, describe, topic_names
from streams.kafka.watched_corrections import WatchedCorrections
from streams.server.readmodel import file_journal
from streams.server.readmodel.corrected_folds import CorrectedFolds
from streams.server.readmodel.fold_note import FoldNoting
from streams.server.readmodel.fold_record import FoldRecord
from streams.server.readmodel.follower_report import Tell
from streams.server.readmodel.follower_state import STARTING, FollowerState
from streams.server.readmodel.high_water_filler import HighWaterFiller
from streams.server.readmodel.refolded_projections import RefoldedProjections
from streams.server.readmodel.same_logs import refuse_other_logs
from streams.server.readmodel.store import Store, StoreDoubt
from streams.server.readmodel.store_readers import refuse_torn
from streams.server.readmodel.topic_reading import TopicReading

log = logging.getLogger("retold.server")
AGAIN = 1.0
"""s after which a failed start is retried."""
BROKER_EVERY, BROKER_TIMEOUT = 5.0, 3.0
SAID_AGAIN = 60.0
"""s after which it is logged again that the same is in the way: each try would fill a disk with it."""
FILLING = 0.5
"""s of each that may fill in high-water times: new records come first."""
FETCH_WAIT = 0.5
"""s after which the broker answers a fetch without new records. New records arrive at once."""
TRIES = 3
"""Times that a file is begun anew where it is read once."""
EndsOf = Callable[[Admin, Sequence[TopicAndPartition]], Offsets]
"""How far is to be read at least."""


class TopicFollower:
    """Follows into the file in the folder `state` until `stopped`, and tells how it goes. What fails is tried again."""

    def __init__(
        self, clients: Clients, prefix: str, app: App, codec: AvroCodec, state: Path, tell: Tell, history: float | None = None
    ) -> None:
        """`history` as the setting: s, or None for all."""
        self._clients, self._prefix, self._app, self._codec, self._path = clients, prefix, app, codec, state
        self._state, self._history = FollowerState(tell), history
        self._store: Store | None = None
        self._said = "", 0.0
        """What was logged last of why it cannot follow, and when."""
        self._ends_of: EndsOf = ends
        self._noting = FoldNoting()

    def run(self, stopped: threading.Event, *, after_end: bool = False, folds: FoldRecord | None = None) -> None:
        """`after_end`: another process did so, and ended without being told to. `folds`: where another one sees this one's."""
        self._noting.after_end, self._noting.record = after_end, folds
        while not stopped.is_set():
            try:
                self._store = self._store or Store(self._path, self._prefix, self._app, self._codec, history=self._history)
                self._follow(self._store, stopped.is_set)
            except BaseException as error:  # noqa: BLE001 - nothing else would notice the end: old rows would be shown for ever
                if stopped.is_set():
                    break
                if self._on_failure(error):
                    continue
            self._state.beat()
            stopped.wait(AGAIN)
        self._close()

    def read_to_ends(
        self, ends_of: EndsOf, cancelled: Callable[[], bool], finish: Callable[[sqlite3.Connection, Callable[[], bool]], None]
    ) -> Path | None:
        """Read once, to the ends that `ends_of` gives, let `finish` write what follows from it, and close the file.

        `finish` is also given whether to stop. None if it was cancelled, or a server wants the file and goes on where this ends.
        Raises StreamsError for what Kafka refuses, sqlite3.Error for the file, and StoreDoubt if it was given up several times.
        """
        self._ends_of = ends_of
        store = self._store = Store(self._path, self._prefix, self._app, self._codec, yields=True, history=self._history)

        def stopped() -> bool:
            return store.is_wanted() or cancelled()

        try:
            for tries_left in reversed(range(TRIES)):
                try:
                    self._follow(store, lambda: self._state.behind is None or stopped())
                    break
                except PartitionLost:  # a request was given up since it was to stop
                    break
                except StoreDoubt as doubt:
                    if not tries_left:
                        raise
                    self._on_doubt(doubt)
            if not stopped():
                store.write(lambda db: finish(db, stopped))
            return None if stopped() else store.file
        finally:
            self._close()

    @property
    def stuck(self) -> Sequence[str]:
        """Why topics are not read on, as sentences."""
        return [*self._state.stuck.values(), *self._state.unread.values()]

    def _on_failure(self, error: BaseException) -> bool:
        """Report it; whether to try again at once."""
        if isinstance(error, StoreDoubt):
            return self._on_doubt(error)
        if isinstance(error, TopicMismatch):  # the first worker creates the topics, and may start later: no warning
            self._cannot(f"the tables and logs cannot be followed yet: {error}", logging.INFO)
        elif isinstance(error, StreamsError | KafkaException):
            self._cannot(f"the tables and logs cannot be followed now: {error}", logging.WARNING)
        elif isinstance(error, sqlite3.OperationalError) or type(error) is sqlite3.DatabaseError:
            return self._on_trouble(error)
        else:
            self._cannot("the tables and logs cannot be followed, by a fault of the server's own", logging.DEBUG)
            log.error("following failed; starting again", exc_info=error)
        return False

    def _on_doubt(self, doubt: StoreDoubt) -> bool:
        log.warning("the read model is read again from Kafka: %s", doubt)
        self._state.begin_anew()
        self._state.tell()
        if self._store is not None:
            self._store.drop()
        return True

    def _close(self) -> None:
        self._noting.close()
        if self._store is not None:
            try:
                self._store.close()
            except sqlite3.Error as error:
                log.warning("the read model could not be closed, and may be read again from Kafka: %s", error)

    def _cannot(self, why: str, level: int) -> None:
        """What is there is answered on, with a fault; if nothing is, this is why."""
        if self._state.waits is None:
            self._state.faults["following"] = self._state.behind = why
        else:
            self._state.waits = self._state.behind = why
        self._state.tell()
        last, at = self._said
        if why != last or time.monotonic() - at >= SAID_AGAIN:
            self._said = why, time.monotonic()
            log.log(level, "%s", why)

    def _note_fault(self, what: str, why: str | None) -> None:
        if why != self._state.faults.get(what):
            self._state.faults.pop(what, None)
            if why is not None:
                self._state.faults[what] = why
                log.warning("%s", why)
            self._state.tell()

    def _on_trouble(self, error: sqlite3.DatabaseError) -> bool:
        """Of the disk, or of the file, which is torn if it is no OperationalError. Others tell of a fault of the server's own."""
        self._state.could_not_write()
        if self._store is None or isinstance(error, sqlite3.OperationalError):
            where = "" if self._store is None else f" {self._store.file}"
            self._cannot(
                f"the read model's file{where} cannot be written: {error}. Make room on its disk, or set RETOLD_STATE to another "
                "folder; what is there is answered, and grows old", logging.WARNING,
            )  # fmt: skip
            return False
        log.warning("the read model's file is torn (%s): it is kept as read.bad, and all is read again from Kafka", error)
        self._state.begin_anew()
        self._state.tell()
        self._store.put_aside()
        return True

    def _follow(self, store: Store, stopped: Callable[[], bool]) -> None:
        state = self._state
        opened = store.open()
        store.refuse_deleted()
        if opened and store.partitions:  # what is there is answered at once, also while the broker is away
            state.waits = None if store.is_complete else STARTING
            state.rebuilding, state.reshaped = dict.fromkeys([*store.changed, *store.reread], 0), store.reshaped
            state.missing, state.held = [*store.missing], store.held
            state.opened(str(store.file), store.partitions)
        spaces = [topic_names(self._prefix, space.name) for space in self._app.namespaces]
        admin = self._clients.admin("retold-server")
        names = [name for space in spaces for name in (space.table, space.log, space.parked, space.due)]
        topics = describe(admin, names, cancelled=stopped)
        if missing := [name for name in names if name not in topics]:
            raise TopicMismatch(
                f"the topic {missing[0]} is missing: start a worker, or make it with `retold topics --create`"
            )
        if store.compare(topics, {space.namespace: topics[space.log].partitions for space in spaces}):
            state.opened(str(store.file), store.partitions)
        self._read(store, spaces, admin, topics, stopped)

    def _read(
        self, store: Store, spaces: list[TopicNames], admin: Admin, topics: Mapping[str, TopicInfo], stopped: Callable[[], bool]
    ) -> None:
        partitions = [
            (topic, number)
            for space in spaces
            for topic in (space.table, space.log, space.parked, space.due)
            for number in range(store.partitions[space.namespace])
        ]
        begin, end = starts(admin, partitions, cancelled=stopped), self._ends_of(admin, partitions)
        writer = store.writer()
        self._noting.begin(store.file.parent, writer.note_folds)
        consumer = self._clients.consumer("retold-server", fetch_wait=FETCH_WAIT)
        try:
            learning = LearningCodec(self._codec, self._clients, self._prefix)
            logs = {space.log: space.namespace for space in spaces}
            reading = TopicReading(consumer, spaces, store, writer, learning, self._state, end)
            offsets = [TopicPartition(*at, reading.offset_of(at, begin[at])) for at in partitions]
            refuse_other_logs(self._clients, writer, logs, begin)
            consumer.assign(offsets)
            self._state.faults.pop("following", None)
            self._state.tell()  # how much there is to read
            asked = time.monotonic()
            corrections = WatchedCorrections(self._clients, admin, self._prefix, self._app.name)
            filler = HighWaterFiller(admin, logs, partitions, corrections.known, learning.texts_of)
            readable = partial(_readable, corrections, learning)
            corrected = CorrectedFolds(store, writer, self._state, self._app, self._codec, readable)
            again = RefoldedProjections(store, writer, self._state, learning, corrected)
            while not stopped():
                self._state.beat()
                reading.step(again.is_busy)
                again.step()
                filler.follow(store, writer.steps)
                refuse_torn(store.file)
                store.refuse_deleted()
                if time.monotonic() - asked >= BROKER_EVERY:
                    asked = time.monotonic()
                    _compare(admin, topics, stopped)
                    filler.fill(store, FILLING)
                    self._note_fault("corrections", filler.lost)
                    if not writer.has_changes:
                        store.write(lambda db: file_journal.cut(db, store.file))
        finally:
            consumer.close()


def _readable(corrections: WatchedCorrections, learning: LearningCodec) -> Sequence[CorrectionState]:
    """With the schemas of what they put in, which newer code may have written. Raises BrokerError."""
    found = corrections()
    learning.texts_of(schema_ids_of(it.change for it in found))
    return found


def _compare(admin: Admin, topics: Mapping[str, TopicInfo], cancelled: Callable[[], bool]) -> None:
    """Raises StoreDoubt for a topic that was made again, or has more partitions: what was read of it is no longer true.

    A consumer goes on at its old offset. Without an answer nothing is known; the broker's silence is reported elsewhere.
    """
    try:
        found = describe(admin, list(topics), timeout=BROKER_TIMEOUT, cancelled=cancelled)
    except BrokerError:
        return
    for name, now in found.items():
        if (was := topics.get(name)) is not None and was != now:
            what = "was made again" if was.id != now.id else f"has {now.partitions} partitions instead of {was.partitions}"
            raise StoreDoubt(f"{name} {what}")
