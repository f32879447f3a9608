"""How large a batch may grow: an idle worker commits an event at once, a busy one limits batches by time, not by count."""

from __future__ import annotations

from dataclasses import dataclass

BYTES = 32 * 1024 * 1024
CHUNK = 2_000
LINGER = 0.01
"""At 2 000 events/s, 10 ms gave half the latency of 50 ms (which fed on itself: larger batches, longer commits) and of 0."""


@dataclass
class Pace:
    """`events` limits a batch, `seconds` the time to handle it, or `slice` while others wait for their turn. In s.

    `mean_commit` and `mean_event` are running means.
    """

    events: int
    seconds: float
    mean_commit: float = 0.01
    mean_event: float = 50e-6
    cap: int = 0
    slice: float | None = None

    @property
    def time(self) -> float:
        """For the next batch."""
        return self.seconds if self.slice is None else min(self.slice, self.seconds)

    def limit(self) -> int:
        """Events for the next batch; fewer during a poison search."""
        limit = max(1, min(self.events, int(self.time / self.mean_event)))
        return min(limit, self.cap) if self.cap else limit

    def linger(self, waited: float) -> float:
        """How long to collect more, in s. If the first record was there already, the worker is busy: as long as a commit."""
        return min(self.mean_commit, LINGER) if waited < 0.001 else 0.0

    def handled(self, events: int, seconds: float) -> None:
        self.mean_event += 0.2 * (seconds / events - self.mean_event)

    def committed(self, commit: float) -> None:
        self.mean_commit += 0.2 * (commit - self.mean_commit)
        self.cap = self.cap * 2 if 0 < self.cap < self.events else 0

    def halve(self, events: int) -> None:
        self.cap = max(1, events // 2)
