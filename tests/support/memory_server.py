"""A server whose Kafka is a World: real HTTP on a free port, nothing else outside this process."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
from confluent_kafka import Message

from streams import App
from streams.codec import codec_of
from streams.config import Config
from streams.data import EventData, namespace_of
from streams.engine import control, marker
from streams.engine.attributes import attributes
from streams.engine.control import OperatorCommand
from streams.engine.envelope import VERSION_HEADER
from streams.engine.generations import row_key
from streams.engine.marker import Marker
from streams.engine.records import Counters, Headers
from streams.engine.stored import due_record, parked_record
from streams.errors import BrokerError, OutcomeTimeout
from streams.history.correction.correction_plan import CorrectionPlan
from streams.history.recorded_event import NamespacePartition
from streams.history.stored.stored_corrections import put_corrections
from streams.kafka.corrections_topic import APPLIED, CorrectionState
from streams.kafka.parked import InboxOffset
from streams.kafka.status import Status
from streams.listening import url_of
from streams.receipt import Receipt
from streams.server.connections import ConnectionLimits, Connections
from streams.server.http.parts import ServerParts
from streams.server.http.questions import Questions
from streams.server.listen import listen, scheme_of
from streams.server.readmodel.corrected_folds import CorrectedFolds
from streams.server.readmodel.follower_report import FollowerReport
from streams.server.readmodel.follower_state import FollowerState
from streams.server.readmodel.known_outcome import KnownOutcome
from streams.server.readmodel.log_follower import LogFollower
from streams.server.readmodel.model import STARTING, ReadModel
from streams.server.readmodel.refolded_projections import RefoldedProjections
from streams.server.readmodel.store import Store
from streams.server.readmodel.table_follower import TableFollower
from streams.server.serve import answer
from streams.testing import World
from tests.support.asked_processes import ASKED, NoProcesses, questions_in_test
from tests.support.ending import see_ended
from tests.support.memory_corrector import MemoryCorrector
from tests.support.workers import settings, until

KeptRecord = tuple[bytes, bytes, Headers]
Take = Callable[[NamespacePartition, Message], object]


class MemoryKafka:
    """Publisher, Archive and follower: what is published is handled at once in a World, and written to the file of `model`.

    With `held` set, events are taken and not handled; with `broken` set, none is taken. With `silent` set, no event is
    confirmed in time. With `answers` cleared, it is slow: neither a confirmation comes nor what is read.
    """

    def __init__(self, app: App, model: ReadModel, state: Path) -> None:
        self.app, self.model = app, model
        self.world = World(replace(app, projections=[], views=[]))  # the server folds
        self.held = self.broken = self.silent = False
        self.answers = threading.Event()
        self.answers.set()
        self.receipts: dict[tuple[str, int], Receipt] = {}
        self.data_at: dict[tuple[str, int], EventData] = {}
        self.became_later: dict[int, KnownOutcome] = {}
        self.commands: list[OperatorCommand] = []
        self.published: list[tuple[EventData, dict[str, Any]]] = []
        self.corrections: list[CorrectionState] = []
        self._codec = codec_of(app)
        self._turn = threading.Lock()
        self.store = Store(state, "", app, self._codec)
        self.begin(1)
        self.show()
        self.tell(waits=None, behind=None)

    def begin(self, partitions: int) -> None:
        """A new file, of so many partitions for each namespace."""
        self.store.drop()
        self.store.open()
        self.store.completed()
        self.store.partitions = {space.name: partitions for space in self.app.namespaces}
        self.writer = self.store.writer()
        at = [(space.name, 0) for space in self.app.namespaces]
        self.logs = LogFollower(self.writer, self._codec, at)
        for each in at:
            self.logs.merge.ended(each)
        state = FollowerState(self.model.take)
        state.waits = state.behind = None
        corrected = CorrectedFolds(self.store, self.writer, state, self.app, self._codec, lambda: self.corrections)
        self._again = RefoldedProjections(self.store, self.writer, state, self._codec, corrected)
        types = self.store.row_types
        of = self.writer.generations
        self._tables = {each[0]: TableFollower(self.writer, each, types[each[0]], self._codec, of[each[0]]) for each in at}
        self._shown = dict.fromkeys(types, 0)
        self._kept: dict[str, set[bytes]] = {}
        self._versions: dict[tuple[str, str], int] = {}
        self.tell(file=str(self.store.file), partitions=self.store.partitions, waits=STARTING)

    def tell(self, **report: Any) -> None:
        self.model.take(FollowerReport(**report))

    def commit(self) -> None:
        """What the writer was given."""
        self.writer.commit()
        stopped = {name: it.fault for name, it in self.writer.projections.items() if it.fault is not None}
        self.tell(committed=True, stopped=stopped)

    def correct(self, plan: CorrectionPlan, state: str = APPLIED) -> None:
        """Apply a plan, and let the server see how it stands."""
        self.world.apply(plan)
        known = [it for it in self.corrections if it.correction != plan.correction]
        number = len(known) + 1
        self.corrections = [
            *known, CorrectionState(self.app.name, plan.correction, number, plan.by, plan.why, plan.change, state, 0, 0)
        ]
        put_corrections(self.store._db, [it.known for it in self.corrections])
        self.show()

    def fold_again(self) -> None:
        """What corrections have changed, in projections."""
        self.store.completed()
        for _ in range(2):  # then it looks whether that counts still
            self._again.step()
            while self._again.is_busy:
                self._again.step()

    def put_row(self, namespace: str, key: str, row: object, version: int) -> None:
        """A row that no event led to; None removes it."""
        self.writer.put_row(namespace, 0, key, version, row)
        self.commit()

    def take_of_table(self, namespace: str, *records: tuple[bytes, bytes, Headers]) -> None:
        """What others have written to its table in one transaction."""
        for key, value, headers in records:
            self._tables[namespace].take(_message(f"{namespace}-table", 0, key, value, headers), past=False)
        self._tables[namespace].flush()
        self.commit()

    def forget_outcomes(self) -> None:
        """As a file that begins after them."""
        db = self.writer._db
        for table in ("record", "aside", "duplicate"):
            db.execute(f"delete from {table}")

    def publish(
        self,
        data: EventData,
        *,
        id: str | None = None,
        time: datetime | None = None,
        expected_version: int | None = None,
        source: str | None = None,
        traceparent: str | None = None,
    ) -> Receipt:
        """Refuses what a Client refuses."""
        attributes(id or "none", source or "none", time or datetime.now(UTC), expected_version, traceparent)
        with self._turn:
            if self.broken:
                raise BrokerError("the broker is gone")
            given = {"id": id, "time": time, "version": expected_version, "source": source, "traceparent": traceparent}
            self.published.append((data, given))
            space = namespace_of(data.event_type)
            receipt = Receipt(space, data.event_type, data.key, id or f"id-{len(self.published)}")
            receipt.partition, receipt.timestamp = 0, 0
            receipt.offset = sum(1 for partition in self.receipts if partition[0] == space)
            self.receipts[space, receipt.offset] = receipt
            self.data_at[space, receipt.offset] = data
            if not self.held:
                self.world.when(data, id=receipt.id, time=time, expected_version=expected_version, source=source or "")
                self.show()
            return receipt

    def publish_at_once(self, data: EventData, content: bytes | None = None, **given: Any) -> Receipt | None:
        """It has no queue that is full, but it may be slow. `content` is what is written."""
        assert content == self._codec.encode(data)
        return self.publish(data, **given) if self.answers.is_set() else None

    def when_told(self, _receipt: Receipt, call: Callable[[], object]) -> None:
        def wait() -> None:
            if self.answers.wait(120):
                call()

        if self.answers.is_set():
            call()
        else:
            threading.Thread(target=wait, daemon=True).start()

    def take_over(self, other: MemoryKafka) -> None:
        """The same Kafka as another server's, which this one reads from the beginning."""
        self.world, self.receipts, self.data_at = other.world, other.receipts, other.data_at
        self._shown, self._versions = dict.fromkeys(self._shown, 0), {}
        self.show()

    def confirm(self, receipt: Receipt, timeout: float = 10.0) -> None:
        assert self.answers.wait(120)
        if self.silent:
            raise OutcomeTimeout(f"{receipt.what} (id {receipt.id}) is not confirmed by Kafka, and may still arrive")

    def show(self) -> None:
        """What the World has handled, as records of Kafka's that a server reads."""
        for space in self.app.namespaces:
            partition, name = (space.name, 0), space.name
            image, logs, table = self.world.image(name), self.logs, self._tables[name]
            logged = self._logged(name)
            for message in logged[self._shown[name] :]:
                logs.take(partition, message)
            logs.flush()
            self._shown[name] = len(logged)
            aside = [parked_record(it) for queue in image.parked.values() for it in queue]
            self._show_kept(partition, "parked", aside, self.logs.take_parked)
            due = [due_record(name, it) for it in (*image.due.values(), *image.calls.values())]
            self._show_kept(partition, "due", due, self.logs.take_due)
            generation = space.generation
            last = Marker(
                generation=generation, first=1, last=image.sequence, inbox_next=image.inbox_next, recorded=image.recorded,
                application=self.app.name, topic_ids={}, partitions=1, transactional_id="t", counters=Counters(),
            )  # fmt: skip
            table.take(_message(f"{name}-table", 0, marker.KEY, marker.encode(last), []), past=False)
            for key, (row, version) in image.rows.items():
                if self._versions.get((name, key)) == version:
                    continue  # Kafka has a record of what has changed alone
                self._versions[name, key] = version
                value = b"" if row is None else self._codec.encode_row(row)
                headers = [(VERSION_HEADER, b"%d" % version)]
                table.take(_message(f"{name}-table", 0, row_key(key, generation), value, headers), past=False)
            table.flush()
        self.commit()

    def _show_kept(self, at: NamespacePartition, kind: str, records: Sequence[KeptRecord], take: Take) -> None:
        """What is set aside, or waits, now, and that what did before does not any more."""
        topic, there = f"{at[0]}-{kind}", {key for key, _, _ in records}
        for key in self._kept.get(topic, set()) - there:
            take(at, _message(topic, 0, key, None, []))
        for record in records:
            take(at, _message(topic, 0, *record))
        self._kept[topic] = there

    def command(self, namespace: str, command: OperatorCommand) -> InboxOffset:
        if self.broken:
            raise BrokerError("the broker is gone")
        with self._turn:
            self.commands.append(command)
            if self.held:
                return InboxOffset(namespace, 0, 2**40)
            offset = self.world.publish(namespace, command.key.encode(), control.encode(command))
            self.world.settle(parked="allow")
            self.show()
            return InboxOffset(namespace, 0, offset)

    def _logged(self, namespace: str) -> list[Message]:
        records = self.world.log_records(namespace)
        return [_message(f"{namespace}-log", at, *record) for at, record in enumerate(records)]

    def learn(self) -> None:
        if self.broken:
            raise BrokerError("the broker is gone")
        assert self.answers.wait(120)

    def receipt(self, partition: NamespacePartition, offset: int) -> Receipt | None:
        assert self.answers.wait(120)
        return self.receipts.get((partition[0], offset))

    def data(self, partition: NamespacePartition, offset: int) -> EventData | None:
        return self.data_at.get((partition[0], offset))

    def became(self, receipt: Receipt) -> KnownOutcome | None:
        return self.became_later.get(receipt.offset or 0)

    def status(self) -> Status:
        if self.broken:
            raise BrokerError("the broker is gone")
        return Status("memory", "", ())

    def schemas(self) -> Mapping[int, str]:
        return {}


