"""`make test` runs every test, and each of them once."""

from __future__ import annotations

import tomllib
from collections import Counter

from tests.lanes import LANES, ROOT

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
