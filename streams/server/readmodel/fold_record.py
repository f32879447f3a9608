"""Which fold a process is in, in memory that another process sees too: who hangs in a fold cannot say so itself."""

from __future__ import annotations

import mmap
import os
import struct
import sys
import tempfile
import time
from typing import IO, Final, NamedTuple

HEAD: Final = struct.Struct("<qB")
LENGTH: Final = 8
"""A number that each fold has of its own, and, at `LENGTH`, the bytes of the text that names it; 0 where no fold goes on."""
LARGEST: Final = 255
SIZE: Final = HEAD.size + LARGEST
TOLD: Final = 2.5
"""s after which a fold that goes on is told of."""


def shared_file() -> IO[bytes]:
    """For a FoldRecord and its FoldWatch. Raises OSError.

    On Linux it is in memory: a disk for temporary files that is full, or read-only, keeps no server from following.
    """
    if sys.platform == "linux":
        file: IO[bytes] = os.fdopen(os.memfd_create("retold-folds"), "r+b")
    else:
        file = tempfile.TemporaryFile()  # noqa: SIM115 - whoever asks closes it
    try:
        file.write(bytes(SIZE))  # it takes its place on the disk now: a page of a mapped file that finds none ends its process
        file.flush()
    except BaseException:
        file.close()
        raise
    return file


class FoldRecord:
    """Of the process that folds; used by one thread. `descriptor` is of a shared file."""

    def __init__(self, descriptor: int) -> None:
        self._map, self._number = mmap.mmap(descriptor, SIZE), 0

    def begin(self, projection: str, event_type: str, where: str) -> None:
        """A fold takes microseconds, so this only says which it is; who looks measures the time."""
        text = f"{projection}\n{event_type}, {where}".encode()[:LARGEST]
        self._number += 1
        self._map[HEAD.size : HEAD.size + len(text)] = text
        HEAD.pack_into(self._map, 0, self._number, len(text))

    def end(self) -> None:
        self._map[LENGTH] = 0


class SlowFold(NamedTuple):
    """A fold that has not returned for long. `number` is its own."""

    number: int
    projection: str
    place: str

    def __str__(self) -> str:
        return f"the fold of the projection {self.projection} has not returned for {TOLD:g} s, at {self.place}"


class FoldWatch:
    """Of the process that looks, now and then, in one thread."""

    def __init__(self, descriptor: int) -> None:
        self._map = mmap.mmap(descriptor, SIZE)
        self._seen, self._since = 0, 0.0

    def look(self) -> SlowFold | None:
        """The fold that goes on since `TOLD` s or longer."""
        number, length = HEAD.unpack_from(self._map)
        if not length or number != self._seen:
            self._seen, self._since = (number if length else 0), time.monotonic()
            return None
        if time.monotonic() - self._since < TOLD:
            return None
        text = self._map[HEAD.size : HEAD.size + length].decode(errors="replace")
        projection, _, place = text.partition("\n")
        return SlowFold(number, projection, place)

    def close(self) -> None:
        self._map.close()
