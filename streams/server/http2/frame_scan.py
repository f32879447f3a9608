"""Where the bytes that came from a client end: between two frames of HTTP/2, or in the middle of one."""

from __future__ import annotations

from typing import Final

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
"""What a client of HTTP/2 sends first."""
BEGIN: Final = 9
"""Bytes before what is in a frame: its length, its kind, its flags, its stream."""
HEADERS, CONTINUATION = 1, 9
END_HEADERS: Final = 4


class FrameScan:
    """`finished`: frames that came whole, a head of several counting as one. `head`: bytes of the last head up to now."""

    def __init__(self) -> None:
        self.finished, self.head = 0, 0
        self._left, self._begin, self._in_head = len(PREFACE), b"", False

    def take(self, data: bytes) -> None:
        at = 0
        while at < len(data):
            if self._left:
                step = min(self._left, len(data) - at)
                self._left -= step
            else:
                step = min(BEGIN - len(self._begin), len(data) - at)
                self._begin += data[at : at + step]
                if len(self._begin) == BEGIN:
                    self._open(self._begin)
            at += step
            self.finished += self.is_whole

    @property
    def is_whole(self) -> bool:
        return not (self._left or self._begin or self._in_head)

    def _open(self, begin: bytes) -> None:
        self._left, self._begin, kind = int.from_bytes(begin[:3]), b"", begin[3]
        if kind in (HEADERS, CONTINUATION):
            self.head = self._left + (self.head if kind == CONTINUATION else 0)
            self._in_head = not begin[4] & END_HEADERS
