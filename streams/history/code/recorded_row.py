"""A row of the past, told event by event: the one home of what becomes of it where this code cannot fold an event."""

from __future__ import annotations

from collections.abc import Callable

from streams.engine.records import Entry
from streams.errors import CodeChanged
from streams.history.recorded_event import STEP, RecordedEvent

Fold = Callable[[Entry, RecordedEvent], Entry]
"""A row after an event that was handled; raises CodeChanged."""


class RecordedRow:
    """A correction's step sets a row whole: whatever was before, the row is told from there on.

    `entry` is the row as it was told last. `untold` says why it is not known any more, since the event `refused`; both are None
    where it is known.
    """

    __slots__ = ("_fold", "entry", "refused", "untold")

    def __init__(self, fold: Fold, entry: Entry = (None, 0)) -> None:
        self._fold, self.entry = fold, entry
        self.untold: CodeChanged | None = None
        self.refused: RecordedEvent | None = None

    def take(self, it: RecordedEvent) -> None:
        """The row's next event."""
        if self.untold is not None and it.kind != STEP:
            return
        try:
            self.entry = self._fold(self.entry, it)
        except CodeChanged as error:
            if self.untold is None:
                self.untold, self.refused = error, it
        else:
            self.untold = self.refused = None

    def told(self) -> Entry:
        """The row as it is behind the last event. Raises CodeChanged if it is not known."""
        if self.untold is not None:
            raise self.untold
        return self.entry
