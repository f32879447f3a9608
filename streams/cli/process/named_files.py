"""Files that a person names on the command line: read whole, up to a limit, and written."""

from __future__ import annotations

from pathlib import Path

from streams.engine.readable import named
from streams.errors import ConfigError


def read_named(file: Path, most: int, hint: str = "") -> bytes:
    """All of it. Raises ConfigError if it cannot be read, with a `hint` at the end, or has more than `most` bytes."""
    try:
        with file.open("rb") as opened:
            content = opened.read(most + 1)
    except OSError as error:
        raise ConfigError(f"the file {named(str(file))} cannot be read: {error.strerror}{hint}") from error
    if len(content) > most:
        raise ConfigError(f"the file {named(str(file))} holds more than {most} bytes")
    return content


def refuse_present(file: Path | None, option: str) -> None:
    """To be called before the work whose result the file gets. Raises ConfigError for one that is there: nothing is overwritten."""
    if file is not None and file.exists():
        raise ConfigError(f"{named(str(file))} is there already; {option} writes a new file")


def write_named(file: Path, content: bytes) -> None:
    """Raises ConfigError."""
    try:
        file.write_bytes(content)
    except OSError as error:
        raise ConfigError(f"the file {named(str(file))} cannot be written: {error.strerror}") from error
