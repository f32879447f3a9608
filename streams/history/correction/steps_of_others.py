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
from streams.history.recorded_event import OrderKey, RecordedEvent


class StepsOfOthers:
    """Of a log with its corrections. What a correction makes of the log is decided once, for all of its steps."""

    def __init__(self, corrected: Callable[[], CorrectedLog], handlers: ApplicationHandlers) -> None:
        """`corrected` is asked once there is such a step."""
        self._corrected, self._handlers = corrected, handlers
        self._told: dict[OrderKey, Entry | CodeChanged] = {}

    @cached_property
    def _so_far(self) -> CorrectedLog:
        return self._corrected()

    def row(self, step: RecordedEvent) -> Entry:
        """The row behind a step, and its version. Raises CodeChanged if it cannot be told."""
        if step.order not in self._told:
            self._tell(step, self._number(step))
        found = self._told[step.order]
        if isinstance(found, CodeChanged):
            raise CodeChanged(found.why)
        return found

    def _number(self, step: RecordedEvent) -> int:
        """How many corrections there were by then."""
        names = [it.correction for it in self._so_far.corrections]
        if (name := step.event.data.correction) not in names:
            raise CodeChanged(f"{step.name} is a step of the correction {name}, which is not known here")
        return names.index(name) + 1

    def _tell(self, step: RecordedEvent, number: int) -> None:
        """All steps of a correction, so that its past need not be made again, nor stay in memory beside another one's."""
        name = step.event.data.correction
        others = (it for it in self._so_far.log.steps() if it.event.data.correction == name)
        steps = [step, *filter(self._handlers.is_of_another_generation, others)]
        try:
            past = self._so_far.first(number).past(self._handlers)
        except HistoryError as error:
            self._told |= {it.order: _refusal(it, error) for it in steps}
        else:
            self._told |= {it.order: self._row(past, it, number) for it in steps}

    def _row(self, past: Past, step: RecordedEvent, number: int) -> Entry | CodeChanged:
        try:
            return self._handlers.fold_all([*self._before(past, step, number)])[0], step.version
        except HistoryError as error:
            return _refusal(step, error)

    def _before(self, past: Past, step: RecordedEvent, number: int) -> Iterator[RecordedEvent]:
        """Also what stands where the past had ended when it was corrected: clocks of partitions differ, and the step came later."""
        ends = [end.recorded for end in ends_of(self._so_far.changes[:number])]
        for it in past.key_events(step.place):
            if it.order < step.order or (not it.has_position and it.order.recorded <= max(ends, default=0)):
                yield it


def _refusal(step: RecordedEvent, error: HistoryError) -> CodeChanged:
    if isinstance(error, CodeChanged):
        return error
    return CodeChanged(f"what the corrections up to {step.name} make of {step.namespace} cannot be told: {error}")


def telling_all(corrected: Callable[[], CorrectedLog], handlers: ApplicationHandlers) -> ApplicationHandlers:
    """Handlers that also tell rows which corrections have set as code of another generation makes them."""
    return handlers.telling(StepsOfOthers(corrected, handlers).row)
