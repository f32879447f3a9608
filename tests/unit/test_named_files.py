"""Files that a person names: what is wrong with one is said with its name, which may be anything."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from streams.cli.commands.history import history
from streams.cli.commands.verify import verify
from streams.cli.process.named_files import read_named, write_named
from streams.errors import ConfigError


def test_a_file_is_read_up_to_its_limit(tmp_path: Path) -> None:
    """With exactly as many bytes it is read, and with one more it is refused."""
    file = tmp_path / "a.json"
    write_named(file, b"12345")
    assert read_named(file, 5) == b"12345"
    with pytest.raises(ConfigError, match=r"a\.json holds more than 4 bytes"):
        read_named(file, 4)


def test_a_file_that_cannot_be_used_is_named_harmlessly(tmp_path: Path) -> None:
    """With what the system says, and for one that is to be read, with what to do."""
    with pytest.raises(ConfigError, match=r"a\\x1b cannot be read: No such file or directory\. --save writes it"):
        read_named(tmp_path / "a\x1b", 4, ". --save writes it")
    with pytest.raises(ConfigError, match=r"gone/b\\x1b cannot be written: No such file or directory"):
        write_named(tmp_path / "gone" / "b\x1b", b"")


@pytest.mark.parametrize(
    ("ask", "option"),
    [(lambda file: history(to=file), "--export"), (lambda file: verify(note=file), "--note")],
    ids=["an exported past", "a note"],
)
def test_a_file_that_is_there_stays(ask: Callable[[Path], None], option: str, tmp_path: Path) -> None:
    """Before anything is read: a note is the only evidence of what the logs held."""
    file = tmp_path / "kept"
    file.write_text("evidence")
    with pytest.raises(ConfigError, match=f"is there already; {option} writes a new file"):
        ask(file)
    assert file.read_text() == "evidence"
