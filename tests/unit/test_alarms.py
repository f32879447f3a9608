"""What in a status needs an operator, and how soon."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from streams.engine.records import HANDLER, SCHEMA, SLOW
from streams.engine.times import to_micros
from streams.kafka.alarms import Check, checks, worst
from streams.kafka.open_transactions import OpenTransaction
from streams.kafka.status import BlockedPartition, MissingTopics, NamespaceStatus, PartitionStatus, Status
from streams.server.readmodel.lag_ages import LagAges

TIME = datetime(2026, 2, 3, tzinfo=UTC)
NOW = to_micros(TIME)
PART = PartitionStatus(0, "w", 9, 9, 0, 5, 1, "running")
SPACE = NamespaceStatus("item", "shop", (PART,))
WAITING = (BlockedPartition("item", 0, 7, 12345, "nobody knows schema id 12345"),)


def ago(seconds: float) -> int:
    return NOW - int(seconds * 1e6)


def found(space: NamespaceStatus, unowned: Mapping[tuple[str, int], float] | None = None) -> dict[str, Check]:
    """Those that are not good, by name."""
    return {it.name: it for it in checks(Status("b", "", (space,)), NOW, unowned) if it.state != "good"}


def states(space: NamespaceStatus, unowned: Mapping[tuple[str, int], float] | None = None) -> dict[str, str]:
    return {name: it.state for name, it in found(space, unowned).items()}


def with_part(**changes: object) -> NamespaceStatus:
    return replace(SPACE, partitions=(replace(PART, **changes),))  # type: ignore[arg-type]  # of whichever field


def test_an_application_at_rest_is_good() -> None:
    """Every check is there all the same, so that an alert can tell good from unknown."""
    every = checks(Status("b", "", (SPACE,)), NOW)
    assert {it.name for it in every} >= {"item.workers", "item.lag", "item.parked", "item.timers", "item.calls", "transactions"}
    assert worst(every) == "good"


@pytest.mark.parametrize(("seconds", "state"), [(-60, None), (4, None), (6, "warn"), (29, "warn"), (31, "bad"), (9e6, "bad")])
@pytest.mark.parametrize("owner", ["w", None])
def test_the_oldest_record_that_is_not_handled_turns_it_red(seconds: float, state: str | None, owner: str | None) -> None:
    """Owner or not: a frozen worker keeps its partitions for a while, and one whose handler loops for longer."""
    told = found(with_part(oldest=ago(seconds), oldest_offset=8, lag=1, owner=owner), {("item", 0): 1.0})
    assert (told["item.lag"].state if "item.lag" in told else None) == state
    if state:
        assert "item-0@8 has waited" in told["item.lag"].detail


@pytest.mark.parametrize(
    ("unowned", "state"),
    [(None, "bad"), ({}, "warn"), ({("item", 0): 29}, "warn"), ({("item", 0): 30}, "bad")],
)
def test_a_partition_without_a_worker(unowned: dict[tuple[str, int], float] | None, state: str) -> None:
    """At once for who asks once; a server has seen for how long, and a restart is no alarm."""
    assert states(with_part(owner=None, state="no worker"), unowned) == {"item.workers": state}


def test_a_namespace_that_lacks_topics() -> None:
    """Nobody can handle its events, whether a worker is there or not."""
    lacks = NamespaceStatus("item", None, missing=MissingTopics(("item-log",), "Stop its workers"))
    told = found(lacks)["item.workers"]
    assert (told.state, told.detail) == ("bad", "item cannot be handled: item-log is missing.")
    assert told.do == "Stop its workers."


@pytest.mark.parametrize(("seconds", "state"), [(10, "warn"), (61, "bad")])
def test_a_blocked_partition(seconds: float, state: str) -> None:
    """By its worker's report, or by the record that nobody here can read if no worker reports."""
    blocked = with_part(state="blocked", state_since=ago(seconds), state_why="no handler")
    assert states(blocked) == {"item.blocked.outdated": state}
    unread = replace(with_part(state=None, oldest=ago(seconds), oldest_offset=7), waiting=WAITING)
    assert found(unread)["item.blocked.schema"].state == state
    assert "schema id 12345" in found(unread)["item.blocked.schema"].detail


