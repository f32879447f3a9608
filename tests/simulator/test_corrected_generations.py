"""Rows of another generation where the past was corrected: they are what its code makes of the history that counts."""

from __future__ import annotations

from collections import Counter
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import murmur2

from streams import App, Event, Outcome
from streams.codec import codec_of
from streams.engine.fold import CorrectedRows
from streams.engine.step import encode_step
from streams.errors import HistoryError, RowsNotBuilt
from streams.history.branch.branch import replay_difference
from streams.history.branch.change import Change, InsertedEvent
from streams.history.code.application_handlers import ApplicationHandlers
from streams.history.code.local_code import LocalCode
from streams.history.correction import last_corrected
from streams.history.correction.corrected_generation import CorrectedGeneration
from streams.history.correction.corrected_log import CorrectedLog
from streams.history.correction.corrected_past import CorrectedPast, Signature
from streams.history.correction.correction_plan import CorrectionPlan
from streams.history.correction.planning import plan_correction
from streams.history.difference.accepted_origins import counted, not_accepted
from streams.history.difference.difference import OUTCOME
from streams.history.past import MemoryPast, Past
from streams.history.recorded_event import ROOT
from streams.kafka.correction_coordinator import CorrectionCoordinator
from streams.kafka.corrections_topic import APPLIED, CorrectionState, read_corrections, write_correction
from streams.kafka.step_writer import StepWriter
from streams.kafka.topics import topic_names
from tests.applications.probe.events import EchoHear, EchoRow
from tests.simulator.clients import clients
from tests.simulator.coordinators import recorded_past
from tests.simulator.test_generations import KEYS, Handler, Site, app_of, built, images, refusing, settle, unwritten
from tests.simulator.workers import PARTITIONS, Worker, go_on
from tests.support.corrections import next_steps


def flag(row: EchoRow | None, _event: Event[EchoHear]) -> Outcome[EchoRow]:
    """Whether anything was heard, and not how often."""
    return Outcome(EchoRow(heard=1))


class CorrectedSite(Site):
    """Events are taken out of its past by the coordinator's own functions. `changes` are the corrections so far."""

    def __init__(self, state: Path, handler: Handler | None = None, **others: str) -> None:
        super().__init__(state, **others)
        self.broker.create(["retold-corrections"], 1)
        self.app = app_of(1, handler)
        self.changes: list[Change] = []
        self.removed = Counter[str]()

    def log(self, app: App) -> MemoryPast:
        return recorded_past(clients(self.broker), app, codec_of(app), PARTITIONS)

    def correct(self, app: App, worker: Worker, *keys: str) -> CorrectionPlan:
        """Take out an event of each key that is there still."""
        handlers, log = ApplicationHandlers(app, codec_of(app)), self.log(app)
        so_far = CorrectedLog(log, self.changes)
        names, there = set[str](), so_far.past(handlers)
        for key in keys:
            there_still = [it.exact_name for it in there.key_events(("echo", key)) if it.kind == ROOT]
            names.add(next(name for name in there_still if name not in names))
        self.removed.update(keys)
        return self.take_out(app, worker, *names)

    def take_out(self, app: App, worker: Worker, *names: str) -> CorrectionPlan:
        """Events by their exact names."""
        handlers, log = ApplicationHandlers(app, codec_of(app)), self.log(app)
        so_far = CorrectedLog(log, self.changes)
        plan = plan_correction(so_far, handlers, Change(remove=frozenset(names)), "ann", "a test")
        self.changes.append(plan.change.read(handlers.codec))
        self.corrections = number = len(self.changes)
        write_correction(
            clients(self.broker), "",
            CorrectionState(app.name, plan.correction, number, "ann", "a test", plan.change, APPLIED, number, number),
        )  # fmt: skip
        for _ in range(5):
            steps = next_steps(self.log(app), handlers, self.changes, Signature(plan.correction, "ann", "a test"))
            for step in steps:
                key = step.entity.encode()
                at = topic_names("", "echo").inbox, int(murmur2(key, PARTITIONS))
                self.broker.append(at, key, encode_step(step), None, None)
            if not steps:
                return plan
            go_on(self, worker)
        raise AssertionError("there is no fixed point")

    def corrected(self, app: App) -> dict[int, CorrectedRows]:
        log, until = self.log(app), {at: it.last for at, it in self.markers().items()}
        handlers = ApplicationHandlers(app, codec_of(app))
        return CorrectedGeneration(log, handlers, self.changes, self.corrections).rows("echo", until)

    def expected(self, step: int) -> dict[str, int]:
        """What is heard of each key, in steps."""
        heard = Counter(KEYS[number % len(KEYS)] for number in range(self.published)) - self.removed
        return {key: count * step for key, count in heard.items()}

    def heard(self, app: App) -> dict[str, int]:
        return {key: heard for key, (heard, _) in self.rows(app).items()}

    def versions(self, app: App) -> dict[str, int]:
        return {key: version for key, (_, version) in self.rows(app).items()}


