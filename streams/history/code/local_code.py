"""The code that made a past, in this process."""

from __future__ import annotations

from collections.abc import Sequence

from streams.data import Record
from streams.engine.records import Entry
from streams.engine.times import to_micros
from streams.errors import CodeChanged
from streams.history.branch.branch_emissions import emissions_of
from streams.history.code.application_handlers import (
    ApplicationHandlers,
    DecidedEvent,
    FoldedEvent,
    now_raises,
    timers_of,
)
from streams.history.code.recorded_code import EmissionsByReference, without_recorded
from streams.history.past import Past
from streams.history.recorded_event import HANDLER, RecordedEvent
from streams.outcome import Emission, Scheduled


class LocalCode:
    """A RecordedCode."""

    def __init__(self, handlers: ApplicationHandlers) -> None:
        self.handlers = handlers
        self._emissions: Sequence[Emission] = ()
        self._timers: EmissionsByReference = {}

    def fold(self, entry: Entry, it: RecordedEvent) -> Entry:
        folded, self._timers = fold_whole(self.handlers, entry, it)
        self._emissions = folded.emissions
        return folded.entry

    def emit_nothing(self) -> None:
        """Of the event that was folded last."""
        self._emissions, self._timers = (), {}

    def leave(self, it: RecordedEvent) -> None:
        pass

    def agrees(self, entry: Entry, it: RecordedEvent, decided: DecidedEvent) -> bool:
        if self.fold(entry, it)[0] != decided.row or self.count() != len(decided.emissions):
            return False
        timers = sorted((value, to_micros(time)) for value, time in self._timers.values())
        return not timers or timers == timers_of(decided, self.handlers.codec)

    def count(self) -> int:
        return len(self._emissions)

    def scheduled(self, it: RecordedEvent) -> EmissionsByReference:
        return {} if self.handlers.leaves(it) else self._timers  # of one that is decided again, as for `in_flight`

    def in_flight(self, past: Past, it: RecordedEvent, row: Record | None) -> EmissionsByReference:
        if self.handlers.leaves(it):  # it is decided again: what it leads to then is no part of what was said
            return {}
        try:
            return without_recorded(past, it, emitted(self.handlers, it, row))
        except CodeChanged:  # of an event that was rejected: its row is known, and what it emitted is not
            return {}


def fold_whole(
    handlers: ApplicationHandlers, entry: Entry, it: RecordedEvent
) -> tuple[FoldedEvent, EmissionsByReference]:
    """A row after an event that was handled, with what the event emits, and the timers among that by reference.

    Raises CodeChanged if the code refuses what was accepted; also if it emits what may not be, for which a worker parks an event.
    """
    folded = handlers.fold_and_emit(entry, it)
    try:
        return folded, _scheduled(handlers, it, folded.emissions)
    except Exception as error:
        if it.accepted:
            raise now_raises(it, error) from error
        return FoldedEvent(folded.entry), {}


def _scheduled(handlers: ApplicationHandlers, it: RecordedEvent, emissions: Sequence[Emission]) -> EmissionsByReference:
    """The timers among what an event emits, by reference: value and time."""
    for emission in emissions:
        if isinstance(emission, Scheduled):
            break
    else:  # nearly always
        return {}
    handler = handlers.handler_of(it.namespace, it.event)
    if handler is None:
        return {}
    found = emissions_of(handlers, handler, it.event, emissions, ())
    return {each.reference: (each.value, each.event.time) for each in found if each.at is not None}


def emitted(handlers: ApplicationHandlers, it: RecordedEvent, row: Record | None) -> EmissionsByReference:
    """All that an event emits on this row, by reference: value and time; nothing if it is decided otherwise now.

    Raises CodeChanged if its handler raises now.
    """
    handler = handlers.handler_of(it.namespace, it.event)
    if handler is None or handler.function is None or not (it.accepted or it.by == HANDLER):
        return {}
    try:
        decided = handlers.decide(it.namespace, handler, row, it.event)
        if (decided.reason is None) != it.accepted:
            return {}
        found = emissions_of(handlers, handler, it.event, decided.emissions, ())
    except Exception as error:
        raise now_raises(it, error) from error
    return {each.reference: (each.value, each.event.time) for each in found}
