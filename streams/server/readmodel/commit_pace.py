"""When what was read is committed: at once after a silence, and in large transactions while much is to be read."""

from __future__ import annotations

import time

BATCH = 5_000
EVERY = 0.02
"""s between two commits while more arrives; what arrives after a silence is committed at once."""
CATCHING_UP, RECORDS = 0.5, 20_000
"""s and records of a transaction, at most, while much is to be read: large ones write a page of an index once for many records."""


class CommitPace:
    """Used by the thread that follows."""

    def __init__(self) -> None:
        self._next = self._since = 0.0
        self._given = 0
        """Records since the last commit, the first of which came at `_since`."""

    def pause(self, collecting: bool) -> float:
        """How long (s) to wait for more than the first record."""
        return EVERY if collecting else max(0.0, self._next - time.monotonic())

    def is_due(self, arrived: int, more: bool) -> bool:
        """Whether to commit, now that so many have arrived. `more`: much is to be read, as also a full batch shows."""
        now = time.monotonic()
        if self._given == 0:
            self._since = now
        self._given += arrived
        collects = (more or arrived > BATCH) and self._given < RECORDS and now - self._since < CATCHING_UP
        return not collects

    def begin_anew(self) -> None:
        self._next, self._given = time.monotonic() + EVERY, 0
