"""Commands whose processes have what they import already, for the tests of whole commands."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.prepared_commands import PROJECT, PreparedCommands, start

ENV = {**os.environ, "RETOLD_APP": "processors:app", "RETOLD_BROKER": "127.0.0.1:1"}


@pytest.fixture(scope="module")
def prepared() -> Iterator[PreparedCommands]:
    commands = PreparedCommands()
    yield commands
    commands.close()


def test_it_is_what_a_process_gives_that_python_starts(prepared: PreparedCommands) -> None:
    """Exit code, stdout and stderr."""
    for words in (["schemas", "list"], ["publish", "user.signup", "user=1"], ["get", "--nix"]):
        expected, found = start(words, ENV, PROJECT, 240), prepared.run(words, ENV, PROJECT, 240)
        assert [expected.returncode, expected.stdout, expected.stderr] == [found.returncode, found.stdout, found.stderr]
        assert expected.stdout + expected.stderr != ""
        assert found.args == words  # Python did not start it


def test_each_has_its_own_settings_and_folder(prepared: PreparedCommands, tmp_path: Path) -> None:
    """Those of one are not the next one's."""
    (tmp_path / "other.py").write_text("from processors import app\n")
    in_folder = {**ENV, "RETOLD_APP": "other:app"}
    assert prepared.run(["asyncapi"], in_folder, tmp_path, 240).returncode == 0
    assert "other" in prepared.run(["asyncapi"], in_folder, PROJECT, 240).stderr
    found = prepared.run(["asyncapi"], {**in_folder, "PYTHONPATH": str(tmp_path)}, PROJECT, 240)
    assert (found.returncode, found.args) == (0, ["asyncapi"])
    assert prepared.run(["asyncapi"], ENV, PROJECT, 240).returncode == 0


def test_one_that_takes_too_long_is_ended(prepared: PreparedCommands) -> None:
    """As `subprocess` does it; the next one is prepared anew."""
    prepared.run(["--version"], ENV, PROJECT, 240)
    began = time.monotonic()
    with pytest.raises(subprocess.TimeoutExpired):
        prepared.run(["worker", "--wait", "300"], ENV, PROJECT, 0.5)
    assert time.monotonic() - began < 200
    assert prepared.run(["--version"], ENV, PROJECT, 240).returncode == 0


def test_what_python_looks_at_when_it_starts_is_not_prepared(prepared: PreparedCommands) -> None:
    """Such as its encoding."""
    env = {**ENV, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": "ascii"}
    assert "+- Error" in prepared.run(["get", "ä"], env, PROJECT, 240).stderr
