"""Rows of another generation are built beside the live ones; workers of its code go over to them, and those before go back."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType

import pytest
import structlog
from confluent_kafka import KafkaError, KafkaException, murmur2
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streams import App, Event, Namespace, Outcome, Rejected
from streams.code_digest import code_of
from streams.codec import codec_of
from streams.engine.engine import Engine
from streams.engine.envelope import version_header
from streams.engine.fold import CorrectedRows, RowFold, fold
from streams.engine.generations import built_key, built_to_key, is_of
from streams.engine.image import Image
from streams.errors import BrokerError, CodeChanged, HistoryError, RowsNotBuilt
from streams.kafka.cancellable_steps import Steps, never_cancelled
from streams.kafka.dropped_generation import DroppedGeneration
from streams.kafka.producer import TransactionalProducer
from streams.kafka.table_generations import read_generations
from streams.kafka.tables_and_logs import read_table
from streams.kafka.topics import topic_names
from streams.worker import generation_restore, partition_restore, row_builder
from streams.worker.partition_copy import PartitionCopy
from streams.worker.restore_progress import RestoreProgress
from streams.worker.row_builder import ABORTED, NOTHING_ACCEPTED, Accepted, BuilderParts, RowBuilder
from tests.applications import probe
from tests.applications.probe.events import EchoHear, EchoRow
from tests.simulator.clients import clients
from tests.simulator.memory_producer import MemoryProducer
from tests.simulator.workers import ENOUGH, PARTITIONS, MemorySite, Worker, go_on

KEYS = [f"a{number}" for number in range(12)]
NOTHING: Mapping[int, CorrectedRows] = MappingProxyType({})
Handler = Callable[[EchoRow | None, Event[EchoHear]], Outcome[EchoRow]]


def counting(step: int, row: EchoRow | None, _event: Event[EchoHear]) -> Outcome[EchoRow]:
    return Outcome(EchoRow(heard=(row.heard if row else 0) + step))


def refusing(most: int, row: EchoRow | None, event: Event[EchoHear]) -> Outcome[EchoRow]:
    if row is not None and row.heard >= most:
        raise Rejected("enough was heard")
    return counting(1, row, event)


def app_of(generation: int, handler: Handler | None = None) -> App:
    """The probe, whose `echo` counts in steps of its generation."""
    echo = Namespace("echo", row=EchoRow, generation=generation)
    echo.handles(EchoHear)(handler or partial(counting, generation))
    return App(name="probe", namespaces=[probe.probe, echo])


class Site(MemorySite):
    """Its code is at generation 1. `others` are settings; a builder knows so many `corrections`."""

    def __init__(self, state: Path, **others: str) -> None:
        super().__init__(app_of(1), "echo", state, **others)
        self.published = self.corrections = 0

    def hear(self, count: int) -> None:
        for _ in range(count):
            self.publish(EchoHear(name=KEYS[self.published % len(KEYS)]))
            self.published += 1

    def builder(
        self, app: App, code: str | None = None, accepted: Accepted = NOTHING_ACCEPTED,
        corrected: Mapping[int, CorrectedRows] = NOTHING,
    ) -> RowBuilder:  # fmt: skip
        made, codec = clients(self.broker), codec_of(app)
        producer = TransactionalProducer(
            lambda on_delivery, coordinator: made.transactional_producer("builder", "builder", on_delivery, coordinator),
            "builder", "echo-table", clock=self.broker.clock,
        )  # fmt: skip
        parts = BuilderParts(
            Engine(app, "echo", codec), topic_names("", "echo"), PARTITIONS, partial(made.consumer, "builder"), made.admin(),
            producer, code or code_of(app, codec), accepted, corrected, self.corrections,
        )  # fmt: skip
        return RowBuilder(parts)

    def rows(self, app: App) -> dict[str, tuple[int, int]]:
        """As a reader of this code sees them: what was heard, and the version."""
        space = app.namespace("echo")
        state = read_table(clients(self.broker), "", "echo", codec_of(app), EchoRow, generation=space.generation)
        return {key: (row.heard, version) for key, (row, version) in state.rows.items()}

    def lacks(self, app: App) -> set[str]:
        """What is wrong with the rows of this code, as a reader of them is told."""
        space = app.namespace("echo")
        state = read_table(clients(self.broker), "", "echo", codec_of(app), EchoRow, generation=space.generation)
        return {it.lack for it in state.there.values()}

    def folded(self, app: App) -> dict[str, tuple[int, int]]:
        """What this code makes of the log."""
        engine, found = Engine(app, "echo", codec_of(app)), dict[str, tuple[int, int]]()
        for at in range(PARTITIONS):
            log = [(it.value, it.headers) for it in self._committed(topic_names("", "echo").log, at)]
            image = fold(engine, engine.image(at), log)
            found |= {key: (row.heard, version) for key, (row, version) in image.rows.items() if isinstance(row, EchoRow)}
        return found

    def drop(self, generation: int, worker: Worker) -> int:
        """How many rows were deleted, while this worker goes on."""
        steps = DroppedGeneration(clients(self.broker), "", "echo", generation, "ann").drop()
        while True:
            try:
                next(steps)
            except StopIteration as end:
                return int(end.value)
            settle(worker)

    def table(self, partition: int) -> dict[bytes, bytes | None]:
        """What compaction leaves of its rows."""
        found = {it.key or b"": it.value for it in self._committed("echo-table", partition)}
        return {key: value for key, value in found.items() if key[:1] != b"\x00"}

    def generations(self) -> set[int]:
        return {it.generation for it in self.markers().values()}


def run(steps: Steps[None], until: Callable[[], bool]) -> None:
    """A builder's, alone."""
    for _ in range(ENOUGH):
        if until() or next(steps, "over") == "over":
            return
    raise AssertionError("it was not over")


