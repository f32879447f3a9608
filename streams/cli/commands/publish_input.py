"""What `retold publish --from` reads: a file, or a pipe, which is copied if it must be read twice."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import IO

from streams.errors import ConfigError
from streams.eventfiles.texts import plain


def name_of(file: str) -> str:
    """For messages: a file's name may be any bytes."""
    return "stdin" if file == "-" else plain(file)


@contextmanager
def opened(file: str, *, again: bool) -> Iterator[IO[bytes]]:
    """`again`: it is read twice. What cannot be is copied first, whole, to a temporary file that has no name.

    Raises ConfigError if it cannot be opened or copied.
    """
    with _source(file) as source:
        if not again or source.seekable():
            yield source
            return
        with _copied(source, name_of(file)) as copy:
            yield copy


def _source(file: str) -> IO[bytes] | nullcontext[IO[bytes]]:
    """Who opens it closes it, but stdin is not ours to close."""
    if file == "-":
        return nullcontext(sys.stdin.buffer)
    try:
        return Path(file).open("rb")
    except OSError as error:
        raise ConfigError(f"the file {name_of(file)} cannot be read: {error.strerror}.") from error


def _copied(source: IO[bytes], name: str) -> IO[bytes]:
    """From its start; who gets it closes it."""
    try:
        with ExitStack() as unless_whole:
            copy = unless_whole.enter_context(tempfile.TemporaryFile())
            shutil.copyfileobj(source, copy)
            copy.seek(0)
            unless_whole.pop_all()
            return copy
    except OSError as error:  # also of closing it, which tries once more to write what it could not
        raise ConfigError(
            f"{name} cannot be copied to a temporary file in {tempfile.gettempdir()}: {error.strerror}. It is read twice: "
            "set TMPDIR to a folder with room for it, or say --on-error skip, with which it is read once."
        ) from error
