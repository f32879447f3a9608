"""The duplicate window: the ids of the last N log records of one partition, without a clock (rule 13)."""

from __future__ import annotations

from collections.abc import Mapping

from streams.engine.partition_rows import shrink

DEFAULT_WINDOW = 200_000
"""Log records of a partition whose ids are remembered, unless the setting `duplicate_window` says otherwise."""
Remembered = tuple[int, int, str]
"""Log sequence, 64-bit hash of the body (different in each process, and never stored), outcome."""


class DuplicateWindow:
    """Exact: an id is known while its record is among the last `size`.

    Two generations of a dict instead of one queue: an id costs one insertion, and a whole generation is dropped at once.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._young: dict[bytes, Remembered] = {}
        self._old: dict[bytes, Remembered] = {}

    @property
    def generations(self) -> tuple[Mapping[bytes, Remembered], Mapping[bytes, Remembered]]:
        """Until the next `add`. What is in neither is not known."""
        return self._young, self._old

    def find(self, digest: bytes, last: int) -> Remembered | None:
        """`last` is the sequence of the newest log record."""
        found = self._young.get(digest) or self._old.get(digest)
        return found if found and found[0] > last - self.size else None

    def add(self, remembered: Mapping[bytes, Remembered]) -> None:
        self._young.update(remembered)
        if len(self._young) >= self.size:
            self._old, self._young = self._young, {}

    def restore(self, remembered: dict[bytes, Remembered]) -> None:
        """Begin with what a log's end says; it is this window's from now on."""
        self._young = remembered
        self.add({})

    def shrink(self, count: int) -> int:
        """Free so many ids at most, of a window that is not used any more; returns how many."""
        fewer = shrink(self._young, count)
        return fewer + shrink(self._old, count - fewer)

    def __len__(self) -> int:
        return len(self._young) + len(self._old)
