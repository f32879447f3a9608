"""When a worker asks about an open transaction, and what ends its looking: nothing."""

from __future__ import annotations

from streams.errors import BrokerUnavailable, ConfigError
from streams.kafka.offsets import GROUPS, OpenSpan
from streams.kafka.open_transactions import OpenTransaction
from streams.worker.stalls import REPORT_AGAIN_AFTER, STILL_SECONDS, FailureLog, StallTracker, to_report

HERE, THERE = ("user", 3), ("user", 4)


def test_a_stable_offset_that_stands_still_is_asked_about_each_minute() -> None:
    """Also where there was nothing to report: each question makes clients of its own."""
    watch, held = StallTracker(STILL_SECONDS), {HERE: OpenSpan(7, 9)}
    assert watch.due(held, 100.0) == {}
    assert watch.due(held, 100.0 + STILL_SECONDS - 1) == {}
    [stall] = watch.due(held, 100.0 + STILL_SECONDS).values()
    stall.asked = 100.0 + STILL_SECONDS
    assert watch.due(held, stall.asked + 2.5) == {}
    assert watch.due(held, stall.asked + REPORT_AGAIN_AFTER) == {HERE: stall}


def test_what_goes_on_begins_again() -> None:
    """Each transaction has its own time."""
    watch = StallTracker(STILL_SECONDS)
    watch.due({HERE: OpenSpan(7, 9)}, 0.0)
    assert watch.over([HERE], {HERE: OpenSpan(8, 9)}) == {}
    assert watch.due({HERE: OpenSpan(8, 9)}, STILL_SECONDS) == {}


def test_only_the_end_of_what_was_reported_is_reported() -> None:
    """And only where we still read; a partition that another worker has now is that one's."""
    watch, held = StallTracker(STILL_SECONDS), {HERE: OpenSpan(7, 9), THERE: OpenSpan(1, 9)}
    watch.due(held, 0.0)
    first, _ = watch.due(held, STILL_SECONDS).values()
    first.reported = True
    assert watch.over([HERE, THERE], {}) == {HERE: first}
    assert watch.over([HERE, THERE], {}) == {}
    for stall in (watch.due(held, 0.0), watch.due(held, STILL_SECONDS))[1].values():
        stall.reported = True
    assert list(watch.over([THERE], {})) == [THERE]


def test_among_the_groups_offsets_ours_are_reported_first() -> None:
    """Other groups have theirs beside them; where none is ours, another program commits for our group."""
    foreign = OpenTransaction(GROUPS, 0, 3, 9, transactional_id="billing-1")
    ours = OpenTransaction(GROUPS, 0, 7, 5, transactional_id="p.retold.shop.user.host.0")
    others = [OpenTransaction("user", 3, 4, 9), OpenTransaction("user", 3, 5, 8)]
    assert to_report([foreign, ours, *others], "p.retold.shop.user.") == [ours, others[0]]
    assert to_report([foreign], "p.retold.shop.user.") == [foreign]


def test_whatever_a_look_raises_is_logged_and_the_next_one_follows() -> None:
    """A broker that is away is no news. All else is said once, until a look succeeds."""
    said: list[tuple[str, str]] = []
    failures = FailureLog(lambda level, text: said.append((level, text)))

    def raising(error: Exception) -> None:
        raise error

    failures.run(lambda: raising(BrokerUnavailable("away")), "our partitions")
    for _ in range(2):
        failures.run(lambda: raising(KeyError("\x1buser")), "our partitions")
    failures.run(lambda: None, "our partitions")
    failures.run(lambda: raising(ConfigError("no")), "our partitions")
    assert [level for level, _ in said] == ["debug", "warning", "warning"]
    assert said[1][1].startswith("whether a transaction is open in our partitions is not known: KeyError: ")
    assert "\x1b" not in said[1][1]
