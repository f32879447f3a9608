"""The parts of a chaos run that need no broker: what a seed decides, and how long a partition pauses."""

from __future__ import annotations

import os
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from typing import ClassVar

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.chaos import plan
from tests.chaos.busy_machine import BusyMachine
from tests.chaos.chaos_report import SeedResult, totals
from tests.chaos.chaos_server import difference
from tests.chaos.injector import Happened
from tests.chaos.pauses import (
    HandledRecord,
    Pause,
    Span,
    longest_waits,
    nobody_there,
    pauses,
    percentile,
    with_somebody_there,
)
from tests.chaos.plan import BROKER, KINDS, Fault, Size, plan_of
from tests.support.processes import descendants

NAMES = ["bank", "timed"]
SEEDS = st.integers(0, 10_000)


@given(SEEDS)
def test_a_seed_gives_one_plan(seed: int) -> None:
    """So a run that failed can be run again."""
    assert plan_of(seed, NAMES, Size()) == plan_of(seed, NAMES, Size())


@given(SEEDS)
def test_no_two_faults_are_of_the_same_thing_at_the_same_time(seed: int) -> None:
    """A process that stands still is not killed as well, and each fault is over before the next one of it begins."""
    faults = plan_of(seed, NAMES, Size(faults=20)).faults
    for about in {it.about for it in faults}:
        assert all(one.at + one.lasts < other.at for one, other in pairwise([it for it in faults if it.about == about]))


@given(SEEDS)
def test_a_broker_fails_seldom_enough_that_something_happens(seed: int) -> None:
    """And each fault is of a kind that there is, within the time in which events are published."""
    faults = plan_of(seed, NAMES, Size(seconds=30.0)).faults
    assert sum(it.about[0] == BROKER for it in faults) <= plan.MOST_OF_THE_BROKER
    assert all(it.kind in KINDS and 0 < it.at <= 30 for it in faults)


def test_somebody_makes_a_mistake_with_topics_in_some_runs() -> None:
    """Each mistake is among a hundred seeds, and a plan says which it is."""
    plans = [plan_of(seed, NAMES, Size()) for seed in range(100)]
    assert {it.accident for it in plans} == {"", *plan.ACCIDENTS}
    assert all(it.accident in "\n".join(it.lines()) for it in plans)


def test_kinds_can_be_chosen() -> None:
    """To look for one of them alone."""
    assert {it.kind for it in plan_of(3, NAMES, Size(), [plan.KILLED, plan.CUT]).faults} == {plan.KILLED, plan.CUT}


def test_a_partition_pauses_only_while_there_is_something_to_handle() -> None:
    """What arrives late makes no pause, and what waits does, from when the one before it was handled."""
    records = [HandledRecord(0, 1.0, 1.5), HandledRecord(1, 9.0, 9.05), HandledRecord(2, 9.01, 12.0)]
    assert pauses({("a", 0): records}) == [Pause(("a", 0), 9.05, 12.0), Pause(("a", 0), 1.0, 1.5)]


def test_what_was_parked_makes_no_pause() -> None:
    """It is handled behind what came after it, and waited on purpose."""
    records = [HandledRecord(1, 2.0, 2.05), HandledRecord(0, 1.0, 30.0), HandledRecord(2, 30.0, 30.2)]
    assert [it.began for it in pauses({("a", 0): records})] == [30.0]


def test_a_fault_is_answerable_for_what_is_published_during_it() -> None:
    """And a second later; of these, the longest wait counts."""
    happened = [Happened(Fault(0, plan.KILLED, 0, 5), 100.0, 105.0), Happened(Fault(0, plan.CUT, 0, 0), 200.0, 200.0)]
    waits = [(99.0, 180.0), (101.0, 103.0), (105.5, 110.0), (106.5, 190.0), (200.5, 200.6)]
    assert longest_waits(happened, waits) == [pytest.approx(4.5), pytest.approx(0.1)]


def test_a_pause_is_explained_while_nobody_is_there() -> None:
    """Both workers are away, or the broker is; one worker alone explains nothing."""
    happened = [
        Happened(Fault(0, plan.KILLED, 0, 5), 100.0, 105.0),
        Happened(Fault(0, plan.STILL, 1, 5), 103.0, 108.0),
        Happened(Fault(0, plan.BROKER_KILLED, 0, 1), 120.0, 123.0),
        Happened(Fault(0, plan.CUT, 0, 0), 130.0, 130.0),
    ]
    spans = nobody_there(happened, 2)
    assert spans == [Span(103.0, 105.0), Span(120.0, 123.0)]
    assert with_somebody_there(Pause(("a", 0), 100.0, 110.0), spans) == 8.0
    assert with_somebody_there(Pause(("a", 0), 121.0, 140.0), spans) == 17.0


class Answers(BaseHTTPRequestHandler):
    """The first request finds nothing; then there is a row."""

    asked: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.asked.append(self.path)
        self.send_response(503 if len(self.asked) == 1 else 200)
        self.end_headers()
        self.wfile.write(b'{"key": "a", "version": 7}')

    def log_message(self, format: str, *args: object) -> None:
        """Nobody reads it."""


def test_a_server_is_given_time_and_another_row_is_found() -> None:
    """It may have been killed just now; what it has otherwise in the end is told with both."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with httpx.Client(base_url=f"http://127.0.0.1:{server.server_address[1]}") as http:
            right = {"key": "a", "version": 7}
            assert difference(http, "/rows/x/a", right, lambda: None) == ""
            assert Answers.asked == ["/rows/x/a"] * 2
            told = difference(http, "/rows/x/a", right | {"version": 8}, lambda: None, seconds=0.1)
            assert "'version': 8" in told
            assert '"version": 7' in told
        server.shutdown()


def test_a_busy_machine_is_left_alone_at_the_end_of_the_fault() -> None:
    """Its processes compute until then: a run that goes on beside them would say nothing of what comes later."""
    before = descendants(os.getpid())
    busy = BusyMachine(30.0, loops=2)
    began = descendants(os.getpid()).keys() - before.keys()
    assert len(began) == 2
    busy.end()
    assert not began & descendants(os.getpid()).keys()


def test_percentiles_are_values_that_were_seen() -> None:
    """Of one value, each of them is that one."""
    assert [percentile([3.0], share) for share in (0.5, 0.99)] == [3.0, 3.0]
    assert [percentile([*map(float, range(100))], share) for share in (0.5, 0.99)] == [50.0, 99.0]
    assert percentile([], 0.5) == 0.0


def test_the_figures_are_those_of_all_runs() -> None:
    """What one of them found is in the sum, and its seed is named."""
    fault = Happened(Fault(0, plan.KILLED, 0, 5), 1.0, 2.0)
    pause = Pause(("a", 0), 0.0, 7.0)
    good = SeedResult(plan_of(1, NAMES, Size()), [fault], published=100, events=500, pauses=[pause], waits=[6.5])
    bad = SeedResult(plan_of(2, NAMES, Size()), [fault, fault], published=50, events=200, lost=1, failures=["lost: e1"])
    found = totals([good, bad])
    assert (found["seeds"], found["faults"], found["events"], found["lost"], found["failed"]) == (2, 3, 700, 1, [2])
    assert found["longest_pause_s"] == 7.0
    assert found["kinds"] == {plan.KILLED: {"count": 1, "p50_s": 6.5, "p99_s": 6.5, "longest_s": 6.5}}
