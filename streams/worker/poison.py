"""Finding what no transaction can hold, without harm to what stands beside it (rule 8)."""

from __future__ import annotations

from collections.abc import Collection
from enum import Enum

from streams.kafka.producer import TransactionAborted
from streams.worker.gateway_calls import RESULTS

SUSPICIOUS = 2
"""Transactions in a row that are refused for a record's size or shape, and for nothing else."""
CALM = 20
"""Transactions that must commit before everything shares one again."""


class PoisonKind(Enum):
    """What a transaction may hold."""

    ANSWERS = "answers"
    TIMERS = "timers"
    RECORDS = "records"


class PoisonSearch:
    """While it lasts, answers, timers and records go in transactions of their own, by turns."""

    def __init__(self) -> None:
        self.reason = ""
        self.most_answers = RESULTS
        """That a transaction may hold, of a partition."""
        self._refused = 0
        self._calm = CALM
        self._turn = 0

    @property
    def lasts(self) -> bool:
        return self._refused >= SUSPICIOUS or self._calm < CALM

    def turn(self, kinds: Collection[PoisonKind]) -> PoisonKind | None:
        """The only kind that the next transaction may hold, of those that there are; None: all of them."""
        if not self.lasts or not kinds:
            return None
        order = [kind for kind in PoisonKind if kind in kinds]
        self._turn += 1
        return order[self._turn % len(order)]

    def aborted(self, error: TransactionAborted) -> None:
        if not error.poison:
            self._refused = 0
            return
        self._refused, self.reason = self._refused + 1, str(error)
        if self._refused >= SUSPICIOUS:
            self._calm = 0

    def succeeded(self) -> None:
        self._refused = 0
        self._calm = min(CALM, self._calm + 1)
        if not self.lasts:
            self.most_answers = RESULTS