def test_each_cause_has_a_check_of_its_own_with_its_remedy() -> None:
    """To deploy helps a record of an unknown schema, and neither a handler that hangs nor a worker that was forgotten."""
    slow = PART, "blocked", "the handler of item.do has not returned yet", SLOW
    old = PART, "blocked", "nobody here knows the schema id 5", SCHEMA
    parts = [
        replace(part, partition=number, state=state, state_since=ago(5), state_why=why, state_cause=cause)
        for number, (part, state, why, cause) in enumerate([slow, old, (PART, "running", "", ""), (PART, "running", "", "")])
    ]
    here = [
        BlockedPartition("item", 2, 7, 12345, "nobody knows schema id 12345"),
        BlockedPartition("item", 3, 8, 9, "item.do has no handler", HANDLER),
    ]
    told = found(replace(SPACE, partitions=tuple(parts), waiting=tuple(here)))
    assert {name: (it.detail, it.do) for name, it in told.items()} == {
        "item.blocked.slow": (
            "item-0 cannot go on: the handler of item.do has not returned yet.",
            "If it does not return, its process ends; after a second such call the event is parked. Correct the handler: what "
            "waits belongs in a gateway.",
        ),
        "item.blocked.outdated": (
            "item-1 cannot go on: nobody here knows the schema id 5.",
            "The application here can handle that record, and the worker of item-1 runs another one: start the worker again with "
            "this one.",
        ),
        "item.blocked.schema": (
            "item-2 cannot go on: nobody knows schema id 12345.",
            "If that will never be known, set the event aside: `retold parked quarantine item-2@7 --why …`.",
        ),
        "item.blocked.handler": (
            "item-3 cannot go on: item.do has no handler.",
            "Deploy the application that has it, or set the event aside: `retold parked quarantine item-3@8 --why …`.",
        ),
    }


def test_a_lag_behind_a_blocked_record_has_its_remedy() -> None:
    """And not the guess that a process hangs."""
    slow = with_part(state="blocked", state_cause=SLOW, state_why="the handler …", oldest=ago(40), oldest_offset=7, lag=1)
    assert found(slow)["item.lag"].do == found(slow)["item.blocked.slow"].do


def test_many_blocked_partitions_are_counted() -> None:
    """Each of a few with its own reason."""
    parts = [replace(PART, partition=number, state="blocked", state_why=f"reason {number}") for number in range(5)]
    told = found(replace(SPACE, partitions=tuple(parts)))["item.blocked.outdated"].detail
    assert told.startswith("item-0 cannot go on: reason 0; item-1 cannot go on: reason 1; item-2")
    assert told.endswith("reason 2; 2 more partitions neither.")


@pytest.mark.parametrize(
    ("parked", "state"),
    [
        ({"parked": 1, "parked_keys": 1, "parked_oldest": ago(1)}, "warn"),
        ({"quarantined": 1}, "warn"),
        ({"parked": 30, "parked_keys": 21, "parked_oldest": ago(1)}, "bad"),
        ({"parked": 1, "parked_keys": 1, "parked_oldest": ago(3_601)}, "bad"),
    ],
)
def test_what_is_set_aside(parked: dict[str, int], state: str) -> None:
    """A few warn; many keys, or one that nobody has looked at for an hour, are bad."""
    assert states(replace(SPACE, **parked)) == {"item.parked": state}  # type: ignore[arg-type]  # of whichever field


def test_what_is_set_aside_is_counted_by_kind() -> None:
    """The age is that of parked events alone, and a kind of which there is none is not named."""
    many = replace(SPACE, parked=3, parked_keys=2, unanswered=1, quarantined=4, parked_oldest=ago(60))
    parked = "3 parked events of 2 keys (1 of them requests that no gateway answered; the oldest is 60 s old)"
    assert found(many)["item.parked"].detail == f"item has {parked} and 4 quarantined records, which block nothing."
    assert found(replace(SPACE, quarantined=1))["item.parked"].detail == "item has 1 quarantined record, which blocks nothing."


