"""`retold new`: the application that it writes keeps the laws, passes its own test, and runs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.support.processes import retold
from tests.support.workers import until


class Shop:
    """The new application in its folder."""

    def __init__(self, below: Path) -> None:
        self.below, self.folder = below, below / "shop"
        state = str(below / "state")
        self.env: Mapping[str, str] = {
            **{name: value for name, value in os.environ.items() if not name.startswith("RETOLD_")},
            "RETOLD_STATE": state,
        }

    def run(self, module: str, *words: str, expected: int = 0, **variables: str) -> str:
        """What a command tells on stdout."""
        folder = self.folder if self.folder.is_dir() else self.below
        env = {**self.env, **variables}
        if module == "streams.cli":
            done = retold(*words, env=env, folder=folder)
        else:
            command = [sys.executable, "-m", module, *words]
            done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=240, check=False)
        assert done.returncode == expected, done.stdout + done.stderr
        return done.stdout


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    new = Shop(tmp_path)
    new.run("streams.cli", "new", "shop")
    return new


def test_a_new_application_keeps_the_laws_and_passes_its_own_test(shop: Shop) -> None:
    """`retold check`, its tests, the types and the style all have nothing to say; its classes are of today."""
    assert shop.run("streams.cli", "check") == ""
    assert "2 passed" in shop.run("pytest", "-q")
    assert "Success" in shop.run("mypy", "--strict", "shop", "tests")
    assert "All checks passed!" in shop.run("ruff", "check", "--isolated", "--select", "E,F,I,UP,B", ".")
    assert shop.run("streams.cli", "schemas", "generate") == ""


def test_nothing_of_the_template_is_left(shop: Shop) -> None:
    """Every place where the name belongs has it."""
    for file in shop.folder.rglob("*"):
        if file.is_file() and "__pycache__" not in file.parts:
            assert "PACKAGE" not in file.name
            assert "{{" not in file.read_text(encoding="utf-8")
            assert file.suffix != ".txt"


def test_a_new_application_runs(shop: Shop, broker: str, prefix: str) -> None:
    """The commands that its README names give what it says."""
    variables = {"RETOLD_BROKER": broker, "RETOLD_PREFIX": prefix}
    log = (shop.below / "worker.log").open("wb")
    worker = subprocess.Popen(
        [sys.executable, "-m", "streams.cli", "worker", "--ends-with-stdin"],
        cwd=shop.folder,
        env={**shop.env, **variables},
        stdin=subprocess.PIPE,
        stdout=log,
        stderr=log,
    )
    assert worker.stdin is not None
    try:
        until(lambda: b"Ready" in (shop.below / "worker.log").read_bytes(), "it is not ready")
        shop.run("streams.cli", "publish", "item.receive", "item=tea", "count=3", "--wait", "60", **variables)
        ship = ("publish", "item.ship", "item=tea", "count=4", "to=Ada", "--wait", "60")
        assert shop.run("streams.cli", *ship, expected=1, **variables) == ""
        found: dict[str, Any] = json.loads(shop.run("streams.cli", "get", "item", "tea", "--json", **variables))
        assert found["row"] == {"count": 3, "shipped": 0}
    finally:
        worker.stdin.close()
        assert worker.wait(120) == 0
        log.close()
