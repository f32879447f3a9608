"""Lines of a file as bytes. No more of a line is read into memory than may be in one."""

from __future__ import annotations

from typing import IO

LINE_LIMIT = 16 * 1024 * 1024
"""The most bytes in one line, without its end: far more than an event may have by default."""
SKIPPED = 64 * 1024
"""Bytes of a line that is too long, read at a time until its end."""


class RawLines:
    """`line` is the number of the last line that was read.

    Of a line that is too long only the beginning is given; `has_quote`: the last one of these has a quote somewhere.
    """

    def __init__(self, file: IO[bytes], limit: int = LINE_LIMIT) -> None:
        self._readline, self.limit, self.line = file.readline, limit, 0
        self._again: list[bytes] = []
        self.has_quote = False

    def next(self) -> bytes:
        """A line with its end; empty behind the last one."""
        if self._again:
            raw = self._again.pop()
        else:
            raw = self._readline(self.limit + 1)
            if self.is_cut(raw):
                self._skip(raw)
        if raw:
            self.line += 1
        return raw

    def is_cut(self, raw: bytes) -> bool:
        """Whether it is the beginning of a line that is too long."""
        return len(raw) > self.limit and not raw.endswith(b"\n")

    def put_back(self, raw: bytes) -> None:
        """The last line that was read is given again."""
        self._again.append(raw)
        self.line -= 1

    def _skip(self, raw: bytes) -> None:
        self.has_quote = b'"' in raw
        while part := self._readline(SKIPPED):
            self.has_quote = self.has_quote or b'"' in part
            if part.endswith(b"\n"):
                return
