"""Finds the record, answer or timer that the broker refuses for its size, without affecting the others (rule 8)."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from enum import Enum

from streams.engine.batch import PartitionWork
from streams.engine.timers import TIMERS_PER_BATCH
from streams.kafka.producer import TransactionAborted
from streams.worker.gateway_calls import RESULTS
from streams.worker.pace import Pace
from streams.worker.task import PartitionTask

SUSPICIOUS = 2
"""Transactions in a row that are refused only for a record's size or form, after which the search begins."""
CALM = 20
"""Transactions that must commit before all kinds share one again."""


class PoisonKind(Enum):
    """What a transaction may contain."""

    ANSWERS = "answers"
    TIMERS = "timers"
    RECORDS = "records"


class PoisonSearch:
    """While it lasts, answers, timers and records have transactions of their own, in turn."""

    def __init__(self) -> None:
        self.reason = ""
        self.most_answers = RESULTS
        self.most_timers = TIMERS_PER_BATCH
        """The most timers (and above, answers) of a partition in one transaction."""
        self._refused = 0
        self._calm = CALM
        self._turn = 0

    @property
    def lasts(self) -> bool:
        return self._refused >= SUSPICIOUS or self._calm < CALM

    def turn(self, kinds: Collection[PoisonKind]) -> PoisonKind | None:
        """The only kind for the next transaction, of those in `kinds`; None: all of them."""
        if not self.lasts or not kinds:
            return None
        order = [kind for kind in PoisonKind if kind in kinds]
        self._turn += 1
        return order[self._turn % len(order)]

    def narrow(
        self, works: Mapping[PartitionTask, PartitionWork], pace: Pace
    ) -> tuple[PartitionTask, PartitionWork] | None:
        """After these were refused, make the next transaction smaller; returns the refused item once it is alone.

        Of no work at all, as where a partition only goes over to other rows, nothing can be left out.
        """
        if not works:
            return None
        records, answers, timers = (
            sum(map(len, kind)) for kind in zip(*((it.records, it.answers, it.timers) for it in works.values()), strict=True)
        )
        if sum(map(bool, (records, answers, timers))) > 1:
            return None  # from now on each kind goes alone
        if records + answers + timers == 1:
            [alone] = works.items()
            return alone
        if records:
            pace.halve(records)
        elif answers:
            self.most_answers = answers // 2
        else:
            self.most_timers = timers // 2
        return None

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
            self.most_answers, self.most_timers = RESULTS, TIMERS_PER_BATCH
