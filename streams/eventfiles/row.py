"""A row of a file, and what readers of text say of it."""

from __future__ import annotations

from typing import Any

import msgspec

BOM = b"\xef\xbb\xbf"


class Row(msgspec.Struct, frozen=True):
    """`line` counts from 1 (in Avro it is the record's number). `problem` is a sentence about an invalid line.

    `ends`: nothing behind it can be read, as where the next row begins is not known.
    """

    line: int
    values: dict[str, Any]
    problem: str | None = None
    ends: bool = False


def not_utf8(raw: bytes, error: UnicodeDecodeError) -> tuple[int, str]:
    """The column where a line is not UTF-8, and a sentence."""
    before = raw[: error.start]
    return len(before.decode(errors="replace")) + 1, f"the byte 0x{raw[error.start]:02x} is no UTF-8"


def too_long(limit: int) -> tuple[int, str]:
    """The column where a line is longer than `limit` bytes, and a sentence."""
    return limit + 1, f"the line goes on behind {limit:,} bytes, the most that are read of one"
