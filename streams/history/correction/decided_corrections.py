"""What corrections make of a log, kept for who asks again: to decide it takes long where they reach many rows."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable

from streams.engine.readable import named
from streams.errors import HistoryError, UnsupportedSchema, without_frames
from streams.history.branch.branch_past import BranchPast
from streams.history.branch.branch_times import TimedBranch
from streams.history.correction.corrected_past import CorrectedPast
from streams.history.past import Past

MOST = 50_000
"""Events that are kept, of all decisions together: some 50 MB."""
EACH = 100
"""Events that a decision counts for beside its own: one that has none takes room, too."""


class DecidedPast:
    """What corrections make of a log. It is asked with a log that tells the same, as of another connection to its file."""

    def __init__(self, corrected: CorrectedPast) -> None:
        self._branch = corrected.past
        self._raised = next(iter(corrected.difference.raised), None)
        self._has_untold = any(not it.is_told for it in corrected.difference.untold)
        self._timed: TimedBranch | None = None
        self._turn = threading.Lock()

    @property
    def size(self) -> int:
        """How many events it counts for."""
        return EACH + len(self._branch.decided) + len(self._branch.aside.parked)

    def past(self, log: Past) -> BranchPast:
        return self._branch.over(log)

    def timed(self, log: Past) -> TimedBranch:
        """The same with its high-water times; those of the log must be known.

        Raises HistoryError if a handler raises: what it would make of its row is not known.
        """
        if (raised := self._raised) is not None:
            it = raised.event
            raise HistoryError(f"the handler of {it.event_type} of {named(it.key)!r} raises {raised.error} there")
        with self._turn:
            if self._timed is None:
                self._timed = TimedBranch(self.past(log))
                self._timed.has_untold = self._has_untold
        return self._timed.over(log)


class DecidedCorrections:
    """Used by any thread; what is not kept is decided by one at a time.

    What was decided is dropped when the corrections are others, and the oldest of it when more than `most` events are kept. The
    last decision is kept, however large it is.
    """

    def __init__(self, most: int = MOST) -> None:
        self._most, self._turn = most, threading.Lock()
        self._corrections: bytes | None = None
        self._kept: dict[Hashable, DecidedPast | HistoryError] = {}

    def begin(self, corrections: bytes) -> None:
        """All that there are now."""
        with self._turn:
            if corrections != self._corrections:
                self._corrections, self._kept = corrections, {}

    def of(self, key: Hashable, decide: Callable[[], DecidedPast]) -> DecidedPast:
        """What was decided for a key, or is now. Raises the HistoryError of `decide`."""
        with self._turn:
            found = self._kept.pop(key, None) or _decided(decide)
            self._kept[key] = found
            while len(self._kept) > 1 and sum(map(_size, self._kept.values())) > self._most:
                del self._kept[next(iter(self._kept))]
        if isinstance(found, HistoryError):
            raise without_frames(found)
        return found


def _decided(decide: Callable[[], DecidedPast]) -> DecidedPast | HistoryError:
    try:
        return decide()
    except HistoryError as error:
        if isinstance(error.__cause__, UnsupportedSchema):  # it is asked again once the schema is known
            raise
        return without_frames(error)


def _size(it: DecidedPast | HistoryError) -> int:
    return it.size if isinstance(it, DecidedPast) else EACH