def _message(topic: str, offset: int, key: bytes, value: bytes | None, headers: Headers) -> Message:
    return Message(topic=topic, partition=0, offset=offset, key=key, value=value, headers=headers)


class MemoryServer:
    """Leaving the block ends it. `http` is a client of it that speaks from this machine.

    `answering`: it has processes that answer for views, the past, stories and corrections.
    """

    def __init__(
        self, app: App, state: Path, token: str | None = None, limits: ConnectionLimits | None = None, *,
        answering: bool = False, **others: str,
    ) -> None:
        self.config: Config = replace(settings(state, "", http_port="0", **others), http_token=token)
        self.codec = codec_of(app)
        self._none = NoProcesses()
        self.questions = questions_in_test(app, self.config, self.codec) if answering else Questions(self.config, self._none)
        self.model = ReadModel(app, self.codec)
        self.kafka = MemoryKafka(app, self.model, self.config.state)
        self.corrector = MemoryCorrector(self.kafka, self.codec)
        self.parts = ServerParts(
            app, self.config, self.codec, self.model, self.kafka, self.kafka, self.questions, connections=Connections(limits),
            corrector=self.corrector,
        )  # fmt: skip
        self._stop, self._answers = threading.Event(), threading.Event()
        self._listening = listen(self.config)
        self._thread = threading.Thread(target=answer, args=(self.parts, self._listening, self._stop, self._answers), daemon=True)
        # Without TLS, so that no certificates are loaded: some 0.06 s of CPU for each client.
        self.http = httpx.Client(base_url=url_of(self._listening, scheme_of(self.config)), timeout=60.0, verify=False)

    def __enter__(self) -> Self:
        self._thread.start()
        until(lambda: self._answers.is_set() or not self._thread.is_alive(), "the server does not answer")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.http.close()
        self._stop.set()
        see_ended(self._thread, "the server", error)
        self._listening.close()
        self.questions.end()
        self.model.readers.open(None)  # what is forked for the next server must not know of them
        self.kafka.store.close()
        assert not self._none.asked, ASKED  # the client was told of an error, which a test may take for what it expects
