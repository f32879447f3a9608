"""What the benchmark decides by itself, without a broker."""

from __future__ import annotations

import hashlib
from pathlib import Path
from xml.etree import ElementTree

import pytest

from ops.bench.__main__ import RESULTS, results_aside, results_of
from ops.bench.attempts import attempt
from ops.bench.bars import Bar
from ops.bench.figures import CPU, EVENTS, BenchFigures
from ops.bench.java_program import check
from ops.bench.measure import Point, TooFewSteps, window
from ops.bench.plan import FULL, RACE, WARM_UP, WORKS
from ops.bench.plot import drawn
from ops.bench.report import results
from ops.bench.watch import GaveUp, WrongResult


def test_a_jar_that_is_not_the_pinned_one_is_not_run(tmp_path: Path) -> None:
    """Another sum, one too many and one too few: each is named."""
    jar = tmp_path / "one.jar"
    jar.write_bytes(b"what was pinned")
    pinned = [f"{hashlib.sha256(b'what was pinned').hexdigest()}  one.jar"]
    check([jar], pinned)
    with pytest.raises(RuntimeError, match=r"two\.jar"):
        check([jar], [*pinned, f"{'0' * 64}  two.jar"])
    jar.write_bytes(b"something else")
    with pytest.raises(RuntimeError, match=r"one\.jar"):
        check([jar], pinned)


def test_a_window_leaves_out_the_start_and_the_last_step() -> None:
    """So neither a cold start nor a last transaction that waits for its interval is measured; CPU counts in the window alone."""
    points = [Point(float(second), events, second / 2) for second, events in enumerate([0, 100, 400, 700, 950, 1000])]
    found = window(points, 1000)
    assert (found.seconds, found.events, found.steps) == (2.0, 550, 2)
    assert found.cpu_micros == pytest.approx(1e6 / 550)
    with pytest.raises(TooFewSteps, match="no steady window"):
        window([Point(0.0, 0), Point(1.0, 100), Point(9.0, 1000)], 1000)


def test_a_commit_that_is_seen_in_two_steps_is_no_window() -> None:
    """Partitions of one commit become visible a moment apart: taken for a window, they gave 12 times the real rate."""
    points = [Point(0.0, 0), Point(3.0, 100), Point(4.0, 400), Point(4.02, 900), Point(6.0, 1000)]
    with pytest.raises(TooFewSteps, match="no steady window"):
        window(points, 1000)


def test_a_full_run_says_that_it_takes_half_an_hour_at_most() -> None:
    """With windows of 15 s and five rounds, of everything that is measured unless something else is asked for."""
    assert FULL.rounds >= 5
    assert FULL.window >= 15
    assert FULL.seconds([*RACE, *WORKS]) <= 30 * 60
    assert FULL.events("quix", 10_000) / 10_000 * (1 - WARM_UP) >= FULL.window


def test_only_a_full_run_replaces_the_figures_that_are_kept() -> None:
    """One of something else, as of a restore alone, wrote a file without the figures of all others."""
    assert results_of(False, [*RACE, *WORKS]) == RESULTS
    assert results_of(False, [*RACE, *WORKS, "restore"]) == RESULTS
    assert [results_of(True, [*RACE, *WORKS]), results_of(False, ["restore"]), results_of(False, ["us", "fold"])] == [None] * 3


def test_a_quick_run_keeps_no_figures_of_the_past_and_of_corrections() -> None:
    """It wrote over those of a full run. Others have no file of their own."""
    others = {"history": {"a": 1}, "correct": {"b": 2}, "watch": {"c": 3}}
    assert results_aside(True, others) == {}
    assert results_aside(False, others) == {
        RESULTS.with_name("history.json"): {"a": 1}, RESULTS.with_name("correct.json"): {"b": 2},
    }  # fmt: skip
    assert not results_aside(False, {"watch": {"c": 3}})


def test_a_bar_is_met_from_one_side() -> None:
    """More is better for a ratio, less for times and memory; without a figure there is nothing to say."""
    figures = BenchFigures(lambda _: None, 15.0)
    ratio = Bar("twice", f"us: {EVENTS}", f"quix: {EVENTS}", 2, 3)
    micros = Bar("CPU", f"us: {CPU}", None, 27, 22, least=False)
    assert ratio.reached(figures) is None
    for rate in (10.0, 25.0, 20.0):
        figures.add(f"us: {EVENTS}", rate)
        figures.add(f"quix: {EVENTS}", rate / 2)
    figures.add(f"us: {CPU}", 25.0)
    assert (ratio.reached(figures), ratio.met(2.0), ratio.met(1.9), ratio.met(3.0)) == (2.0, "bar", "no", "goal")
    assert (micros.reached(figures), micros.met(25.0), micros.met(28.0)) == (25.0, "bar", "no")
    figures.left_out["quix"] = "it was wrong"
    assert ratio.reached(figures) is None


def test_a_bar_is_not_met_by_rounding() -> None:
    """0.296 was told as 0.3, and so as met."""
    figures = BenchFigures(lambda _: None, 15.0)
    figures.add(f"us: {EVENTS}", 296.0)
    figures.add(f"raw: {EVENTS}", 1000.0)
    [found] = results(figures)["bars"]
    assert (found["reached"], found["bar"], found["met"]) == (0.296, 0.3, "no")


def test_a_run_that_stuck_is_made_once_again_and_says_why() -> None:
    """The reasons of both attempts are kept; a wrong result is not tried again."""
    said: list[str] = []
    figures = BenchFigures(said.append, 15.0)
    tried: list[str] = []

    def stuck(prefix: str) -> None:
        tried.append(prefix)
        raise GaveUp("it did not go on")

    def wrong(prefix: str) -> None:
        tried.append(prefix)
        raise WrongResult("two are missing")

    attempt(figures, "quix", stuck)
    assert (len(tried), figures.repeated["quix"], figures.left_out["quix"]) == (2, ["it did not go on"] * 2, "it did not go on")
    attempt(figures, "faust", wrong)
    assert (len(tried), figures.left_out["faust"], said[-1]) == (3, "two are missing", "two are missing")


def test_a_plot_has_a_bar_for_each_figure_and_says_them() -> None:
    """Of a run that measured a part: the other panel is left out. It is XML, so nothing in it needs a browser to be forgiving."""
    one = {"median": 26_500.0, "low": 25_500, "high": 29_000}
    two = {"median": 1_624.0, "low": 1_170, "high": 2_159}
    results = {
        "figures": {"us: events/s": one, "faust: events/s": two}, "rounds": 5, "at": "2026-11-27T03:00:00+00:00", "cores": 2,
        "python": "3.11.7", "load": [0.9, 2.1], "quick": False,
    }  # fmt: skip
    picture = ElementTree.fromstring(drawn(results))
    assert picture.attrib["aria-label"] == "Events per second: retold 26,500, stock Faust, exactly_once 1,624"
    assert len(picture.findall("{*}path")) == 2
    assert [text.text for text in picture.findall("{*}text")] == [
        "Events per second: median of 5 rounds, lowest to highest", "retold", "26,500", "stock Faust, exactly_once", "1,624",
        "2026-11-27, 2 cores shared with Kafka, Python 3.11.7, load 0.9 to 2.1",
    ]  # fmt: skip
