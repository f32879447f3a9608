"""Which fold a process was in when it ended: one that ends its process would do so each time, and nothing would be followed."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from streams.server.readmodel.fold_record import FoldRecord

NOTE: Final = "folding"
"""The file, beside that of the read model."""
LARGEST: Final = 4096
"""Bytes of a note, which is written at once: what is longer is not noted."""


class FoldPlace(NamedTuple):
    """A projection, and the event that it folds."""

    projection: str
    where: str


class NotedFolds(msgspec.Struct, frozen=True):
    """`now`: the fold that goes on. `before`: the one in which the process before was when it ended."""

    now: FoldPlace | None = None
    before: FoldPlace | None = None


class FoldNote:
    """Kept by a process that follows one which ended without being told to. Used by one thread.

    `fatal` is the fold in which the two processes before this one ended, at the same event: by chance that is rare.
    """

    def __init__(self, folder: Path) -> None:
        """Raises OSError."""
        file = folder / NOTE
        found = _read(file)
        self.fatal = found.now if found.now is not None and found.now == found.before else None
        self._before = found.now
        self._file = os.open(file, os.O_WRONLY | os.O_CREAT, 0o600)
        self._rest = self._text(NotedFolds(before=self._before))
        self.end()

    @staticmethod
    def forget(folder: Path) -> None:
        """Whoever starts a server has perhaps corrected the fold. Raises OSError."""
        (folder / NOTE).unlink(missing_ok=True)

    def begin(self, projection: str, where: str) -> None:
        if text := self._text(NotedFolds(FoldPlace(projection, where), self._before)):
            self._write(text)

    def end(self) -> None:
        self._write(self._rest)

    def _write(self, text: bytes) -> None:
        with suppress(OSError):  # nothing else depends on it
            os.pwrite(self._file, text, 0)

    def close(self) -> None:
        os.close(self._file)

    @staticmethod
    def _text(notes: NotedFolds) -> bytes:
        text = msgspec.json.encode(notes)
        return text.ljust(LARGEST) if len(text) <= LARGEST else b""


class FoldNoting:
    """Of a process that follows. `after_end`: another one did so before it, and ended without being told to.

    `record` is seen by the process that looks at this one.
    """

    def __init__(self) -> None:
        self.after_end = False
        self.record: FoldRecord | None = None
        self._note: FoldNote | None = None

    def begin(self, folder: Path, note_folds: Callable[[FoldNote | None, FoldRecord | None], None]) -> None:
        """Have what writes the file in a folder note its folds: in a file, too, if the process before may have ended by one."""
        with suppress(OSError):  # such as a full disk: then nothing is noted
            if self.after_end:
                self._note = self._note or FoldNote(folder)
            else:
                FoldNote.forget(folder)
        note_folds(self._note, self.record)

    def close(self) -> None:
        if self._note is not None:
            self._note.close()


def _read(file: Path) -> NotedFolds:
    try:
        return msgspec.json.decode(file.read_bytes(), type=NotedFolds)
    except (FileNotFoundError, msgspec.MsgspecError, UnicodeDecodeError):
        return NotedFolds()
