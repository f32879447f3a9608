"""The sequences and recorded times of a log, as they are read: dense, in order, and each later than the one before."""

from __future__ import annotations

from streams.engine.execution import BELIEVED_AHEAD
from streams.history.recorded_event import NamespacePartition, position_name
from streams.history.verification.verification_findings import (
    MISSING,
    ORDER,
    REPEATED,
    TIME,
    Findings,
)

BEFORE_CAUSE = "places of events that were recorded before their causes, since a worker's clock was ahead"
"""What cannot be checked of such an event: it may be right."""


class SequenceCheck:
    """Of one log. `begins` is whether it still has its first record; what was cut off before cannot be missed."""

    def __init__(self, at: NamespacePartition, findings: Findings, *, begins: bool) -> None:
        self._at, self._findings, self._begins = at, findings, begins
        self._gaps: list[tuple[int, int]] = []
        """First and last sequence of each, in order: a wrong sequence may seem to leave out a million."""
        self.has_gap, self.is_begun = False, begins
        """Whether something is missing, and whether what was read begins with the first record, or should."""
        self.last, self.recorded, self.first = 0, 0, 0
        self.by_clock = True
        """Whether the last record's time is its worker's clock's, or its cause's: not one that goes on from the record before."""
        self.erased: set[int] = set()

    @property
    def is_whole(self) -> bool:
        """Whether every record from the first on was there."""
        return self.is_begun and not self._gaps and not self.erased

    @property
    def missing(self) -> list[tuple[int, int]]:
        """First and last sequence of each gap, without what an operator deleted."""
        gaps = self._gaps
        for each in sorted(self.erased):
            gaps = [left for gap in gaps for left in _without(gap, each)]
        return gaps

    def erase(self, sequence: int) -> None:
        """An operator's tombstone for a record, behind it."""
        self.erased.add(sequence)
        self.last = max(self.last, sequence)

    def take(self, sequence: int, recorded: int) -> bool:
        """False: the record stands in the log for a second time, and is to be left out."""
        if not self.first:
            self.first, self.is_begun = sequence, self._begins or sequence == 1
            if not self._begins:
                self.last = sequence - 1
        if sequence > self.last:
            if sequence > self.last + 1:
                self._gaps.append((self.last + 1, sequence - 1))
                self.has_gap = True
            self.last = sequence
        elif any(low <= sequence <= high for low, high in self._gaps):
            self._gaps = [left for gap in self._gaps for left in _without(gap, sequence)]
            self.has_gap = bool(self._gaps)
            self._findings.add(
                ORDER, self._at, f"{position_name(*self._at, sequence)} before {position_name(*self._at, sequence + 1)}",
                f"it stands behind {position_name(*self._at, self.last)}", sequence=sequence,
            )  # fmt: skip
            return True  # its time is behind that one's too
        else:
            self._findings.add(
                REPEATED, self._at, f"one record of this sequence, then {position_name(*self._at, self.last + 1)}",
                f"another one, behind {position_name(*self._at, self.last)}", sequence=sequence,
            )  # fmt: skip
            return False
        if recorded <= self.recorded:
            self._findings.add(
                TIME, self._at, f"a recorded time after {self.recorded}, that of the record before (µs since 1970)", f"{recorded}",
                sequence=sequence,
            )  # fmt: skip
        self.by_clock, self.recorded = recorded != self.recorded + 1, recorded
        return True

    def take_early(self, cause_time: int, sequence: int, recorded: int) -> None:
        """A record's time is not after its cause's: wrongly, or since a worker believes no cause more than an hour ahead."""
        if cause_time - recorded <= BELIEVED_AHEAD and self.by_clock:
            expected = f"a recorded time after that of its cause, {cause_time} (µs since 1970)"
            self._findings.add(TIME, self._at, expected, f"{recorded}", sequence=sequence)
        else:
            self._findings.unchecked(BEFORE_CAUSE, position_name(*self._at, sequence))

    def finish(self) -> None:
        """Report the gaps, each as one finding."""
        for low, high in self.missing:
            which = f"{low} to {high}" if high > low else low
            self._findings.add(
                MISSING, self._at, f"a record of each sequence from 1 to {self.last}", f"none of {which}", sequence=low
            )
        if not self.is_begun and self.first:
            what = "records before the log's beginning: they were deleted"
            self._findings.unchecked(what, position_name(*self._at, 1), self.first - 1)
        if self.erased:
            where = position_name(*self._at, min(self.erased))
            what = "log records that an operator deleted, and what follows for their keys"
            self._findings.unchecked(what, where, len(self.erased))


def _without(gap: tuple[int, int], number: int) -> list[tuple[int, int]]:
    low, high = gap
    if not low <= number <= high:
        return [gap]
    return [it for it in ((low, number - 1), (number + 1, high)) if it[0] <= it[1]]
