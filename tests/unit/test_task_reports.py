"""What workers report of their partitions: what a report says, when one is written, and which one is believed."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
import pytest
import structlog
from confluent_kafka import Message

from streams.clock import SYSTEM
from streams.engine.changes import BlockingRecord
from streams.engine.image import Image
from streams.engine.records import SCHEMA, SLOW
from streams.errors import BrokerError
from streams.kafka.cancellable_steps import Cancelled
from streams.kafka.task_reports import (
    ALIVE,
    COPIES_SHOWN,
    FORGOTTEN,
    REASON_SHOWN,
    TRACE_SHOWN,
    CopyReport,
    ReadReport,
    Report,
    State,
    _read,
    copies_key,
    copies_of,
    end_of,
    ended,
    forgotten,
    report_reason,
    state_of,
)
from streams.server.readmodel.state_counts import StateCounts, counted
from streams.worker.call_queues import Assignment
from streams.worker.reporter import AGAIN, EVERY, HELD, LATER, SOON, TIDY, Reporter, report_of
from streams.worker.restore import RestoredImage
from streams.worker.task import PartitionTask
from tests.simulator.time import VirtualClock

ME, OTHER = "p.retold.shop.user.host.0", "p.retold.shop.user.host.1"


def task(partition: int = 3) -> PartitionTask:
    return PartitionTask(Assignment(partition, 1), 5)


def run(it: PartitionTask, now: int) -> None:
    it.run(RestoredImage(Image(3), 0), now)


def test_a_report_says_the_state_since_when_and_why() -> None:
    """Times are the task's own, and no clock's; of a restore, how far it is and what it waits for."""
    it = task()
    assert report_of(it, ME) == Report("restoring", 5, ME)
    it.progress.done, it.progress.total, it.progress.held = 3, 9, True
    assert report_of(it, ME) == Report("restoring", 5, ME, HELD, 3, 9)
    run(it, 6)
    assert report_of(it, ME) == Report("running", 6, ME)
    it.block(BlockingRecord(7, "no\nschema \x1b[2J5", SCHEMA), 8)
    assert report_of(it, ME) == Report("blocked", 8, ME, "no schema \\x1b[2J5", cause=SCHEMA)
    it.close(9)
    assert report_of(it, ME) is None


def test_a_reason_is_not_too_long_to_read() -> None:
    """A handler's or a schema's words may be of any length."""
    assert report_reason("x" * REASON_SHOWN) == "x" * REASON_SHOWN
    assert len(report_reason("x" * (REASON_SHOWN + 1))) == len(report_reason("\x1b" * REASON_SHOWN)) == REASON_SHOWN


@pytest.mark.parametrize(
    ("reports", "owner", "state"),
    [
        ({"user-3": Report("running", 6, ME)}, ME, State("running", 6)),
        ({"user-3": Report("blocked", 6, ME, "no schema", cause=SCHEMA)}, ME, State("blocked", 6, "no schema", SCHEMA)),
        ({"user-3": Report("restoring", 6, ME, "", 3000, 9000)}, ME, State("restoring", 6, "3,000 of 9,000 records are read")),
        ({"user-3": Report("restoring", 6, ME, "it waits")}, ME, State("restoring", 6, "it waits")),
        ({"user-3": Report("running", 6, OTHER)}, ME, State("starting")),
        ({"user-4": Report("running", 6, ME)}, ME, State("starting")),
        ({"user-3": Report("running", 6, ME)}, None, State("no worker", why=f"the last was {ME}")),
        ({}, ME, State("starting")),
        (None, ME, State()),
        (None, None, State("no worker")),
    ],
    ids=[
        "running", "blocked", "restoring", "held", "a dead worker's", "another partition's", "nobody's", "none yet",
        "no topic", "no topic and nobody",
    ],
)  # fmt: skip
def test_only_the_present_owners_report_counts(
    reports: Mapping[str, Report] | None, owner: str | None, state: State
) -> None:
    """A worker that was killed leaves its last words behind: they are not the state of today."""
    assert state_of(reports, "user-3", owner) == state


@pytest.mark.parametrize(
    "value",
    [None, b"", b"{}", b"\xff", b'{"state":"running","since":-1,"worker":"w"}', b'{"state":"running","since":1e300,"worker":"w"}',
     b'{"state":"running","since":253402300800000000,"worker":"w"}'],
)  # fmt: skip
def test_what_no_worker_wrote_is_passed_over(value: bytes | None) -> None:
    """Also a time that no calendar has: it would end the command that shows it."""
    assert _read(Message(topic="retold-tasks", partition=0, offset=1, key=b"user-3", value=value)) is None


def test_a_report_of_copies_counts_for_a_while_and_for_its_namespace() -> None:
    """Its worker writes it again and again; one that was killed does not."""
    report = Report("standby", 50_000_000, ME, copies=[CopyReport(3, True, 7, 7)])
    reports = {copies_key("user", ME): report, copies_key("folder", ME): report, "user-3": Report("running", 6, OTHER)}
    assert copies_of(reports, "user", 50_000_000 + ALIVE) == [report]
    assert copies_of(reports, "user", 50_000_001 + ALIVE) == copies_of(None, "user", 0) == []
    value = msgspec.json.encode(msgspec.structs.replace(report, copies=report.copies * 5_000))
    found = _read(Message(topic="retold-tasks", partition=0, offset=1, key=b"user w", value=value))
    assert found is not None
    assert found.copies == report.copies * COPIES_SHOWN


def test_a_report_of_a_restore_says_what_is_left() -> None:
    """By the rate so far, once there is one."""
    it = task()
    at = ("user-table", 3)
    it.progress.begin({at: (100, 1_100)}, 5.0)
    it.progress.reach({at: 200}, 5.5)
    assert report_of(it, ME) == Report("restoring", 5, ME, "", 100, 1_000)
    it.progress.reach({at: 300}, 7.0)
    report = report_of(it, ME)
    assert report == Report("restoring", 5, ME, "", 200, 1_000, left=8)
    assert state_of({"user-3": report}, "user-3", ME).why == "200 of 1,000 records are read, about 8 s left"


def test_what_a_stranger_wrote_is_bounded() -> None:
    """And drives no terminal."""
    value = msgspec.json.encode(Report("\x1b[2J" * 900, 1, "w", "\x1b[2J" * 900, cause="\x1b[2J" * 900))
    found = _read(Message(topic="retold-tasks", partition=0, offset=1, key=b"user-3", value=value))
    assert found is not None
    assert (len(found.state) <= 201, len(found.cause) <= 201, len(found.why)) == (True, True, REASON_SHOWN)
    assert "\x1b" not in found.state + found.why + found.cause


def test_a_report_without_a_cause_is_read() -> None:
    """As a worker of an earlier version wrote it: its state, since when and why are known all the same."""
    value = b'{"state":"blocked","since":6,"worker":"w","why":"the handler of item.do has not returned yet"}'
    found = _read(Message(topic="retold-tasks", partition=0, offset=1, key=b"user-3", value=value))
    assert found == ReadReport("blocked", 6, "w", "the handler of item.do has not returned yet")


def test_a_handler_that_does_not_return_is_reported_as_such() -> None:
    """By its cause: what a reader does about it depends on no wording."""
    it, topic = task(), Topic()
    run(it, 6)
    Reporter("user", ME, lambda: [it], topic.write, SYSTEM, slow=lambda _: (7, "it hangs")).look(100.0)
    assert topic.written == [{"user-3": Report("blocked", 7, ME, "it hangs", cause=SLOW)}]


class Topic:
    """Takes reports; while it is `away`, it refuses them."""

    def __init__(self) -> None:
        self.away = False
        self.written: list[dict[str, Report | None]] = []

    def write(self, reports: Mapping[str, Report | None], cancelled: Cancelled) -> None:
        assert not cancelled()
        if self.away:
            raise BrokerError("retold-tasks \x1b is missing")
        self.written.append(dict(reports))


def reporter(topic: Topic, *tasks: PartitionTask) -> Reporter:
    return Reporter("user", ME, lambda: tasks, topic.write, SYSTEM)


def test_only_what_is_new_is_written() -> None:
    """A new state soon, how far a restore is every 2 s; all of it once a minute, whatever became of the topic meanwhile."""
    it, topic = task(), Topic()
    reports = reporter(topic, it)
    assert reports.look(100.0) == SOON
    it.progress.total = 7
    reports.look(100.0 + EVERY - SOON)
    it.progress.total = 9
    reports.look(100.0 + EVERY)
    reports.look(100.0 + 2 * EVERY)
    run(it, 7)
    reports.look(100.0 + 2 * EVERY + SOON)
    reports.look(100.0 + AGAIN - EVERY)
    reports.look(100.0 + AGAIN)
    restoring, running = Report("restoring", 5, ME), Report("running", 7, ME)
    assert topic.written == [
        {"user-3": each} for each in (restoring, Report("restoring", 5, ME, total=9), running, running)
    ]


def test_a_report_that_is_not_taken_is_dropped_and_the_next_one_is_true() -> None:
    """One warning, however long it lasts; what is written at last is the state of then, of all: the topic may be a new one."""
    it, other, topic = task(), task(4), Topic()
    reports, topic.away = reporter(topic, it, other), True
    with structlog.testing.capture_logs() as said:
        assert [reports.look(100.0), reports.look(110.0)] == [LATER, LATER]
        run(it, 7)
        topic.away = False
        assert reports.look(120.0) == SOON
        topic.away = True
        it.block(BlockingRecord(7, "no schema", SCHEMA), 8)
        reports.look(122.0)
        topic.away = False
        reports.look(132.0)
    beside = {"user-4": Report("restoring", 5, ME)}
    assert topic.written == [
        {"user-3": Report("running", 7, ME)} | beside,
        {"user-3": Report("blocked", 8, ME, "no schema", cause=SCHEMA)} | beside,
    ]
    assert [(entry["log_level"], entry["detail"]) for entry in said] == [
        ("warning", "BrokerError: retold-tasks \\x1b is missing")
    ] * 2


def test_whatever_a_look_meets_the_thread_goes_on() -> None:
    """A fault of ours in a report ends neither the reporting nor the worker."""

    def broken() -> list[PartitionTask]:
        raise KeyError("user")

    reports = Reporter("user", ME, broken, Topic().write, SYSTEM)
    assert reports.look(100.0) == LATER


def test_reports_of_workers_that_are_gone_are_deleted() -> None:
    """A worker may have another id each time that it starts. Who is there, and who was a moment ago, is left alone."""
    there = {
        copies_key("user", OTHER): Report("standby", 5, OTHER),
        copies_key("user", ME): Report("standby", 6, ME),
        copies_key("bank", OTHER): Report("standby", 5, OTHER),
        "user-3": Report("running", 5, OTHER),
        "user": Report("ended", 5, OTHER),
    }
    assert forgotten(there, "user", 6 + FORGOTTEN) == {copies_key("user", OTHER): None}
    assert forgotten(None, "user", 6 + FORGOTTEN) == {}
    clock, topic = VirtualClock(), Topic()
    reports = Reporter("user", ME, list, topic.write, clock)
    reports.forgotten = lambda _: forgotten(there, "user", 6 + FORGOTTEN)
    now = clock.monotonic()
    for later in (0.0, TIDY - 1, TIDY, TIDY + EVERY):
        reports.look(now + later)
    assert topic.written == [{copies_key("user", OTHER): None}]


def test_states_are_counted_with_those_that_nobody_is_in() -> None:
    """So that a figure goes down to 0; what came later, or is not known, is neither lost nor a label of its own."""
    counts = counted({("user", 0): "running", ("user", 1): "running", ("user", 2): None, ("user", 3): "hibernating"})
    assert counts == {
        ("user", "running"): 2, ("user", "unknown"): 2, ("user", "restoring"): 0, ("user", "blocked"): 0,
        ("user", "starting"): 0, ("user", "no worker"): 0,
    }  # fmt: skip
    assert StateCounts().counts == {}


def test_a_reporter_looks_until_nobody_wants_it() -> None:
    """It gives its thread back between two looks, and then for good."""
    ended = False
    steps = reporter(Topic(), task()).report(lambda: ended)
    assert [next(steps), next(steps)] == [SOON, SOON]
    ended = True
    assert list(steps) == []


def test_an_end_has_a_reason_and_the_lines_behind_it() -> None:
    """As a worker says it: a sentence, and a traceback whose lines are kept, without what drives a terminal."""
    [(key, end)] = end_of("user", ME, 9, "it stops.\nTraceback:\n  \x1b[2Jline\n").items()
    assert (key, end) == ("user", Report("ended", 9, ME, "it stops.", trace="Traceback:\n  \\x1b[2Jline"))
    assert len(end_of("user", ME, 9, "x" * 9_000 + "\n" + "\x1b" * 9_000)["user"].trace) == TRACE_SHOWN
    found = _read(Message(topic="retold-tasks", partition=0, offset=1, key=b"user", value=msgspec.json.encode(end)))
    assert found is not None
    assert found.trace == end.trace.replace("\x1b", "\\x1b")


END = Report("ended", 9, ME, "why")


@pytest.mark.parametrize(
    ("reports", "owners", "is_ended"),
    [
        ({}, [None, None], False),
        ({"user": END}, [None, None], True),
        ({"user": END}, [ME, ME], True),
        ({"user": END, "user-0": Report("running", 8, ME), "user-1": Report("running", 8, ME)}, [ME, ME], True),
        ({"user": END, "user-0": Report("restoring", 10, ME), "user-1": Report("running", 10, ME)}, [ME, ME], True),
        ({"user": END, "user-0": Report("running", 10, ME), "user-1": Report("running", 10, ME)}, [None, None], False),
        ({"user": END, "user-0": Report("running", 5, OTHER), "user-1": Report("blocked", 10, OTHER)}, [OTHER] * 2, False),
        ({"user": END, "user-0": Report("running", 5, OTHER), "user-1": Report("running", 5, ME)}, [OTHER, None], True),
        ({"user": END, **{f"user-{at}": ReadReport("running", 5, ME, written=10) for at in (0, 1)}}, [ME, ME], False),
        ({"user": END, **{f"user-{at}": ReadReport("running", 5, ME, written=9) for at in (0, 1)}}, [ME, ME], True),
    ],
    ids=[
        "none", "nobody", "comes again", "ran before", "restores again", "ran since", "another", "another has a part",
        "a rival of its name", "its last word",
    ],
)
def test_a_namespace_has_ended_until_all_of_it_runs_again(
    reports: Mapping[str, Report], owners: list[str | None], is_ended: bool
) -> None:
    """By a worker that started again, or by another one that has taken over; a clean stop after that is no end."""
    assert (ended(reports, "user", owners) is not None) is is_ended
    assert ended(None, "user", owners) is None
