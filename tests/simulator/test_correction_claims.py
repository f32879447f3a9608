"""Coordinators of corrections on several machines, and what their topic keeps, in a Kafka in memory."""

from __future__ import annotations

import logging
import socket
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from streams.errors import InvalidChange, StalePlan
from streams.history.correction.correction_plan import StoredChange
from streams.kafka.clients import Clients
from streams.kafka.coordinator_name import has_ended, own_name
from streams.kafka.correction_claim import ALONE, SAID, CorrectionClaim
from streams.kafka.corrections_topic import (
    APPLIED,
    APPLYING,
    CorrectionState,
    read_claims,
    read_corrections,
    take_back,
    write_correction,
)
from tests.simulator.broker import MemoryBroker, Partition
from tests.simulator.clients import MemoryConsumer, clients
from tests.simulator.memory_message import MemoryMessage
from tests.simulator.time import SkewedClock, VirtualClock


@pytest.fixture
def kafka() -> MemoryBroker:
    it = MemoryBroker(VirtualClock())
    it.create(["retold-corrections"], 1)
    return it


def topic(kafka: MemoryBroker) -> Partition:
    return kafka.partition(("retold-corrections", 0))


def a_state(correction: str, **other: object) -> CorrectionState:
    return msgspec.structs.replace(
        CorrectionState("shop", correction, 1, "ann", "typo", StoredChange((), ("e1",)), APPLYING, 5, 6), **other
    )


def a_claim(kafka: MemoryBroker, machine: str) -> CorrectionClaim:
    return CorrectionClaim(clients(kafka), "", f"{machine}-1")


def told(kafka: MemoryBroker) -> dict[str, tuple[str, str]]:
    return {it.correction: (it.state, it.coordinator) for it in read_corrections(clients(kafka), "", "shop")}


def test_of_two_that_saw_nobody_the_first_goes_on_and_the_other_takes_its_own_back(kafka: MemoryBroker) -> None:
    """Neither knew the other's correction, so each would have undone it. The second one is as if it had never been begun."""
    first, second = a_claim(kafka, "m1"), a_claim(kafka, "m2")
    first.take(a_state("c1"), None, [])
    with pytest.raises(StalePlan, match="c1 is being applied by m1-1: let it end, then apply this plan again"):
        second.take(a_state("c2"), None, [])
    first.look()
    assert told(kafka) == {"c1": (APPLYING, "m1-1")}
    first.end(APPLIED, 3)
    second.take(a_state("c2"), None, ["c1"])
    assert told(kafka) == {"c1": (APPLIED, ""), "c2": (APPLYING, "m2-1")}


def test_whoever_wrote_first_wins_also_if_it_looks_last(kafka: MemoryBroker) -> None:
    """Both are in the topic when the first one looks."""

    class Late(MemoryConsumer):
        def assign(self, partitions: object) -> None:
            if topic(kafka).end == 1:
                write_correction(clients(kafka), "", a_state("c2", coordinator="m2-1", seen=kafka.clock.now()))
            super().assign(partitions)  # type: ignore[arg-type]

    CorrectionClaim(clients(kafka, Late), "", "m1-1").take(a_state("c1"), None, [])
    assert topic(kafka).end == 3
    assert told(kafka) == {"c1": (APPLYING, "m1-1"), "c2": (APPLYING, "m2-1")}


def test_a_correction_has_one_coordinator(kafka: MemoryBroker) -> None:
    """The second one of the same plan stops; the first one's end is what is told. Compaction changes nothing."""
    first, second = a_claim(kafka, "m1"), a_claim(kafka, "m2")
    first.take(a_state("c1"), None, [])
    first.look()
    topic(kafka).compact()
    with pytest.raises(StalePlan, match="m1-1"):
        second.take(a_state("c1"), None, [])
    first.look()
    first.end(APPLIED, 3)
    assert told(kafka) == {"c1": (APPLIED, "")}


def test_one_that_was_begun_and_applied_meanwhile_is_not_undone(kafka: MemoryBroker) -> None:
    """The second one has read the topic before, and does not know it."""
    first, second = a_claim(kafka, "m1"), a_claim(kafka, "m2")
    first.take(a_state("c1"), None, [])
    first.end(APPLIED, 3)
    with pytest.raises(StalePlan, match="c1 by ann was begun meanwhile"):
        second.take(a_state("c2"), None, [])
    assert told(kafka) == {"c1": (APPLIED, "")}


