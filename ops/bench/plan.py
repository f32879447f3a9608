"""How much each contestant does: enough for a steady window of some seconds, little enough to end in time."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Plan:
    """`events` a run, by contestant in the order of a round; `latency` and `answers`: events a second → events in all."""

    rounds: int
    events: dict[str, int]
    latency: dict[int, int]
    answers: dict[int, int]
    reading: tuple[int, int, int]
    """Rows and records that a server follows, and answers of it that are timed."""
    history: tuple[int, int]
    """Transfers of a bank in the past, and records of the past in which a what-if is asked."""


QUICK = Plan(
    3, {"raw": 120_000, "faust": 4_000, "quix": 80_000, "kafka-streams": 120_000, "us": 120_000}, {10: 30, 2_000: 5_000}, {5: 30},
    (50_000, 50_000, 500), (2_000, 50_000),
)  # fmt: skip
FULL = Plan(
    3, {"raw": 400_000, "faust": 12_000, "quix": 150_000, "kafka-streams": 400_000, "us": 400_000},
    {10: 100, 2_000: 20_000}, {5: 100}, (1_000_000, 500_000, 5_000), (10_000, 1_000_000),
)  # fmt: skip
