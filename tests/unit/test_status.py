"""What `retold status` says below its tables: what needs an operator's attention, and the command for it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from streams.cli.commands.status import as_json_value
from streams.cli.output.attention import attention
from streams.engine.marker import Marker, producers_replaced
from streams.engine.records import SLOW, Counters
from streams.engine.times import to_micros
from streams.kafka.alarms import checks
from streams.kafka.status import BlockedPartition, CopyStatus, NamespaceEnd, NamespaceStatus, PartitionStatus, Status
from streams.kafka.task_reports import LAST

NOW = datetime(2026, 2, 3, 4, 5, 6, tzinfo=UTC)
OWNED, ALONE = (PartitionStatus(0, owner, 9, 8, 1, 5, 1) for owner in ("somebody", None))



def found(space: NamespaceStatus) -> list[str]:
    """The sentences about it now."""
    return list(attention(space, NOW))


@pytest.mark.parametrize(
    ("parked", "quarantined", "said"),
    [
        (0, 0, []),
        (1, 0, ["1 event of item is parked: see `retold parked list item`."]),
        (2, 0, ["2 events of item are parked: see `retold parked list item`."]),
        (0, 1, ["1 event of item is quarantined: see `retold parked list item`."]),
        (1234, 1, ["1,234 events of item are parked, and 1 is quarantined: see `retold parked list item`."]),
    ],
)
def test_what_is_set_aside_is_reported_with_its_command(parked: int, quarantined: int, said: list[str]) -> None:
    """A number in a table is easily overlooked; where there is nothing, nothing is said."""
    assert said == found(NamespaceStatus("item", "shop", (OWNED,), parked=parked, quarantined=quarantined))


def test_one_event_is_one() -> None:
    """Sentences are right for a single event too."""
    assert found(NamespaceStatus("item", "shop", (ALONE,), Counters(derived_rejected=1))) == [
        "Some partitions of item have no worker, and 1 event waits: if none is just restarting, start one with `retold run` or "
        "`retold worker item`.",
        "1 event of item with a cause was rejected; no publisher was notified.",
    ]


def test_the_last_workers_of_partitions_without_one_are_named() -> None:
    """A process that was stopped, or has lost its group, is there, and another worker is not what is missing."""
    parts = [replace(ALONE, state_why=f"{LAST}{name}") for name in ("vm.1", "vm.0", "vm.0")]
    [said] = found(NamespaceStatus("item", "shop", (*parts, replace(OWNED, state_why=f"{LAST}vm.2"))))
    assert said.endswith(
        "`retold worker item`. The last that had them: vm.0, vm.1. If such a process is there, it was stopped, or has lost its "
        "group; see its log."
    )


def test_producers_that_were_replaced_are_reported() -> None:
    """Nothing is lost by it, but somebody should look at the network if it goes on."""
    [said] = found(NamespaceStatus("item", "shop", (OWNED,), producers_replaced=1))
    assert said.startswith("Workers of item have replaced their Kafka producer 1 time since they started")


def test_producers_are_counted_once_a_worker() -> None:
    """Each partition's marker names its writer and says how many it replaced: the latest is right."""
    markers = [marker(0, "a", 5, 1), marker(1, "a", 7, 2), marker(2, "b", 6, 3)]
    assert producers_replaced(markers) == {"a": 2, "b": 3}


def marker(partition: int, writer: str, recorded: int, replaced: int) -> Marker:
    return Marker(
        first=1,
        last=partition,
        inbox_next=1,
        recorded=recorded,
        application="shop",
        topic_ids={},
        partitions=3,
        transactional_id=writer,
        counters=Counters(),
        producers_replaced=replaced,
    )


def partition(number: int, state: str, seconds: float = 0.0, why: str = "") -> PartitionStatus:
    """In this state for so long."""
    return PartitionStatus(number, "somebody", 9, 8, 1, 5, 1, state, to_micros(NOW - timedelta(seconds=seconds)), why)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (-3, "2026-02-03T04:05:09Z (just now)"),
        (1, "2026-02-03T04:05:05Z (1 second ago)"),
        (119, "2026-02-03T04:03:07Z (1 minute ago)"),
        (7_200, "2026-02-03T02:05:06Z (2 hours ago)"),
        (9 * 86_400, "2026-01-25T04:05:06Z (9 days ago)"),
    ],
)
def test_what_does_not_run_is_reported_with_since_when_and_why(seconds: float, said: str) -> None:
    """In UTC and as a time ago; a clock that is ahead of ours makes no sense of neither."""
    parts = partition(0, "running", 1), partition(1, "blocked", seconds, "no handler")
    assert found(NamespaceStatus("item", "shop", parts)) == [
        f"item-1 has been blocked since {said}: no handler.",
        "The application here can handle that record, and the worker of item-1 runs another one: start the worker again with "
        "this one.",
    ]


def test_each_restore_and_all_that_start_are_reported() -> None:
    """Where an owner has said nothing, that is said, once for all of them."""
    parts = (
        partition(0, "restoring", 2, "5 of 9 records are read"),
        PartitionStatus(1, "somebody", 9, 8, 1, 5, 1, "starting"),
        PartitionStatus(2, "somebody", 9, 8, 1, 5, 1, "starting"),
        PartitionStatus(3, "somebody", 9, 8, 1, 5, 1, "starting"),
    )
    first, rest = (found(NamespaceStatus("item", "shop", some)) for some in (parts[:2], parts[1:]))
    assert [*first, *rest] == [
        "item-0 has been restoring since 2026-02-03T04:05:04Z (2 seconds ago): 5 of 9 records are read.",
        "item-1 is starting: its worker has not reported yet.",
        "item-1, item-2 and item-3 are starting: their workers have not reported yet.",
    ]


