"""What corrections make of a log, for those who look at it one after the other: to decide the past again takes as long."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import NamedTuple

from streams.history.branch.change import Change
from streams.history.code.application_handlers import ApplicationHandlers
from streams.history.correction.corrected_past import CorrectedPast
from streams.history.correction.merged_change import merged
from streams.history.past import MemoryPast, Past
from streams.history.recorded_event import NamespacePartition
from streams.history.stored.stored_past import StoredPast, state_of


class _State(NamedTuple):
    """Logs of the same state tell the same: what was recorded never changes. `last` has the last sequence of each."""

    others: Hashable
    last: Mapping[NamespacePartition, int]


class LastCorrected:
    """`changes` are all corrections so far, `applied` those that were applied to their end before; None: all but the last."""

    def __init__(
        self, handlers: ApplicationHandlers, changes: Sequence[Change], applied: Sequence[Change] | None = None
    ) -> None:
        self._handlers, self._changes = handlers, changes
        self._applied = changes[:-1] if applied is None else applied
        self._last: tuple[Past, CorrectedPast] | None = None
        self._state: _State | None = None
        self._settled = False

    def of(self, log: Past) -> CorrectedPast:
        """Of a log that tells the same as the one that was asked for last it is not decided again. Raises as `what_if`."""
        if self._last is not None and self._last[0] is log:
            return self._last[1]
        state = _state(log)
        if self._last is not None and state is not None and state == self._state:
            self._last = log, self._last[1].over(log)
            return self._last[1]
        self._last, self._settled = None, False  # two of them need not be in memory
        change, applied = merged(log, self._changes), merged(log, self._applied)
        self._last, self._state = (log, CorrectedPast(log, self._handlers, change, applied=applied)), state
        return self._last[1]

    def settle(self, log: Past, steps: int) -> None:
        """All rows that differed in the log of last time were set, by so many steps: if nothing else came, none differs now.

        Of the steps the history that counts has nothing, so it is as it was.
        """
        state, before = _state(log), self._state
        if self._last is None or state is None or before is None or state.others != before.others:
            return
        if sum(state.last.values()) - sum(before.last.values()) == steps:
            self._last, self._state, self._settled = (log, self._last[1].over(log)), state, True

    def is_settled(self, log: Past) -> bool:
        """Whether it is known that no row differs in the log that `of` was asked for last."""
        return self._settled and self._last is not None and self._last[0] is log


def _state(log: Past) -> _State | None:
    """None: it is not known whether another log tells the same."""
    if isinstance(log, StoredPast):
        return _State(state_of(log)[:-1], log.last)
    if isinstance(log, MemoryPast):
        return _State(len(log) - sum(log.last.values()), log.last)  # what is erased is missing among its sequences
    return None
