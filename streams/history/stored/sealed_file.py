"""A checksum in an exported file: SQLite reads most damage as other data, and says nothing.

It stands in the four bytes of SQLite's header that are for an application's own number (`pragma user_version`), so that any
SQLite reads the file. It is of all other bytes. 0: written before there was one, so nothing is known.
"""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import BinaryIO

PLACE, WIDTH = 60, 4
MAGIC = b"SQLite format 3\0"
"""What each file of SQLite begins with."""
PIECE = 1 << 20
"""Bytes that are read at once."""


def seal(file: Path) -> None:
    """Write the checksum of a file that nobody has open. Raises OSError."""
    with file.open("r+b") as opened:
        _, found = _sums(opened)
        opened.seek(PLACE)
        opened.write(found)


def is_whole(file: Path) -> bool:
    """Whether it has the bytes that it was sealed with; also one that was never sealed, or is no file of SQLite. Raises OSError."""
    with file.open("rb") as opened:
        if opened.read(len(MAGIC)) != MAGIC:
            return True
        opened.seek(0)
        kept, found = _sums(opened)
    return kept in (found, bytes(WIDTH))


def _sums(opened: BinaryIO) -> tuple[bytes, bytes]:
    """The checksum that a file has, and the one of its bytes, which is never 0."""
    head = opened.read(PLACE)
    kept = opened.read(WIDTH)
    found = zlib.crc32(head)
    while piece := opened.read(PIECE):
        found = zlib.crc32(piece, found)
    return kept, (found or 1).to_bytes(WIDTH, "big")
