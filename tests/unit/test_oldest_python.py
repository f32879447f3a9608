"""What is pinned can be installed with each Python that retold takes."""

from __future__ import annotations

import tomllib
from importlib.metadata import distributions
from pathlib import Path

from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]


def test_what_is_pinned_takes_the_oldest_python() -> None:
    """Its first release, too: Debian has 3.11.2, and a package may ask for a later one."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    oldest = settings["project"]["requires-python"].removeprefix(">=") + ".0"
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pinned = {canonicalize_name(line.partition("==")[0]) for line in lines if "==" in line}
    asked = {it.name: it.metadata["Requires-Python"] for it in distributions() if canonicalize_name(it.name) in pinned}
    assert len(asked) > len(pinned) / 2
    assert [name for name, text in asked.items() if text and not SpecifierSet(text).contains(oldest)] == []
