"""How much is measured: how many rounds, how long each window is, and how long all of it will take."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

RACE = {"raw": 150_000, "faust": 6_000, "quix": 300_000, "kafka-streams": 1_000_000, "us": 200_000}
"""Contestants, and how many events each handles before anything is measured: that run finds out how fast it is here."""
LATENCY, CHAIN, STORY, FOLD, MEMORY = "latency", "chain", "story", "fold", "memory"
ANSWERS, READ, WATCH, HISTORY = "answers", "read", "watch", "history"
RESTORE, CORRECT, REBUILD = "restore", "correct", "rebuild"
WORKS = (CHAIN, STORY, FOLD, LATENCY, MEMORY)
ASIDE = (ANSWERS, READ, WATCH, HISTORY, RESTORE, CORRECT, REBUILD)
"""Only if they are named: how soon a gateway's answer is visible, the read side, who watches and publishes, the recorded past, a
restore, corrections, and a rebuild."""

WARM_UP = 0.2
"""The part of a run's events before its window: start, just-in-time compiler, caches, first transaction."""
WARM_UPS = {"kafka-streams": 0.4}
"""Of those that need more: Java's optimizing compiler works for seconds, on the same two cores."""
RESERVE = 1.2
"""By how much a run may be faster than the runs before it, and its window still be long enough."""
AROUND = {
    "raw": 5.0, "faust": 8.0, "quix": 9.0, "kafka-streams": 9.0, "us": 16.0, CHAIN: 18.0, STORY: 12.0, FOLD: 4.0, LATENCY: 8.0,
    MEMORY: 25.0, ANSWERS: 6.0, READ: 60.0, WATCH: 40.0, HISTORY: 90.0, RESTORE: 120.0, CORRECT: 60.0, REBUILD: 150.0,
}  # fmt: skip
"""s around the windows of one round, on two quiet cores: start, filling the inbox, reading what came out."""
FIRST = 14.0
"""s that a contestant takes to warm up."""


@dataclass(frozen=True)
class Plan:
    """`window`: s that each measured window has at least. `latency` and `answers`: s at each rate, warm-up included."""

    rounds: int
    window: float
    latency: float
    reading: tuple[int, int, int]
    """Rows and records that a server follows, and answers of it that are timed."""
    history: tuple[int, int]
    """Transfers of a bank in the past, and records of the past in which a what-if is asked."""
    rows: int
    """Whose memory is measured."""

    @property
    def watched(self) -> float:
        """s that one is watched that writes nothing and goes on for ever: it is slower at its start."""
        return self.window / (1 - WARM_UP) * 1.15

    def run(self, name: str) -> float:
        """s of a run that is long enough for its window."""
        return self.window / (1 - WARM_UPS.get(name, WARM_UP)) * RESERVE

    def events(self, name: str, rate: float, least: int = 0) -> int:
        """How many it needs for that, at that many a second."""
        return max(least, int(rate * self.run(name)) // 1000 * 1000 + 1000)

    def read_again(self, events: int) -> int:
        """How many an inbox has that is read again and again: the longer, the less it counts to begin again."""
        return events * max(1, round(self.window / 3))

    def seconds(self, names: Collection[str]) -> float:
        """About how long all of that takes."""
        windows = {
            "raw": self.watched, FOLD: self.watched, CHAIN: 2 * self.run(CHAIN), LATENCY: 2 * self.latency, ANSWERS: self.latency,
            MEMORY: 0.0, READ: 0.0, WATCH: 11 * self.window, HISTORY: 0.0, RESTORE: 0.0, CORRECT: 0.0, REBUILD: 0.0,
        }  # fmt: skip
        once = (MEMORY, READ, WATCH, HISTORY, RESTORE, CORRECT, REBUILD)
        total = 15.0
        for name in names:
            one = windows.get(name, self.run(name)) + AROUND[name]
            total += one * (1 if name in once else self.rounds) + (FIRST if name in RACE else 0)
        return total


FULL = Plan(5, 15.0, 20.0, (1_000_000, 500_000, 5_000), (10_000, 1_000_000), 1_000_000)
QUICK = Plan(3, 3.0, 4.0, (50_000, 50_000, 500), (2_000, 50_000), 100_000)
