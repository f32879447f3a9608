"""The events before those that are decided, in a replay of the last ones: their rows, and their timers that wait."""

from __future__ import annotations

from collections.abc import Iterator

from streams.data import namespace_of
from streams.engine.identity import emitted_id
from streams.engine.times import to_micros
from streams.event import Event
from streams.history.branch.branch_decision import data_of
from streams.history.branch.branch_queue import BranchQueue, BranchTimer, BranchTurn
from streams.history.branch.branch_rows import ReachedRows
from streams.history.branch.branch_untold import RowsOfBase
from streams.history.code.application_handlers import ApplicationHandlers
from streams.history.code.recorded_code import EmissionsByReference, RecordedCode
from streams.history.recorded_event import EMITTED, TIMER, Place, RecordedEvent


class SkippedEvents:
    """Shares with a branch its `queue`, and its rows, `reached` and as they `were`. `base` is the code that made the past."""

    def __init__(
        self, base: RecordedCode, handlers: ApplicationHandlers, queue: BranchQueue, reached: ReachedRows, were: RowsOfBase
    ) -> None:
        self._base, self._handlers, self._queue, self._reached, self._were = base, handlers, queue, reached, were
        self.places = set[Place]()
        """The rows of which all events so far are among them."""
        self.count = 0
        """How many there are."""

    def skip(self, count: int) -> None:
        """So many events, the first ones: behind each its row is as it was, and so are its timers."""
        self.count = count
        for _ in range(count):
            if (found := self._queue.pop()) is not None and isinstance(found[1], RecordedEvent):
                self._take(found[1])

    def decide(self, item: RecordedEvent | BranchTurn | BranchTimer) -> None:
        """An event is decided, or a timer fires, after all of them."""
        if self.places:
            self.places.discard(item.owner if isinstance(item, BranchTimer) else item.place)

    @property
    def rows(self) -> int:
        """Of how many rows all events are among them."""
        return len(self.places)

    def _take(self, was: RecordedEvent) -> None:
        self.places.add(was.place)
        row = self._reached.reach(was.place, was.order)
        pending = self._were.fold(row, was)
        row.row, row.token = row.base
        if pending:
            row.timers += self._timers(was, pending)

    def _timers(self, cause: RecordedEvent, pending: EmissionsByReference) -> Iterator[BranchTimer]:
        """Those that nobody knows here are of another application."""
        for reference, (value, time) in pending.items():
            data = data_of(self._handlers.codec, value)
            if data is None:
                continue
            name, key, it = data.event_type, data.key, cause.event
            numbers = range(self._base.count())
            ordinal = next((each for each in numbers if emitted_id(it.reference, name, key, each) == reference), 0)
            own = (namespace_of(name), key) == cause.place
            event = Event(data, reference, time, it.id, it.correlation or it.id, self._handlers.spaces[cause.namespace].source)
            turn = BranchTurn(event, reference, value, TIMER if own else EMITTED, cause.reference, ordinal)
            yield BranchTimer(to_micros(time), cause.place, turn, own, known=True)