def test_a_worker_that_reads_its_copies_before_it_joins_is_named() -> None:
    """It owns nothing yet, and nobody else would say why it is not ready. Copies of those in the group are in the table."""
    reading = [CopyStatus("p.retold.shop.item.new.0", False, done, 1_000, False) for done in (250, 1_000)]
    member = CopyStatus("p.retold.shop.item.old.0", False, 1, 1_000, True)
    parts = (replace(partition(0, "running"), copies=(reading[0], member)), replace(partition(1, "running"), copies=(reading[1],)))
    assert found(NamespaceStatus("item", "shop", parts)) == [
        "The worker p.retold.shop.item.new.0 reads copies of 2 partitions before it joins: 1,250 of 2,000 records are read."
    ]


@pytest.mark.parametrize(
    ("state", "since"), [("blocked", " since 2026-02-03T04:05:01Z (5 seconds ago)"), ("running", "")]
)
def test_a_record_that_blocks_is_reported_once(state: str, since: str) -> None:
    """By the sentence that names the record and the command; what the worker says goes into it."""
    waits = (BlockedPartition("p.item", 1, 7, 12345, "nobody knows schema id 12345"),)
    parts = (partition(1, state, 5, "nobody knows schema id 12345"),)
    assert found(NamespaceStatus("item", "shop", parts, waiting=waits)) == [
        f"p.item-1 is blocked at offset 7{since}, schema 12345: nobody knows schema id 12345. If that will never be known, set "
        "the event aside: `retold parked quarantine item-1@7 --why …`."
    ]


def test_without_reports_nothing_is_said_of_states() -> None:
    """As in a project whose workers write none; a partition without a worker is reported as ever."""
    assert found(NamespaceStatus("item", "shop", (OWNED,))) == []
    said = (
        "Some partitions of item have no worker, and 2 events wait: if none is just restarting, start one with `retold run` or "
        "`retold worker item`."
    )
    assert found(NamespaceStatus("item", "shop", (partition(0, "no worker"), ALONE))) == [said]


def test_the_status_as_json_has_each_partitions_state() -> None:
    """With since when and why, for who looks after it by a program."""
    spaces = (NamespaceStatus("item", "shop", (partition(1, "blocked", 0, "no handler"), OWNED)),)
    [space] = as_json_value(Status("b:1", "", spaces))["namespaces"]  # type: ignore[misc]  # a list of mappings
    states = [(it["state"], it["state_since"], it["state_why"]) for it in space["partitions"]]
    assert states == [("blocked", to_micros(NOW), "no handler"), (None, None, "")]


def test_a_namespace_that_ended_is_reported_with_its_reason_and_traceback() -> None:
    """And not with the advice to start a worker: the next one would end as well."""
    end = NamespaceEnd("w", to_micros(NOW - timedelta(minutes=5)), "its handlers raise.", "Traceback\n  line")
    space = NamespaceStatus("item", "shop", (ALONE,), ended=end)
    assert found(space) == [
        "A worker ended item at 2026-02-03T04:00:06Z (5 minutes ago), and 1 event waits: its handlers raise. When the cause is "
        "mended, start it again with `retold worker item`. The last traceback:",
        "Traceback\n  line",
    ]
    [as_json] = as_json_value(Status("b:1", "", (space,)))["namespaces"]  # type: ignore[misc]  # a list of mappings
    assert as_json["ended"]["why"] == "its handlers raise."


def test_a_namespace_that_waits_in_its_worker_is_reported_as_one_that_goes_on() -> None:
    """By itself, once its rows are built; where other code is to be deployed, as the reason says, that is no promise."""
    why = "its rows were built by other code. Deploy that"
    end = NamespaceEnd("w", to_micros(NOW - timedelta(minutes=5)), why, waits=True)
    space = NamespaceStatus("item", "shop", (ALONE,), ended=end)
    goes_on = "Once its rows are built, it goes on by itself."
    [told] = found(space)
    assert told.startswith("item stands still in a worker since 2026-02-03T04:00:06Z (5 minutes ago), and 1 event waits: ")
    assert told.endswith(f"{why}. {goes_on}")
    [check] = [it for it in checks(Status("b:1", "", (space,)), to_micros(NOW)) if it.name == "item.ended"]
    assert (check.state, check.detail, check.do) == ("bad", f"{why}.", goes_on)


def test_a_handler_or_a_gateway_that_fails_is_reported() -> None:
    """The partition is blocked by the one, and runs with the other; neither comes from an older application."""
    hangs = "the handler of item.do at item-0@7 (key 'k') has not returned yet"
    slow = replace(partition(0, "blocked", 5, hangs), state_cause=SLOW)
    fails = partition(1, "running", 90, "1 gateway call fails and is tried again; at last item.send of 'k'")
    assert found(NamespaceStatus("item", "shop", (slow, fails))) == [
        "item-0 has been blocked since 2026-02-03T04:05:01Z (5 seconds ago): the handler of item.do at item-0@7 (key 'k') has not "
        "returned yet.",
        "If it does not return, its process ends; after a second such call the event is parked. Correct the handler: what waits "
        "belongs in a gateway.",
        "item-1: 1 gateway call fails and is tried again; at last item.send of 'k'.",
    ]