@pytest.fixture
def there(tmp_path: Path) -> CorrectedSite:
    return CorrectedSite(tmp_path)


def handled(there: CorrectedSite, app: App, slot: int, count: int = 60) -> Worker:
    there.hear(count)
    worker = Worker(there, slot, app)
    go_on(there, worker)
    return worker


def assert_refused(worker: Worker, why: str) -> None:
    """It ends rather than going over to the rows that there are."""
    with pytest.raises(RowsNotBuilt, match=why):
        settle(worker)
    worker.stop()


def test_rows_are_built_from_the_corrected_past_and_gone_over_to(there: CorrectedSite) -> None:
    """What comes after they are built is folded on them, and they have the versions that publishers have seen."""
    new = app_of(2)
    first = handled(there, there.app, 0)
    there.correct(there.app, first, "a1", "a2", "a2")
    assert there.heard(there.app) == there.expected(1)
    with pytest.raises(RowsNotBuilt, match=r"built from the corrected past\. Run `retold rebuild start echo`"):
        built(there, new)
    built(there, new, there.corrected(new))
    assert there.heard(new) == there.expected(2)
    assert there.versions(new) == there.versions(there.app)
    there.hear(30)
    go_on(there, first)
    first.stop()
    second = Worker(there, 1, new)
    settle(second)
    assert there.generations() == {2}
    there.hear(12)
    go_on(there, second)
    assert there.heard(new) == there.expected(2)
    assert there.rows(new) == images(second)


def test_a_row_that_the_code_here_refuses_is_not_built_from_the_corrected_past(there: CorrectedSite) -> None:
    """What it would be is not known, as where the past was not corrected."""
    first = handled(there, there.app, 0)
    there.correct(there.app, first, "a1")
    first.stop()
    with pytest.raises(HistoryError, match=r"rows of echo cannot be built .* now rejects it.*out with the code that workers have"):
        there.corrected(app_of(2, partial(refusing, 1)))


def test_corrections_go_on_in_the_new_generation_and_back_in_the_one_before(there: CorrectedSite) -> None:
    """A plan names what it changes alone, though other rows were set by code of another generation."""
    new = app_of(2)
    first = handled(there, there.app, 0)
    there.correct(there.app, first, "a1", "a2")
    first.stop()
    built(there, new, there.corrected(new))
    second = handled(there, new, 1, 24)
    plan = there.correct(new, second, "a2", "a5")
    assert {it.key: it.before["heard"] - it.after["heard"] for it in plan.rows} == {"a2": 2, "a5": 2}
    assert there.heard(new) == there.expected(2)
    again = there.correct(new, second, "a2")
    assert [it.key for it in again.rows] == ["a2"]
    assert there.heard(new) == there.expected(2)
    second.stop()
    assert_refused(Worker(there, 2, there.app), "retold rebuild start echo")
    built(there, there.app, there.corrected(there.app))
    back = handled(there, there.app, 3, 12)
    assert (there.generations(), there.heard(there.app)) == ({1}, there.expected(1))
    assert [it.key for it in there.correct(there.app, back, "a1").rows] == ["a1"]
    assert there.heard(there.app) == there.expected(1)


def test_a_correction_after_rows_are_built_has_them_built_again(there: CorrectedSite) -> None:
    """A worker of the new code does not go over to them before."""
    new = app_of(2)
    first = handled(there, there.app, 0)
    built(there, new)
    there.correct(there.app, first, "a3")
    first.stop()
    assert_refused(Worker(there, 1, new), "retold rebuild start echo")
    built(there, new, there.corrected(new))
    second = Worker(there, 2, new)
    settle(second)
    assert (there.generations(), there.heard(new)) == ({2}, there.expected(2))


def test_a_row_that_no_step_has_set_is_built_again_too(tmp_path: Path) -> None:
    """The code before has it the same with the correction and without; its version is the same, and the row is another one."""
    there, new = CorrectedSite(tmp_path, flag), app_of(2)
    first = handled(there, there.app, 0)
    built(there, new)
    assert there.correct(there.app, first, "a3").rows == ()
    first.stop()
    assert_refused(Worker(there, 2, new), r"do not have the correction \S+ by ann, which was begun later\. Run `retold rebuild")
    assert there.generations() == {1}
    built(there, new, there.corrected(new))
    assert there.heard(new) == there.expected(2)
    second = Worker(there, 1, new)
    settle(second)
    assert {key: heard for key, (heard, _) in images(second).items()} == there.expected(2)


