"""Offsets of which there may be millions: eight bytes each."""

from __future__ import annotations

from array import array
from bisect import bisect_left


class OffsetSet:
    """Mostly added in order, which is quick. Used by one thread."""

    def __init__(self) -> None:
        self._sorted = array("q")

    def __len__(self) -> int:
        return len(self._sorted)

    def add(self, offset: int) -> None:
        at = bisect_left(self._sorted, offset)
        if not self._is_at(at, offset):
            self._sorted.insert(at, offset)

    def discard(self, offset: int) -> None:
        at = bisect_left(self._sorted, offset)
        if self._is_at(at, offset):
            del self._sorted[at]

    def _is_at(self, at: int, offset: int) -> bool:
        return at < len(self._sorted) and self._sorted[at] == offset