def test_one_that_is_taken_back_stands_as_it_did(kafka: MemoryBroker) -> None:
    """It had been stopped before, and others do not take it for one at work."""
    before = a_state("c2", number=2)
    write_correction(clients(kafka), "", before)
    a_claim(kafka, "m1").take(a_state("c1"), None, ["c2"])
    with pytest.raises(StalePlan):
        a_claim(kafka, "m2").take(before, before, ["c1"])
    assert told(kafka) == {"c1": (APPLYING, "m1-1"), "c2": (APPLYING, "")}
    at_work = {it.coordinator for it in read_claims(clients(kafka), "", "shop").claims.values()}
    assert at_work == {"m1-1", ""}


def test_a_coordinator_that_was_still_for_long_stops_before_its_next_round(kafka: MemoryBroker) -> None:
    """Another one has taken its correction over, and goes on."""
    first, second = a_claim(kafka, "m1"), a_claim(kafka, "m2")
    first.take(a_state("c1"), None, [])
    kafka.clock.sleep(ALONE / 1e6 + 1)
    second.take(first.state, first.state, ["c1"])
    for look in (first.look, first.stay):
        with pytest.raises(StalePlan, match="m2-1"):
            look()
    second.look()


def test_what_another_one_made_of_a_correction_meanwhile_stands(kafka: MemoryBroker) -> None:
    """Whether it was applied or withdrawn: a coordinator that goes on after standing still does not say otherwise."""
    first, second = a_claim(kafka, "m1"), a_claim(kafka, "m2")
    first.take(a_state("c1"), None, [])
    kafka.clock.sleep(ALONE / 1e6 + 1)
    second.take(first.state, first.state, ["c1"])
    second.end(APPLIED, 3)
    for _ in range(2):  # also if it has looked since
        with pytest.raises(StalePlan, match="c1 was applied by another coordinator meanwhile"):
            first.look()
        first._note_said()
    first._write(first.state)  # as if it had stood still between looking and saying that it is at work
    with pytest.raises(StalePlan, match="c1 was applied by another coordinator meanwhile"):
        first.look()
    assert told(kafka) == {"c1": (APPLIED, "")}
    take_back(clients(kafka), "", "c1")
    with pytest.raises(StalePlan, match="c1 was withdrawn meanwhile"):
        first.look()
    assert told(kafka) == {}


class Interrupted(MemoryConsumer):
    """Somebody presses Ctrl-C while it reads."""

    def consume(self, count: int, timeout: float) -> list[MemoryMessage]:
        raise KeyboardInterrupt


def test_a_coordinator_that_is_interrupted_when_it_begins_keeps_nobody_waiting(kafka: MemoryBroker) -> None:
    """It has written that it is at work, and has not looked yet who else is."""
    with pytest.raises(KeyboardInterrupt):
        CorrectionClaim(clients(kafka, Interrupted), "", "m1-1").take(a_state("c1"), None, [])
    assert told(kafka) == {"c1": (APPLYING, "")}
    a_claim(kafka, "m2").take(a_state("c1"), None, [])


def test_one_that_is_tried_again_and_again_follows_one_that_is_gone(kafka: MemoryBroker) -> None:
    """Those that came in vain have said nothing that others would wait for."""
    a_claim(kafka, "m1").take(a_state("c1"), None, [])
    for number in range(2, 7):
        kafka.clock.sleep(ALONE / 1e6 / 6)
        with pytest.raises(StalePlan, match=r"m1-1, which was at work .*nothing for 120 s, whoever applies it takes it over"):
            a_claim(kafka, f"m{number}").known("shop")
    kafka.clock.sleep(ALONE / 1e6 / 6)
    last = a_claim(kafka, "m7")
    last.take(a_state("c1"), None, [it.correction for it in last.known("shop").states])
    assert told(kafka) == {"c1": (APPLYING, "m7-1")}


