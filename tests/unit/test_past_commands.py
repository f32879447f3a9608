"""The commands that ask the past: what they refuse before they look for a broker."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from streams.cli.commands.replay import replay
from streams.cli.commands.what_if import what_if
from streams.errors import ConfigError


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({}, "nothing is changed"),
        ({"insert": ["{"]}, "--insert holds no JSON"),
        ({"insert": ["nowhere.json"]}, r"the file nowhere\.json of --insert cannot be read"),
        ({"replace": ["signup-1"]}, "--replace is 'signup-1'; a name, =, and JSON or a file were expected"),
        ({"remove": ["a"], "answer": ['={"type": "x.y"}']}, "--answer is"),
    ],
)
def test_a_change_that_cannot_be_read_is_a_sentence(options: dict[str, Any], sentence: str) -> None:
    """It names the option."""
    with pytest.raises(ConfigError, match=sentence):
        what_if(**options)


def test_a_file_that_is_too_large_is_not_read_whole(tmp_path: Path) -> None:
    """At most a megabyte is."""
    file = tmp_path / "large.json"
    file.write_bytes(b" " * (1024 * 1024 + 1))
    with pytest.raises(ConfigError, match="holds more than 1048576 bytes"):
        what_if(insert=[str(file)])
    with pytest.raises(ConfigError, match="holds more than 1048576 bytes"):
        replay(accept=file)


def test_accepted_origins_that_are_not_there(tmp_path: Path) -> None:
    """The sentence says what writes them."""
    with pytest.raises(ConfigError, match=r"cannot be read: No such file or directory\. --save writes it"):
        replay(accept=tmp_path / "nothing.json")
