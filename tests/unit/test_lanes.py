"""`make test` runs every test, and each of them once."""

from __future__ import annotations

import signal
import tomllib
from collections import Counter
from pathlib import Path

import pytest

from tests.lanes import LANES, ROOT, Lane
from tests.support.workers import until

FILES = sorted((ROOT / "tests").rglob("test_*.py"))


def test_every_file_of_tests_is_in_one_lane() -> None:
    """A new folder that no lane names would never be run."""
    paths = [ROOT / path for lane in LANES.values() for path in lane]
    assert all(path.exists() for path in paths)
    times = Counter(file for path in paths for file in (path.rglob("test_*.py") if path.is_dir() else [path]))
    assert times == dict.fromkeys(FILES, 1)


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
    with Lane("stuck", [str(file), "-p", "no:cacheprovider"], longest=5.0) as lane:
        until(lane.ended, "the lane does not end")
        assert lane.code == -signal.SIGABRT
        lane.tell()
    said = capfd.readouterr().out
    assert "1 passed" in said
    assert "in stands_here" in said