def test_code_that_is_taken_back_has_its_rows_built_with_what_was_corrected_since(there: CorrectedSite) -> None:
    """The newer code has the rows the same with the correction and without, so no step in the log says that there was one."""
    new = app_of(2, flag)
    first = handled(there, there.app, 0)
    there.correct(there.app, first, "a1")
    first.stop()
    built(there, new, there.corrected(new))
    second = handled(there, new, 1, 24)
    second.stop()
    back = handled(there, there.app, 2, 12)
    assert (there.generations(), there.heard(there.app)) == ({1}, there.expected(1)), "nothing was corrected since: as it was"
    back.stop()
    third = handled(there, new, 3, 12)
    assert there.correct(new, third, "a3").rows == ()
    third.stop()
    assert_refused(Worker(there, 4, there.app), "which was begun later")
    built(there, there.app, there.corrected(there.app))
    again = Worker(there, 5, there.app)
    settle(again)
    assert (there.generations(), there.heard(there.app)) == ({1}, there.expected(1))
    assert there.rows(there.app) == images(again)


def test_a_copy_that_was_read_before_rows_were_built_anew_is_not_written(tmp_path: Path) -> None:
    """What it has folded on the rows before would take the place of those that were built."""
    there, new = CorrectedSite(tmp_path, flag, standbys="1"), app_of(2)
    first = handled(there, there.app, 0)
    built(there, new)
    there.hear(12)
    go_on(there, first)
    beside = Worker(there, 1, new)
    copies = [beside.cycle.tasks._restorer.empty(at) for at in range(PARTITIONS)]
    assert sum(len(unwritten(beside, copy)) for copy in copies) == len(KEYS)
    assert there.correct(there.app, first, *KEYS).rows == ()
    built(there, new, there.corrected(new))
    assert [unwritten(beside, copy) for copy in copies] == [{}] * PARTITIONS


def test_steps_of_code_of_another_generation_are_not_sent_for_nothing(there: CorrectedSite) -> None:
    """A worker takes none of them, and its coordinator is told which code is needed."""
    new = app_of(2)
    first = handled(there, there.app, 0)
    writer = StepWriter(clients(there.broker), "", {"echo": 2})
    handlers = ApplicationHandlers(new, codec_of(new))
    gone = Change(remove=frozenset([next(there.log(new).events()).exact_name]))
    plan = plan_correction(CorrectedLog(there.log(new)), handlers, gone, "ann", "a test")
    [step] = next_steps(there.log(new), handlers, [plan.change.read(handlers.codec)], Signature("c1", "ann", "a test"))
    before = there.rows(there.app)
    with pytest.raises(HistoryError, match=r"workers keep rows of generation 1 of echo.* by `retold correct withdraw`"):
        writer.send([step], partial(settle, first))
    writer.close()
    settle(first)
    assert there.rows(there.app) == before


def test_a_correction_that_sets_no_row_is_refused_too_where_workers_have_gone_over(tmp_path: Path) -> None:
    """Their rows are without it, and nothing of it comes to an inbox."""
    there, new = CorrectedSite(tmp_path, flag), app_of(2)
    first = handled(there, there.app, 0)
    built(there, new)
    first.stop()
    second = Worker(there, 1, new)
    settle(second)
    handlers = ApplicationHandlers(there.app, codec_of(there.app))
    put_in = Change([InsertedEvent(EchoHear(name="a1"), datetime(2026, 1, 1, tzinfo=UTC))])
    plan = plan_correction(CorrectedLog(there.log(there.app)), handlers, put_in, "ann", "a test")
    assert plan.rows == ()

    def goes_on() -> bool:
        second.step()
        return False

    coordinator = CorrectionCoordinator(
        clients(there.broker), "", there.app, codec_of(there.app), lambda: nullcontext(there.log(there.app)), name="m1-1",
        largest=1_000_000, stopped=goes_on,
    )  # fmt: skip
    with pytest.raises(HistoryError, match="workers keep rows of generation 2 of echo, and the code here makes those of generat"):
        coordinator.apply(plan)
    assert read_corrections(clients(there.broker), "", there.app.name) == []