@pytest.mark.parametrize(
    ("pending", "told"),
    [
        ({"timers": 1, "timer_due": ago(-9_000)}, {}),
        ({"timers": 1, "timer_due": ago(59)}, {}),
        ({"timers": 1, "timer_due": ago(61)}, {"item.timers": "bad"}),
        ({"calls": 1, "call_asked": ago(899)}, {}),
        ({"calls": 1, "call_asked": ago(901)}, {"item.calls": "bad"}),
        ({"timer_due": ago(61), "call_asked": ago(901)}, {"item.timers": "bad", "item.calls": "bad"}),
    ],
)
def test_what_is_pending_and_overdue(pending: dict[str, int], told: dict[str, str]) -> None:
    """A timer that is late by a minute, a call without an answer for a quarter of an hour; neither hides the other."""
    assert states(replace(SPACE, **pending)) == told  # type: ignore[arg-type]  # as above


@pytest.mark.parametrize(("ahead", "told"), [(59, {}), (61, {"item.clock": "warn"})])
def test_a_log_that_is_ahead_of_the_clock(ahead: float, told: dict[str, str]) -> None:
    """A worker's clock was set back: questions about the past do not tell the newest events, and nothing else shows it."""
    space = with_part(recorded=ago(-ahead))
    assert states(space) == told
    assert all("recorded 61 s ahead" in it.detail for it in found(space).values())


@pytest.mark.parametrize(("seconds", "hangs", "state"), [(29, False, "warn"), (31, False, "bad"), (1, True, "bad")])
def test_a_transaction_that_stays_open(seconds: float, hangs: bool, state: str) -> None:
    """It holds up all that is behind it, which no lag shows; a status has those that are older than 5 s."""
    held = OpenTransaction("item", 0, 5, 3, TIME - timedelta(seconds=seconds), 1, "t", 60.0, hangs=hangs)
    [last] = [it for it in checks(Status("b", "", (), (held,)), NOW) if it.name == "transactions"]
    assert last.state == state
    assert "item-0 waits at offset 5" in last.detail


def test_of_open_transactions_a_bad_one_is_told() -> None:
    """Before those that only warn."""
    young, old = (OpenTransaction("item", n, 5, 3, TIME - timedelta(seconds=s), 1, "t", 60.0) for n, s in ((0, 9), (1, 31)))
    [last] = [it for it in checks(Status("b", "", (), (young, old)), NOW) if it.name == "transactions"]
    assert (last.state, "item-1 waits at" in last.detail) == ("bad", True)


def test_a_lag_has_an_age() -> None:
    """How long ago everything was read that there was; under a steady load a lag of some records is young."""
    ages, key = LagAges(), ("log", "item", 0)
    assert ages.seconds(key, 100.0) == 0
    ages.measured(key, 10, 10, 100.0)
    for second in range(1, 60):  # one second behind all the time
        ages.measured(key, 10 + (second - 1) * 5, 10 + second * 5, 100.0 + second)
    assert ages.seconds(key, 160.0) <= 3
    assert ages.seconds(key, 200.0) > 40, "nothing is measured while nothing is read"
    ages.measured(key, 305, 305, 201.0)
    assert (ages.seconds(key, 210.0), ages.oldest(210.0)) == (0, 0)


@pytest.mark.parametrize(("kept", "state"), [((), "good"), ((2,), "good"), ((1,), "warn"), ((1, 2), "warn")])
def test_who_has_rows_of_another_generation_than_workers_is_told(kept: tuple[int, ...], state: str) -> None:
    """As a server of code that was deployed before, or whoever asks with other code than workers have."""
    found = checks(Status("b", "", (replace(SPACE, generations=kept),)), NOW, here={SPACE.name: 2})
    [told] = [it for it in found if it.name.endswith(".generation")]
    assert told.state == state
    assert ("Workers keep rows of generation 1 of" in told.detail) == (state == "warn")
