"""The life of a partition's task: what it may become from what it is, and that nothing outlives it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.engine.changes import BlockingRecord
from streams.engine.control import OperatorCommand
from streams.engine.image import Image
from streams.engine.records import SCHEMA
from streams.errors import PartitionLost
from streams.worker.call_queues import Assignment
from streams.worker.restore import RestoredImage
from streams.worker.task import IllegalTransition, PartitionTask, TaskState

STEPS = {
    "run": lambda task, now: task.run(RestoredImage(Image(3), 0), now),
    "block": lambda task, now: task.block(BlockingRecord(5 + now, "no schema 5", SCHEMA), now),
    "unblock": lambda task, now: task.unblock(now),
    "close": lambda task, now: task.close(now),
}
ALLOWED = {
    TaskState.RESTORING: {"run": TaskState.RUNNING, "close": TaskState.CLOSED},
    TaskState.RUNNING: {"block": TaskState.BLOCKED, "close": TaskState.CLOSED},
    TaskState.BLOCKED: {"unblock": TaskState.RUNNING, "close": TaskState.CLOSED},
    TaskState.CLOSED: {},
}


class Endless:
    """A restore that is not done before it is cancelled."""

    cancelled = False

    def done(self) -> bool:
        return self.cancelled

    def value(self) -> RestoredImage:
        raise PartitionLost("cancelled")

    def cancel(self) -> None:
        self.cancelled = True


def task() -> PartitionTask:
    return PartitionTask(Assignment(3, 1), 0)


@given(st.lists(st.sampled_from(sorted(STEPS)), max_size=12))
def test_a_task_does_what_its_state_allows_and_refuses_the_rest(steps: list[str]) -> None:
    """As its docstring draws it; what is refused changes nothing, and each change says since when."""
    it = task()
    for now, step in enumerate(steps, 1):
        before, allowed = it.status, ALLOWED[it.state]
        if step in allowed:
            STEPS[step](it, now)
            assert (it.state, it.status.since) == (allowed[step], now)
        else:
            with pytest.raises(IllegalTransition, match=f"partition 3 is {before.state.value}"):
                STEPS[step](it, now)
            assert it.status == before
        assert (it.rows is not None) is (it.state in {TaskState.RUNNING, TaskState.BLOCKED})
        assert (it.command_search is not None) is (it.state is TaskState.BLOCKED)


def test_a_record_that_blocks_again_has_blocked_all_the_time() -> None:
    """A try that came to the same resets no clock that an operator looks at; another record begins again."""
    it = task()
    STEPS["run"](it, 1)
    for now in (2, 5):
        it.block(BlockingRecord(7, "no schema 5", SCHEMA), now)
        assert it.status.since == 2
        it.unblock(now + 1)
    it.block(BlockingRecord(9, "no schema 5", SCHEMA), 8)
    assert it.status.since == 8


def test_a_record_that_is_tried_again_is_shown_as_blocked_until_it_is_handled() -> None:
    """Else a look in that moment would find a partition that runs; each worker tries once when it has read all schemas."""
    it = task()
    STEPS["run"](it, 1)
    it.block(BlockingRecord(7, "no schema 5", SCHEMA), 2)
    it.unblock(3)
    assert (it.state, it.status_shown) == (TaskState.RUNNING, (TaskState.BLOCKED, 2, "no schema 5", SCHEMA))
    it.read_to(8)
    assert it.status_shown == it.status == (TaskState.RUNNING, 3, "", "")
    it.close(4)
    assert it.status_shown.state is TaskState.CLOSED


def test_a_blocked_task_says_why_and_since_when() -> None:
    """For whoever looks at a worker that does not go on."""
    it = task()
    STEPS["run"](it, 1)
    STEPS["block"](it, 2)
    assert it.status == (TaskState.BLOCKED, 2, "no schema 5", SCHEMA)
    assert it.command_search is not None
    assert (it.command_search.offset, it.command_search.next_offset) == (7, 8)


def test_nothing_outlives_a_task() -> None:
    """Its rows and a quarantine command about its record are gone once it is closed."""
    it = task()
    STEPS["run"](it, 1)
    STEPS["block"](it, 2)
    it.quarantine(OperatorCommand("quarantine", "", 7, "ada", "obsolete"))
    assert it.quarantines() == {7: "set aside by ada: obsolete"}
    it.close(3)
    assert (it.rows, it.command_search, it.quarantines(), list(it.results)) == (None, None, {}, [])
    with pytest.raises(IllegalTransition, match="has no rows while it is closed"):
        _ = it.image


def test_a_restore_ends_with_its_task() -> None:
    """Nobody waits for it, and its half of an image is not kept."""
    it = task()
    it.restore = job = Endless()
    it.close(1)
    assert job.cancelled
    assert it.restore is None
