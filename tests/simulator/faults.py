"""The faults of a simulated run: which, and at which request of a worker; all of it decided by a seed."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

CRASH = "crash"
PAUSE = "pause"
AWAY = "broker away"
LATE_END = "late copy of an end"
LOST_ANSWER = "lost answer to an end"
LOST_END = "lost end"
UNDELIVERED = "undelivered record"
OFFSETS_REFUSED = "offsets refused"
EXPIRE = "session over"
CLOCK = "clock step"
COMPACT = "compaction"
RESTART = "clean restart"
SILENCE = "no answer to a question"
LATE_RECORD = "record behind its end"
LATE_COMMIT = "pause before a commit"
DEPLOY = "deploy"
OPERATOR = "operator"
CORRECTION = "correction"

KINDS = (
    CRASH, PAUSE, AWAY, LATE_END, LOST_ANSWER, LOST_END, UNDELIVERED, OFFSETS_REFUSED, EXPIRE, CLOCK, COMPACT, RESTART, SILENCE,
    LATE_RECORD, LATE_COMMIT,
)  # fmt: skip
ACTIONS = (DEPLOY, OPERATOR, CORRECTION)
"""What people do meanwhile, which is no fault: deploy another version, look after parked events, correct the past."""
APPLIES = {
    LATE_END: {"commit", "abort"}, LOST_ANSWER: {"commit", "abort"}, LOST_END: {"commit", "abort"}, UNDELIVERED: {"produce"},
    LATE_RECORD: {"produce"}, OFFSETS_REFUSED: {"offsets"}, SILENCE: {"ask"},
    PAUSE: {"poll", "produce", "offsets", "commit", "begin"}, LATE_COMMIT: {"commit"},
}  # fmt: skip
"""The requests at which a fault can happen, where that is not all of them."""


@dataclass(frozen=True)
class Fault:
    """It happens at the first request from number `at` on that it applies to.

    `amount`, from 0 to 1, says how long or how far: of a pause, a clock step, an absence, or a late copy.
    """

    at: int
    kind: str
    amount: float

    def applies_to(self, request: str) -> bool:
        return request in APPLIES.get(self.kind, {request})


def chosen(dice: random.Random, count: int, requests: int, kinds: Sequence[str] = KINDS) -> list[Fault]:
    """`count` faults among the first `requests` of a run, in their order."""
    return sorted(
        (Fault(dice.randrange(requests), dice.choice(kinds), round(dice.random(), 3)) for _ in range(count)),
        key=lambda it: it.at,
    )
