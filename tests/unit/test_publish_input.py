"""What `retold publish --from` reads twice: also what a pipe gives but once."""

from __future__ import annotations

import io
import os
import resource
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

import pytest

from streams.cli.commands.publish_input import name_of, opened
from streams.errors import ConfigError

TEXT = b"a line\n" * 50_000
"""More than a pipe holds."""


@contextmanager
def writing(path: Path | int) -> Iterator[None]:
    """Somebody writes the text to a pipe."""

    def write() -> None:
        with suppress(BrokenPipeError), open(path, "wb") as pipe:  # noqa: PTH123 - it may be a descriptor
            pipe.write(TEXT)

    writer = threading.Thread(target=write, daemon=True)
    writer.start()
    yield
    writer.join(60)


def twice(file: IO[bytes]) -> tuple[bytes, bytes]:
    start = file.tell()
    first = file.read()
    file.seek(start)
    return first, file.read()


def test_a_named_pipe_is_read_twice(tmp_path: Path) -> None:
    """Both passes get all of it."""
    pipe = tmp_path / "events.jsonl"
    os.mkfifo(pipe)
    with writing(pipe), opened(str(pipe), again=True) as file:
        assert twice(file) == (TEXT, TEXT)


def test_a_pipe_that_a_shell_names_is_read_twice() -> None:
    """`<(…)` is /dev/fd/63."""
    end, start = os.pipe()
    with writing(start), opened(f"/dev/fd/{end}", again=True) as file:
        os.close(end)
        assert twice(file) == (TEXT, TEXT)


def test_stdin_is_read_from_where_it_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A shell may have read its first line; and it is not closed."""
    (tmp_path / "events.jsonl").write_bytes(b"heading\n" + TEXT)
    with (tmp_path / "events.jsonl").open("rb") as file:
        file.readline()
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(file))
        with opened("-", again=True) as content:
            assert twice(content) == (TEXT, TEXT)
        assert not file.closed


def test_what_is_read_once_is_not_copied(tmp_path: Path) -> None:
    """It may be without an end."""
    pipe = tmp_path / "events.jsonl"
    os.mkfifo(pipe)
    with writing(pipe), opened(str(pipe), again=False) as file:
        assert not file.seekable()
        assert file.read() == TEXT


@contextmanager
def no_room_beyond(size: int) -> Iterator[None]:
    """For any file of this process."""
    before, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, most))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (before, most))


def test_a_copy_that_has_no_room_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says where the copy was to go and what else could be done, and the copy is closed: a warning is an error here."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    pipe = tmp_path / "events.jsonl"
    os.mkfifo(pipe)
    with (
        writing(pipe),
        no_room_beyond(100_000),
        pytest.raises(ConfigError, match=r"events\.jsonl cannot be copied.*File too large.*TMPDIR.*--on-error skip") as raised,
        opened(str(pipe), again=True),
    ):
        pass
    assert f"in {tmp_path}: " in str(raised.value)


def test_a_files_name_is_shown_without_what_a_terminal_obeys() -> None:
    """It may be any bytes."""
    assert name_of("a\x1b[2J\n\udcff.csv") == r"a\x1b[2J\n\udcff.csv"
    with pytest.raises(ConfigError, match=r"the file a\\x1b\.csv cannot be read"), opened("a\x1b.csv", again=True):
        pass
