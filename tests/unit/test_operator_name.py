"""Who a command says has asked, where the machine does not know the user's name."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

import streams
from streams.cli.process.operator_name import operator_name

ASKED = ("LOGNAME", "USER", "LNAME", "USERNAME")
"""The variables that Python looks at first."""


@pytest.fixture
def nameless(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container with a uid that its /etc/passwd does not have."""
    for name in ASKED:
        monkeypatch.delenv(name, raising=False)
    nobody: dict[int, tuple[str]] = {}
    monkeypatch.setitem(sys.modules, "pwd", SimpleNamespace(getpwuid=nobody.__getitem__))


@pytest.mark.usefixtures("nameless")
def test_a_user_without_a_name_is_called_by_its_uid() -> None:
    """A command ended with an internal error."""
    assert operator_name() == f"uid {os.getuid()}"


@pytest.mark.usefixtures("nameless")
def test_a_name_that_is_given_counts() -> None:
    """Whatever the login is; an empty one is none."""
    assert [operator_name("ada"), operator_name("")] == ["ada", f"uid {os.getuid()}"]


def test_a_login_that_is_no_text_is_escaped(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes that are no UTF-8 come as halves of surrogate pairs, which Kafka takes in no record."""
    for name in ASKED:
        monkeypatch.setenv(name, "jos\udce9\x1b")
    assert operator_name() == r"jos\udce9\x1b"


def test_no_command_asks_for_the_login_by_itself() -> None:
    """So each of them has these guards."""
    package = Path(streams.__file__).parent
    asking = [it.stem for it in package.rglob("*.py") if re.search(r"^\s*(import|from) getpass\b", it.read_text(), re.MULTILINE)]
    assert asking == ["operator_name"]