@pytest.mark.parametrize("hours", [-2, 2])
def test_clocks_of_machines_do_not_say_who_is_at_work(hours: int, kafka: MemoryBroker) -> None:
    """Whether the other machine's clock is ahead or behind: one that is at work goes on, and one that is gone is followed."""
    other = SkewedClock(kafka.clock)
    other.step(hours * 3600)
    first = CorrectionClaim(replace(clients(kafka), clock=other), "", "m1-1")
    first.take(a_state("c1"), None, [])
    for _ in range(2):
        with pytest.raises(StalePlan, match="c1 is being applied by m1-1"):
            a_claim(kafka, "m2").take(a_state("c1"), None, [])
        kafka.clock.sleep(30)
        first.stay()
    kafka.clock.sleep(ALONE / 1e6 + 1)
    a_claim(kafka, "m2").take(a_state("c1"), None, [])
    with pytest.raises(StalePlan, match="m2-1"):
        first.stay()


def test_a_coordinator_that_waits_says_that_it_is_at_work(kafka: MemoryBroker) -> None:
    """Every few seconds, so that nobody takes its correction over, however long it waits."""
    first = a_claim(kafka, "m1")
    first.take(a_state("c1"), None, [])
    written = topic(kafka).end
    for _ in range(200):
        kafka.clock.sleep(1)
        first.stay()
    assert 200 * 1e6 > ALONE
    assert 200 // (SAID // 1_000_000 + 1) == topic(kafka).end - written
    with pytest.raises(StalePlan, match="m1-1"):
        a_claim(kafka, "m2").take(a_state("c1"), None, [])


@pytest.mark.parametrize(
    ("number", "ended"), [("²", False), ("x", False), ("0", False), ("9" * 30, True), ("9" * 5000, True)]
)
def test_a_process_of_any_name_is_there_or_not(number: str, ended: bool) -> None:
    """Whoever writes to the topic may write anything."""
    here, _, own = own_name().rpartition("-")
    assert not has_ended(f"{here}-{own}")
    assert has_ended(f"{here}-{number}") == ended
    assert has_ended(f"{socket.gethostname()}-{number}") == ended  # as an earlier version wrote it


@pytest.mark.skipif(not Path("/proc/self/ns/pid").is_symlink(), reason="nothing tells containers apart here")
def test_of_a_process_whose_number_is_of_another_container_nothing_is_known() -> None:
    """It has this host's name, and runs: its correction was taken over while it was at work."""
    host, dead = socket.gethostname(), "9" * 30
    here = own_name().rpartition("-")[0]
    assert here.rpartition("-")[0] == host
    assert has_ended(f"{here}-{dead}")
    assert not has_ended(f"{host}-00000000-{dead}")


@pytest.mark.parametrize("value", [b"x", b"{}", b'{"x":' + b"[" * 100_000])
def test_what_is_no_correction_is_left_out(value: bytes, kafka: MemoryBroker, caplog: pytest.LogCaptureFixture) -> None:
    """With a warning; others are told."""
    kafka.append(("retold-corrections", 0), b"c0", value, [], None)
    write_correction(clients(kafka), "", a_state("c1"))
    with caplog.at_level(logging.WARNING):
        assert told(kafka) == {"c1": (APPLYING, "")}
    assert "retold-corrections@0 is no correction" in caplog.text


def test_what_drives_a_terminal_is_spelt(kafka: MemoryBroker) -> None:
    """In all that is shown of a correction."""
    write_correction(clients(kafka), "", a_state("c1", by="a\x1b", why="b\x1b", coordinator="m\x1b\n-1"))
    [found] = read_corrections(clients(kafka), "", "shop")
    assert (found.by, found.why, found.coordinator) == ("a\\x1b", "b\\x1b", "m\\x1b\\n-1")


def test_a_correction_that_is_too_large_to_keep_is_a_sentence(kafka: MemoryBroker) -> None:
    """Nothing is written then."""
    large = a_state("c1", why="x" * Clients("memory:0").largest)
    with pytest.raises(InvalidChange, match=r"the correction c1 takes \d+ bytes to keep, and \d+ are allowed"):
        a_claim(kafka, "m1").take(large, None, [])
    assert topic(kafka).end == 0
