"""A namespace whose rows are not built waits out of its group, if its worker has others."""

from __future__ import annotations

from pathlib import Path

import structlog

from streams.errors import RowsNotBuilt
from streams.worker.run import runtime
from streams.worker.runner import NamespaceRunner
from streams.worker.slots import Slot
from tests.simulator.test_generations import app_of, begun, built, settle
from tests.simulator.workers import Worker, go_on
from tests.support.workers import until


def test_it_waits_out_of_its_group_until_they_are_built(tmp_path: Path) -> None:
    """The code before goes on with all partitions meanwhile. It is said once, and then it goes over to them by itself."""
    new = app_of(2)
    there, before = begun(tmp_path, 24)
    with structlog.testing.capture_logs() as said:
        after = Worker(there, 1, new, waits=True)
        settle(before, after)
        there.hear(24)
        go_on(there, before, after)
        settle(before, after)
    assert [it["namespace"] for it in said if it["event"] == "namespace waits"] == ["echo"]
    assert (after.partitions(), after.cycle.tasks.all_restored, after.cycle.tasks.joined) == (set(), False, False)
    assert (there.generations(), len(before.partitions())) == ({1}, 4)
    before.stop()
    settle(after)
    assert there.generations() == {1}
    built(there, new)
    settle(after)
    assert (there.generations(), after.cycle.tasks.all_restored) == ({2}, True)
    there.hear(12)
    go_on(there, after)
    assert there.rows(new) == there.folded(new)
    after.stop()


def test_it_tries_no_rows_again_that_it_has_refused(tmp_path: Path) -> None:
    """Such as those that other code has built: each try takes partitions from workers that go on."""
    new = app_of(2)
    there, before = begun(tmp_path, 24)
    built(there, new, code="other code")
    with structlog.testing.capture_logs() as said:
        after = Worker(there, 1, new, waits=True)
        for _ in range(5):
            there.hear(12)
            go_on(there, before, after)
            settle(before, after)
    assert [it["event"] for it in said if it["event"] in ("namespace waits", "joining")] == ["namespace waits", "joining"]
    assert (after.partitions(), there.generations()) == (set(), {1})
    after.stop()
    before.stop()


def test_one_that_is_stopped_while_it_waits_is_told_to_have_ended(tmp_path: Path) -> None:
    """Else its status would say for ever that it goes on by itself, and nobody runs it."""
    new = app_of(2)
    there, before = begun(tmp_path, 24)
    before.stop()
    after, told = Worker(there, 1, new, waits=True), list[BaseException]()
    settle(after)
    runner = NamespaceRunner(after.cycle, Slot(tmp_path / "slots", "echo"), [], lambda _: None, told.append, runtime())
    assert isinstance(runner.waits, RowsNotBuilt)
    runner._thread.start()
    runner.stop()
    until(lambda: runner.join(0.0), "it does not end")
    assert (runner.error, [type(it) for it in told]) == (None, [RowsNotBuilt])
