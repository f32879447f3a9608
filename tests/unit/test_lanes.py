"""`make test` runs every test, and each of them once."""

from __future__ import annotations

import signal
import tomllib
from collections import Counter
from pathlib import Path

import pytest

from tests.lanes import LANES, MANY, ROOT, Lane, commands, named_by_folder, pytest_command, run
from tests.support.workers import until

FILES = sorted((ROOT / "tests").rglob("test_*.py"))


def test_every_file_of_tests_is_in_one_lane() -> None:
    """A new folder that no lane names would never be run."""
    paths = [ROOT / path for lane in LANES.values() for path in lane]
    assert all(path.exists() for path in paths)
    times = Counter(file for path in paths for file in (path.rglob("test_*.py") if path.is_dir() else [path]))
    assert times == dict.fromkeys(FILES, 1)


@pytest.mark.parametrize("lane", LANES)
def test_pytest_is_given_the_files_of_a_lane(lane: str) -> None:
    """However they are named: for each single file, it would look at all others of the folder."""
    given = named_by_folder(LANES[lane])
    named = [ROOT / word for word in given if not word.startswith("--ignore=")]
    ignored = {ROOT / word.removeprefix("--ignore=") for word in given if word.startswith("--ignore=")}
    wanted, found = (
        [file for path in paths for file in (sorted(path.rglob("test_*.py")) if path.is_dir() else [path]) if file not in less]
        for paths, less in ((map(ROOT.joinpath, LANES[lane]), set[Path]()), (named, ignored))
    )
    assert found == wanted
    assert max(Counter(file.parent for file in named).values()) < MANY


def test_pytest_alone_finds_the_same() -> None:
    """Without arguments it looks into the folders that its settings name."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["pytest"]["ini_options"]
    assert {path.relative_to(ROOT).parts[1] for path in FILES} == {
        it.removeprefix("tests/") for it in settings["testpaths"]
    }


STUCK = """
import threading

def stands_here():
    threading.Event().wait()

def test_its_end():
    threading.Thread(target=stands_here).start()
"""


def test_a_lane_that_hangs_is_ended_and_says_where(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Also once its tests are done: Python waits for threads that nobody has ended."""
    file = tmp_path / "test_stuck.py"
    file.write_text(STUCK, encoding="utf-8")
    with Lane("stuck", pytest_command([str(file), "-p", "no:cacheprovider"])) as lane:
        until(lambda: b"1 passed" in lane.output(), "the test does not end")
        assert not lane.ended()
        lane.longest = 0.0
        until(lane.ended, "the lane does not end")
        assert lane.code == -signal.SIGABRT
        lane.tell()
    assert "in stands_here" in capfd.readouterr().out


def test_what_failed_fails_them_all_and_is_shown_again_at_the_end(capfd: pytest.CaptureFixture[str]) -> None:
    """Whoever sees the end of a long output alone must see it, too."""
    lanes = [("wrong", ["sh", "-c", "echo a line is too long; exit 2"]), ("right", ["sh", "-c", "sleep 2; echo all passed"])]
    assert run(lanes, {0}) == 1
    first, _, last = capfd.readouterr().out.partition("all passed")
    assert "a line is too long" in first
    assert "The lane 'wrong' failed: exit code 2." in last
    assert "a line is too long" in last
    assert run(lanes[1:], {0}) == 0


def test_style_and_types_are_looked_at_beside_the_tests() -> None:
    """By what `make lint` runs, whatever pytest is told."""
    made = commands(["-k", "nothing"])
    assert [command[-1] for _, command in made if command[0] == "make"] == ["lint"]
    assert sum(command[-2:] == ["-k", "nothing"] for _, command in made) == len(made) - 1 == len(LANES)
