"""What corrections make of a log, decided once for all who ask about the same log: to decide it again takes as long."""

from __future__ import annotations

from collections.abc import Sequence

from streams.history.branch.change import Change
from streams.history.code.application_handlers import ApplicationHandlers
from streams.history.correction.corrected_past import CorrectedPast
from streams.history.correction.merged_change import merged
from streams.history.past import Past


class LastCorrected:
    """`changes` are all corrections so far, `applied` those that were applied to their end before; None: all but the last."""

    def __init__(
        self, handlers: ApplicationHandlers, changes: Sequence[Change], applied: Sequence[Change] | None = None
    ) -> None:
        self._handlers, self._changes = handlers, changes
        self._applied = changes[:-1] if applied is None else applied
        self._last: tuple[Past, CorrectedPast] | None = None

    def of(self, log: Past) -> CorrectedPast:
        """Of the very log that was asked for last it is not decided again: what a Past has never changes. Raises as `what_if`."""
        if self._last is None or self._last[0] is not log:
            self._last = None  # two of them need not be in memory
            change, applied = merged(log, self._changes), merged(log, self._applied)
            self._last = log, CorrectedPast(log, self._handlers, change, applied=applied)
        return self._last[1]
