"""Notes: what a worker must know after a restart and Kafka cannot hold, as small files in the state folder (ADR 21).

A transaction that is aborted leaves nothing in Kafka, and handling must not depend on a topic for monitoring.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Generic, TypeVar

import msgspec
import structlog

from streams.config import Config
from streams.errors import UNREADABLE_JSON
from streams.private_files import make_private, open_private

log = structlog.get_logger("retold.worker")

FOLDER = "notes"
"""In the folder of a project's state."""


def folder_of(config: Config) -> Path:
    """Where the notes of a project are."""
    return config.state / FOLDER


T = TypeVar("T", bound=msgspec.Struct)
LARGEST = 64 * 1024
"""Bytes of a note that are read."""


class Note(Generic[T]):
    """One JSON file, replaced as a whole. Workers of one machine share it; the last one that writes wins."""

    def __init__(self, file: Path, kind: type[T]) -> None:
        self._file, self._kind = file, kind
        self._unreadable = False
        """Whether that was logged."""

    def read(self) -> T | None:
        """None if there is no note, or nothing that can be read."""
        try:
            with self._file.open("rb") as file:
                return msgspec.json.decode(file.read(LARGEST), type=self._kind)
        except FileNotFoundError:
            return None
        except (OSError, *UNREADABLE_JSON) as error:
            if not self._unreadable:
                log.warning("a note cannot be read and is ignored", file=str(self._file), error=str(error))
            self._unreadable = True
            return None

    def write(self, value: T) -> None:
        """A failure is logged: a full disk must not end a namespace."""
        beside = self._file.with_name(f"{self._file.name}.{os.getpid()}")
        try:
            make_private(self._file.parent)
            with open_private(beside) as opened:
                opened.write(msgspec.json.encode(value))
            beside.replace(self._file)
        except (OSError, UnicodeEncodeError) as error:
            with contextlib.suppress(OSError):
                beside.unlink(missing_ok=True)
            log.warning("a note cannot be written; a restart will not know it", file=str(self._file), error=str(error))

    def clear(self) -> None:
        with contextlib.suppress(OSError):
            self._file.unlink(missing_ok=True)
