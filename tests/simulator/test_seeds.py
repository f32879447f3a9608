"""Runs that a seed decides, as `make simulate` makes thousands of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.simulator.faults import CLOCK, CRASH, PAUSE, Fault
from tests.simulator.seeded import SeededRun


@pytest.mark.parametrize("seed", range(8))
def test_each_event_is_handled_once_whatever_happens(seed: int, tmp_path: Path) -> None:
    """Workers are killed, stand still or lose answers; the broker is away; clocks step.

    All that was published is handled once and in order, topics are as `retold verify` expects them, nothing waits for ever.
    """
    SeededRun(seed, tmp_path).run()


def test_a_timer_before_a_record_that_is_too_large_fires_all_the_same(tmp_path: Path) -> None:
    """It was suspected of being too large itself, and stayed so until its partition was restored."""
    SeededRun(3005, tmp_path).run()


def test_the_same_seed_gives_the_same_run(tmp_path: Path) -> None:
    """Request by request, so that what a run found can be looked at again."""
    runs = [SeededRun(3, tmp_path / str(number)) for number in range(2)]
    for run in runs:
        run.run()
    assert runs[0].trouble.trace == runs[1].trouble.trace
    assert runs[0].trouble.requests == runs[1].trouble.requests


def test_faults_are_those_that_are_given(tmp_path: Path) -> None:
    """As for the shortest list that still fails."""
    plan = [Fault(100, CRASH, 0.5), Fault(200, PAUSE, 0.9), Fault(300, CLOCK, 0.1)]
    run = SeededRun(5, tmp_path, plan)
    run.run()
    assert [line.split()[1] for line in run.trouble.trace if line.startswith("fault ")] == ["crash", "pause", "clock"]


def test_people_act_while_things_fail(tmp_path: Path) -> None:
    """Versions are deployed and taken back, parked events are retried and rejected, publishers refused, the past corrected."""
    runs = [SeededRun(seed, tmp_path / str(seed)) for seed in range(20, 24)]
    for run in runs:
        run.run()
    said = " ".join(line for run in runs for line in run.trouble.trace)
    assert [it for it in PEOPLE if it not in said] == []
    assert any(run.publisher.refused for run in runs)
    assert any(run.operators.rejected for run in runs)


PEOPLE = ("action deploy", "action operator", "operator says: retry", "reject ", "action correction", "has ended: applied")
