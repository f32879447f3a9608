"""Rows that a correction has set as code of another generation makes them: what the code here makes of them, to be told.

Such a step has the row of that code. What it stands for is the past with the corrections that there were by then.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property

from streams.engine.records import Entry
from streams.errors import CodeChanged, HistoryError
from streams.history.code.application_handlers import ApplicationHandlers
from streams.history.correction.corrected_log import CorrectedLog
from streams.history.correction.merged_change import ends_of
from streams.history.past import Past
from streams.history.recorded_event import RecordedEvent


class StepsOfOthers:
    """Of a log with its corrections. What the corrections up to one make of it is kept until the next one is asked for."""

    def __init__(self, corrected: Callable[[], CorrectedLog], handlers: ApplicationHandlers) -> None:
        """`corrected` is asked once there is such a step."""
        self._corrected, self._handlers = corrected, handlers
        self._last: tuple[int, Past] | None = None

    @cached_property
    def _so_far(self) -> CorrectedLog:
        return self._corrected()

    def row(self, step: RecordedEvent) -> Entry:
        """The row behind a step, and its version. Raises CodeChanged if it cannot be told."""
        number = self._number(step)
        try:
            row, _ = self._handlers.fold_all([*self._before(step, number)])
        except CodeChanged:
            raise
        except HistoryError as error:
            raise CodeChanged(f"what the corrections up to {step.name} make of {step.namespace} cannot be told: {error}") from error
        return row, step.version

    def _number(self, step: RecordedEvent) -> int:
        """How many corrections there were by then."""
        names = [it.correction for it in self._so_far.corrections]
        if (name := step.event.data.correction) not in names:
            raise CodeChanged(f"{step.name} is a step of the correction {name}, which is not known here")
        return names.index(name) + 1

    def _before(self, step: RecordedEvent, number: int) -> Iterator[RecordedEvent]:
        """Also what stands where the past had ended when it was corrected: clocks of partitions differ, and the step came later."""
        ends = [end.recorded for end in ends_of(self._so_far.changes[:number])]
        for it in self._past(number).key_events(step.place):
            if it.order < step.order or (not it.has_position and it.order.recorded <= max(ends, default=0)):
                yield it

    def _past(self, number: int) -> Past:
        if self._last is None or self._last[0] != number:
            self._last = None  # two of them need not be in memory
            self._last = number, self._so_far.first(number).past(self._handlers)
        return self._last[1]


def telling_all(corrected: Callable[[], CorrectedLog], handlers: ApplicationHandlers) -> ApplicationHandlers:
    """Handlers that also tell rows which corrections have set as code of another generation makes them."""
    return handlers.telling(StepsOfOthers(corrected, handlers).row)