def test_nothing_is_sent_to_workers_of_another_generation(there: CorrectedSite) -> None:
    """They would set each step aside. It is seen before the correction is begun, which would hold up all others."""
    new = app_of(2)
    first = handled(there, there.app, 0)
    handlers = ApplicationHandlers(new, codec_of(new))
    gone = Change(remove=frozenset([next(there.log(new).events()).exact_name]))
    plan = plan_correction(CorrectedLog(there.log(new)), handlers, gone, "ann", "a test")
    assert plan.rows != ()

    def goes_on() -> bool:
        first.step()
        return False

    def coordinator() -> CorrectionCoordinator:
        return CorrectionCoordinator(
            clients(there.broker), "", new, codec_of(new), lambda: nullcontext(there.log(new)), name="m1-1", largest=1_000_000,
            stopped=goes_on,
        )  # fmt: skip

    begun: list[bool] = []
    with pytest.raises(HistoryError, match=r"workers keep rows of generation 1 of echo.* Nothing was done: apply the correction"):
        coordinator().apply(plan, begun=lambda: begun.append(True))
    assert begun == []
    assert read_corrections(clients(there.broker), "", new.name) == []


def test_what_new_code_decides_otherwise_since_a_correction_is_found(there: CorrectedSite) -> None:
    """The log says of such rows only what the code before makes of them: without the corrected past nobody would know."""
    new = app_of(2, partial(refusing, 4))
    first = handled(there, there.app, 0, 24)
    there.correct(there.app, first, "a1")
    there.hear(48)
    go_on(there, first)
    log, handlers = there.log(new), ApplicationHandlers(new, codec_of(new))
    corrected = CorrectedGeneration(log, handlers, there.changes, 1)
    found = replay_difference(log, LocalCode(handlers.leaving(corrected.again)), handlers)
    assert "a1" not in {it.recorded.key for it in found.origins}
    corrected.complete(found, "echo")
    otherwise = [it for it in found.origins if it.recorded.key == "a1"]
    assert [(it.kind, it.now.reason) for it in otherwise] == [(OUTCOME, "enough was heard")]
    assert all(it.recorded is None or it.recorded.key != "a1" for it in found.untold)
    assert counted(found) == not_accepted(found, []) != []


def test_what_a_correction_takes_out_is_no_difference(there: CorrectedSite) -> None:
    """The newer code refuses it, and has it nowhere."""
    new = app_of(2, partial(refusing, 1))
    first = handled(there, there.app, 0, 12)
    there.hear(1)
    go_on(there, first)
    last = there.log(new).key_events(("echo", KEYS[0]))[-1]
    there.take_out(there.app, first, last.exact_name)
    log, handlers = there.log(new), ApplicationHandlers(new, codec_of(new))
    corrected = CorrectedGeneration(log, handlers, there.changes, 1)
    found = replay_difference(log, LocalCode(handlers.leaving(corrected.again)), handlers)
    assert [it.recorded.key for it in found.untold if it.recorded is not None] == [KEYS[0]]
    corrected.complete(found, "echo")
    assert not_accepted(found, []) == []


def test_what_new_code_has_otherwise_elsewhere_is_told(there: CorrectedSite) -> None:
    """Rows of other namespaces are not built with these; nothing of them is otherwise here."""
    first, new = handled(there, there.app, 0), app_of(2)
    there.correct(there.app, first, "a1")
    handlers = ApplicationHandlers(new, codec_of(new))
    assert CorrectedGeneration(there.log(new), handlers, there.changes, 1).rows_elsewhere("echo") == []


def test_a_coordinator_decides_the_past_once_if_nothing_else_comes(there: CorrectedSite, monkeypatch: pytest.MonkeyPatch) -> None:
    """It looks at the log before it is at work, then, and behind its steps: each time it is read anew, and tells the same."""
    decided, looks = list[Past](), list[Past]()

    def counted(log: Past, *given: Any, **named: Any) -> CorrectedPast:
        decided.append(log)
        return CorrectedPast(log, *given, **named)

    monkeypatch.setattr(last_corrected, "CorrectedPast", counted)
    first, app = handled(there, there.app, 0), replace(there.app, namespaces=[there.app.namespace("echo")])  # whose worker runs
    handlers, log = ApplicationHandlers(app, codec_of(app)), there.log(app)
    gone = Change(remove=frozenset([next(log.events()).exact_name]))
    plan = plan_correction(CorrectedLog(log), handlers, gone, "ann", "a test")

    def goes_on() -> bool:
        settle(first)
        return False

    def recorded() -> AbstractContextManager[Past]:
        looks.append(there.log(app))
        return nullcontext(looks[-1])

    coordinator = CorrectionCoordinator(
        clients(there.broker), "", app, codec_of(app), recorded, name="m1-1", largest=1_000_000, stopped=goes_on,
    )  # fmt: skip
    assert coordinator.apply(plan) == 1
    assert (len(decided), len(looks)) == (1, 4)