def begun(state: Path, handled: int) -> tuple[Site, Worker]:
    """A worker of the code before, which goes on, and has handled so many events."""
    there = Site(state)
    there.hear(handled)
    worker = Worker(there, 0)
    go_on(there, worker)
    return there, worker


def built(there: Site, app: App, corrected: Mapping[int, CorrectedRows] = NOTHING, code: str | None = None) -> RowBuilder:
    """Rows of all that was handled so far."""
    builder = there.builder(app, code, corrected=corrected)
    steps = builder.follow(never_cancelled)
    run(steps, lambda: builder.has_caught_up)
    steps.close()
    return builder


def images(worker: Worker) -> dict[str, tuple[int, int]]:
    found: dict[str, tuple[int, int]] = {}
    for image in worker.cycle.tasks.images().values():
        found |= {key: (row.heard, version) for key, (row, version) in image.rows.items() if isinstance(row, EchoRow)}
    return found


def settle(*workers: Worker) -> None:
    for _ in range(ENOUGH // 4):
        for worker in workers:
            worker.step()


def test_a_worker_of_new_code_goes_over_to_the_rows_that_were_built(tmp_path: Path) -> None:
    """Events that were handled since they were built are folded when it takes over; those after it are its own."""
    new = app_of(2)
    there, before = begun(tmp_path, 60)
    built(there, new)
    assert there.rows(new) == there.folded(new) != there.rows(there.app)
    there.hear(30)
    go_on(there, before)
    before.stop()
    assert there.generations() == {1}
    after = Worker(there, 1, new)
    settle(after)
    assert there.generations() == {2}, "an idle worker goes over, too"
    there.hear(30)
    go_on(there, after)
    assert there.rows(new) == images(after) == there.folded(new)
    assert {heard for heard, _ in there.rows(new).values()} == {20}
    assert {heard for heard, _ in there.rows(there.app).values()} <= {7, 8}, "the rows before stay as they were"


def test_rows_of_a_builder_that_was_stopped_early_are_not_there_yet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However few events they lack: a reader would take what it finds for all. Begun again, it goes on to the end."""
    new = app_of(2)
    there, before = begun(tmp_path, 30)
    assert there.lacks(new) == {"are not built"}
    monkeypatch.setattr(row_builder, "RECORDS", 1)
    steps = there.builder(new).follow(never_cancelled)
    run(steps, lambda: any(it.key == built_to_key(2) for at in range(PARTITIONS) for it in there._committed("echo-table", at)))
    steps.close()
    assert any("are built up to event" in it for it in there.lacks(new))
    built(there, new)
    assert there.lacks(new) == {""}
    there.hear(6)
    go_on(there, before)
    assert there.lacks(new) == {""}, "whoever has been at the end is told, and what is handled since is little"


def test_code_that_is_taken_back_finds_its_rows(tmp_path: Path) -> None:
    """Nobody builds anything: what the other code has handled is folded when a worker takes over."""
    there, new = Site(tmp_path), app_of(2)
    there.hear(24)
    first = Worker(there, 0)
    go_on(there, first)
    first.stop()
    built(there, new)
    second = Worker(there, 1, new)
    there.hear(24)
    go_on(there, second)
    second.stop()
    back = Worker(there, 2)
    settle(back)
    assert there.generations() == {1}
    there.hear(12)
    go_on(there, back)
    assert there.rows(there.app) == images(back) == there.folded(there.app)
    back.stop()
    again = Worker(there, 3, new)
    settle(again)
    assert there.rows(new) == images(again) == there.folded(new)


def test_a_builder_that_follows_ends_once_workers_keep_its_rows(tmp_path: Path) -> None:
    """By itself, and not before: until all partitions have gone over there is more to fold."""
    new = app_of(2)
    there, before = begun(tmp_path, 24)
    builder = there.builder(new)
    steps = builder.follow(never_cancelled)
    run(steps, lambda: builder.has_caught_up)
    assert not builder.is_over
    assert not any(it.switched for it in builder.states())
    before.stop()
    after = Worker(there, 1, new)
    settle(after)
    run(steps, lambda: False)
    assert builder.is_over
    assert all(it.switched for it in builder.states())


def test_a_worker_of_other_code_than_built_the_rows_handles_nothing(tmp_path: Path) -> None:
    """They are not what its handlers make of the past; the code before goes on."""
    new = app_of(2)
    there, before = begun(tmp_path, 24)
    built(there, new, code="other code")
    before.stop()
    after = Worker(there, 1, new)
    with pytest.raises(RowsNotBuilt, match="were built by other code than this worker has"):
        settle(after)
    after.stop()
    assert there.generations() == {1}
    there.hear(12)
    go_on(there, Worker(there, 2))


def test_code_that_has_changed_without_another_generation_is_told_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its worker goes on with the rows that are there: it says so, and from which event on they are its own is kept."""
    there = Site(tmp_path)
    codes = partial(read_generations, clients(there.broker), "", "echo", 1)
    monkeypatch.setattr(partition_restore, "code_of", lambda *_: "first")
    there.hear(60)
    first = Worker(there, 0)
    go_on(there, first)
    first.stop()
    assert {(it.code, it.code_since, it.is_mixed("first"), it.is_mixed("other")) for it in codes()} == {("first", 1, False, True)}
    monkeypatch.setattr(partition_restore, "code_of", lambda *_: "second")
    handled = {it.partition: it.handled for it in codes()}
    there.hear(60)
    with structlog.testing.capture_logs() as said:
        second = Worker(there, 1)
        go_on(there, second)
        second.stop()
        go_on(there, Worker(there, 2))
    [told] = [it["event"] for it in said if it["log_level"] == "warning"]
    assert told.startswith("the code of echo has changed, and its rows are of generation 1 as before")
    assert "give echo the generation 2" in told
    assert {it.partition: it.code_since for it in codes()} == {at: last + 1 for at, last in handled.items()}
    assert all(it.is_mixed("second") for it in codes())


def test_rows_that_were_built_are_of_the_code_that_goes_over_to_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of them: nothing is said of the code before. Rows that are gone back to may be of any."""
    there, new = Site(tmp_path), app_of(2)
    monkeypatch.setattr(partition_restore, "code_of", lambda *_: "first")
    there.hear(60)
    first = Worker(there, 0)
    go_on(there, first)
    built(there, new)
    there.hear(12)
    go_on(there, first)
    first.stop()
    monkeypatch.setattr(partition_restore, "code_of", code_of)
    second = Worker(there, 1, new)
    settle(second)
    second.stop()
    kept = read_generations(clients(there.broker), "", "echo", 2)
    code = code_of(new, codec_of(new))
    assert {(it.keep, it.code, it.code_since) for it in kept} == {(2, code, 1)}
    back = Worker(there, 2)
    settle(back)
    assert {(it.keep, it.is_mixed(code)) for it in read_generations(clients(there.broker), "", "echo", 1)} == {(1, True)}


def test_a_worker_of_a_generation_that_nobody_built_handles_nothing(tmp_path: Path) -> None:
    """It ends with a sentence that says how to build it, and the code before goes on."""
    new = app_of(2)
    there, before = begun(tmp_path, 24)
    before.stop()
    after = Worker(there, 1, new)
    with pytest.raises(RowsNotBuilt, match="retold rebuild start echo"):
        settle(after)
    assert there.generations() == {1}


def test_a_new_namespace_needs_no_building(tmp_path: Path) -> None:
    """Nothing was handled there, so its rows of any generation have everything."""
    there, new = Site(tmp_path), app_of(3)
    worker = Worker(there, 0, new)
    settle(worker)
    there.hear(12)
    go_on(there, worker)
    assert there.generations() == {3}
    assert there.rows(new) == there.folded(new)


def test_a_worker_folds_no_more_than_it_can_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its partitions would stand still for as long: the builder goes on from where it stood."""
    new = app_of(2)
    there, before = begun(tmp_path, 24)
    built(there, new)
    there.hear(60)
    go_on(there, before)
    before.stop()
    monkeypatch.setattr(generation_restore, "CATCH_UP_LIMIT", 5)
    late = Worker(there, 1, new)
    with pytest.raises(RowsNotBuilt, match="folds at most 5"):
        settle(late)
    late.stop()
    built(there, new)
    after = Worker(there, 2, new)
    settle(after)
    assert there.rows(new) == images(after) == there.folded(new)


def test_what_is_decided_otherwise_stops_a_builder_unless_it_is_accepted(tmp_path: Path) -> None:
    """What was accepted then keeps its place in the log, and its row stays as the new code has it before that event."""
    there, new = Site(tmp_path), app_of(2, partial(refusing, 3))
    there.hear(60)
    before = Worker(there, 0)
    go_on(there, before)
    with pytest.raises(CodeChanged, match=r"echo\.hear of 'a\d+' was accepted as echo-\d:\d+, and is rejected now"):
        built(there, new)
    builder = there.builder(new, accepted=Accepted({"echo.hear"}))
    run(builder.follow(never_cancelled), lambda: builder.has_caught_up)
    before.stop()
    after = Worker(there, 1, new)
    settle(after)
    assert {heard for heard, _ in there.rows(new).values()} == {3}
    assert there.generations() == {2}


def test_what_follows_in_a_row_from_what_is_accepted_stops_no_builder(tmp_path: Path) -> None:
    """An event of another kind is decided otherwise there, since one before it is. It still stops one in any other row."""
    there, new = Site(tmp_path), app_of(2, partial(refusing, 3))
    there.hear(60)
    go_on(there, Worker(there, 0))
    other = there.builder(new, accepted=Accepted(keys=KEYS[1:]))
    with pytest.raises(CodeChanged, match=rf"echo\.hear of '{KEYS[0]}' was accepted"):
        run(other.follow(never_cancelled), lambda: other.has_caught_up)
    builder = there.builder(new, accepted=Accepted(keys=KEYS))
    run(builder.follow(never_cancelled), lambda: builder.has_caught_up)


def test_rows_of_one_generation_are_made_by_one_code(tmp_path: Path) -> None:
    """Some would be of the one and some of the other."""
    there, new = Site(tmp_path), app_of(2)
    there.hear(24)
    go_on(there, Worker(there, 0))
    built(there, new)
    other = there.builder(new, code="another")
    with pytest.raises(RowsNotBuilt, match="Give this code the generation 3"):
        run(other.follow(never_cancelled), lambda: other.has_caught_up)


def test_a_row_that_is_too_large_for_the_table_ends_its_builder(tmp_path: Path) -> None:
    """It is named: written again without end, nobody would hear of it."""
    there, new = Site(tmp_path), app_of(2)
    there.hear(24)
    go_on(there, Worker(there, 0))
    there.broker.largest["echo-table"] = 0
    builder = there.builder(new)
    with pytest.raises(RowsNotBuilt, match=r"is larger than Kafka takes into echo-table .* is that of a\d+, with 6 bytes"):
        run(builder.follow(never_cancelled), lambda: builder.has_caught_up)


def test_a_builder_whose_transactions_come_to_nothing_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Such as without the right to write to the table. What is aborted now and then is written again."""
    there, new = Site(tmp_path), app_of(2)
    there.hear(24)
    go_on(there, Worker(there, 0))
    no = KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED, txn_requires_abort=True)
    refusals, commit = [no] * (ABORTED - 1), MemoryProducer.commit_transaction

    def refused(self: MemoryProducer, timeout: float) -> None:
        if refusals:
            raise KafkaException(refusals.pop())
        commit(self, timeout)

    monkeypatch.setattr(MemoryProducer, "commit_transaction", refused)
    built(there, new)
    assert (refusals, there.rows(new)) == ([], there.folded(new))
    refusals += [no] * ABORTED
    there.corrections = 1  # so there is something to write
    with pytest.raises(BrokerError, match=rf"{ABORTED} transactions in a row came to nothing \(.*uthoriz"):
        built(there, new)


def test_a_second_builder_ends_the_first(tmp_path: Path) -> None:
    """The one that stood still cannot write older rows over newer ones."""
    there, new = Site(tmp_path), app_of(2)
    there.hear(24)
    worker = Worker(there, 0)
    go_on(there, worker)
    first = there.builder(new)
    steps = first.follow(never_cancelled)
    run(steps, lambda: first.has_caught_up)
    built(there, new)
    there.hear(24)
    go_on(there, worker)
    with pytest.raises(RowsNotBuilt, match="another `retold rebuild start`"):
        run(steps, lambda: False)
    built(there, new)
    assert there.rows(new) == there.folded(new)


def test_a_built_row_that_comes_late_changes_nothing(tmp_path: Path) -> None:
    """The builder was behind when a worker went over, and does not know yet: what the worker wrote is newer."""
    there, new = Site(tmp_path), app_of(2)
    there.hear(12)
    first = Worker(there, 0)
    go_on(there, first)
    built(there, new)
    first.stop()
    second = Worker(there, 1, new)
    there.hear(24)
    go_on(there, second)
    second.stop()
    rows = there.rows(new)
    for key, (_, version) in rows.items():
        late = codec_of(new).encode_row(EchoRow(heard=1))
        at = "echo-table", int(murmur2(key.encode(), PARTITIONS))
        there.broker.append(at, built_key(key, 2), late, [version_header(version - 1)], None)
    third = Worker(there, 2, new)
    settle(third)
    assert rows == there.rows(new) == images(third) == there.folded(new)


def test_an_event_that_a_row_has_already_is_not_folded_again(tmp_path: Path) -> None:
    """A copy reads on while rows are built, so some of its rows may be ahead of where its fold stands."""
    there, new = Site(tmp_path), app_of(2)
    there.hear(24)
    worker = Worker(there, 0)
    go_on(there, worker)
    engine = Engine(new, "echo", codec_of(new))
    for at in range(PARTITIONS):
        log = [(it.value, it.headers) for it in there._committed("echo-log", at)]
        rows = fold(engine, engine.image(at), log).rows
        before, again = dict(rows), RowFold(engine, at, rows, 0)
        assert [again.take(*record) for record in log] == [None] * len(log)
        assert (dict(rows), again.changed, again.sequence) == (before, {}, len(log))


def unwritten(worker: Worker, copy: PartitionCopy) -> dict[str, int]:
    """The versions of what a restore from this copy would write."""
    steps = worker.cycle.tasks._restorer._image(copy, never_cancelled, RestoreProgress(copy.partition))
    while True:
        try:
            next(steps)
        except StopIteration as end:
            image: Image = end.value
            return {key: version for key, (_, version) in image.unwritten.items()}


def test_a_copy_that_is_read_on_writes_all_that_was_folded_since_its_rows_were_kept(tmp_path: Path) -> None:
    """Neither less, since it was folded in an earlier attempt, nor what another worker has written meanwhile."""
    there, new = Site(tmp_path), app_of(2)
    there.hear(24)
    old = Worker(there, 0)
    go_on(there, old)
    built(there, new)
    there.hear(12)
    go_on(there, old)
    beside = Worker(there, 1, new)
    copies = [beside.cycle.tasks._restorer.empty(at) for at in range(PARTITIONS)]
    first = [unwritten(beside, copy) for copy in copies]
    assert sum(map(len, first)) == len(KEYS)
    assert [unwritten(beside, copy) for copy in copies] == first
    old.stop()
    settle(beside)
    assert there.generations() == {2}
    assert [unwritten(beside, copy) for copy in copies] == [{}] * PARTITIONS
    beside.stop()
    back = Worker(there, 2)
    settle(back)
    there.hear(1)
    go_on(there, back)
    assert sum(len(unwritten(beside, copy)) for copy in copies) == 1


def test_a_generation_is_dropped_once_no_worker_keeps_it(tmp_path: Path) -> None:
    """Its rows are deleted, and no code goes back to them: neither a worker nor a builder."""
    there, new = Site(tmp_path), app_of(2)
    there.hear(24)
    first = Worker(there, 0)
    go_on(there, first)
    with pytest.raises(HistoryError, match="workers keep generation 1 of echo-"):
        there.drop(1, first)
    built(there, new)
    first.stop()
    second = Worker(there, 1, new)
    settle(second)
    assert there.drop(1, second) == len(KEYS)
    there.hear(12)
    go_on(there, second)
    assert there.rows(new) == images(second) == there.folded(new)
    assert [key for at in range(PARTITIONS) for key, value in there.table(at).items() if value and is_of(key, 1)] == []
    second.stop()
    back = Worker(there, 2)
    with pytest.raises(RowsNotBuilt, match="dropped for good"):
        settle(back)
    back.stop()
    with pytest.raises(RowsNotBuilt, match="dropped for good"):
        built(there, there.app)
    again = Worker(there, 3, new)
    settle(again)
    assert there.rows(new) == images(again)


class Deployments:
    """Workers of both codes that come and go, and a builder that is killed between any two of its steps."""

    def __init__(self, there: Site, new: App) -> None:
        self._there, self._new = there, new
        self.workers: dict[str, Worker] = {"old": Worker(there, 0)}
        self._slot = 1
        self._steps: Steps[None] | None = None
        self._killed: list[Steps[None]] = []
        """A generator that nobody has is closed, and would end its transaction."""

    def act(self, action: str) -> None:
        match action.split():
            case ["hear"]:
                self._there.hear(12)
            case ["build"]:
                self._steps = self._steps or self._there.builder(self._new).follow(never_cancelled)
                for _ in range(3):
                    next(self._steps, None)
            case ["kill"] if self._steps is not None:
                self._killed.append(self._steps)
                self._steps = None
            case ["stop", name] if name in self.workers:
                self.workers.pop(name).stop()
            case ["old" | "new" as name]:
                self._start(name)
                for _ in range(6):
                    for worker in self.workers.values():
                        worker.step()

    def _start(self, name: str) -> None:
        if name not in self.workers:
            self.workers[name] = Worker(self._there, self._slot, self._new if name == "new" else None)
            self._slot += 1

    def end(self) -> Worker:
        """All stop, a builder is begun again, and then a worker of the new code."""
        for worker in self.workers.values():
            worker.stop()
        built(self._there, self._new)
        return Worker(self._there, self._slot, self._new)

    def close(self) -> None:
        for steps in (*self._killed, self._steps):
            if steps is not None:
                steps.close()


CASES = int(os.environ.get("GENERATION_CASES", "60"))
ACTIONS = st.lists(
    st.sampled_from(["hear", "build", "build", "build", "kill", "old", "new", "stop old", "stop new"]), min_size=10, max_size=80
)


@settings(max_examples=CASES, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(actions=ACTIONS, standbys=st.sampled_from(["0", "1"]))
def test_rows_are_what_their_code_makes_of_the_log_whoever_is_killed_when(
    tmp_path: Path, actions: list[str], standbys: str
) -> None:
    """Between any two steps of a builder, and whichever code handles events meanwhile, with copies of partitions or without."""
    there, new = Site(tmp_path, standbys=standbys), app_of(2)
    there.hear(24)
    deployments = Deployments(there, new)
    go_on(there, *deployments.workers.values())
    built(there, new)
    for action in actions:
        deployments.act(action)
    last = deployments.end()
    settle(last)
    go_on(there, last)
    assert sum(there.logged().values()) == there.published
    assert there.rows(new) == images(last) == there.folded(new)
    last.stop()
    deployments.close()
