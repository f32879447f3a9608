"""Whether a client takes what waits for it."""

from __future__ import annotations


class SlowReader:
    """One client. While anything waits for it, it must take `size` bytes in each `seconds`. The clock is given."""

    def __init__(self, seconds: float, size: int) -> None:
        self._seconds, self._size = seconds, size
        self._waits: tuple[float, int] | None = None
        """Since when something waits, and how many bytes it had taken then."""

    def is_stuck(self, waiting: int, taken: int, now: float) -> bool:
        """Whether it has taken too little for too long. `waiting`: bytes that are left; `taken`: those that it took so far.

        Where nobody counts the latter, `-waiting` grows as it does.
        """
        if waiting == 0 or self._waits is None or taken - self._waits[1] >= self._size:
            self._waits = (now, taken) if waiting else None
        return self._waits is not None and now - self._waits[0] > self._seconds

    def has_taken(self) -> None:
        """It has taken most of what waited."""
        self._waits = None
