"""What a World has handled, as a recorded past."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from streams.app import App
from streams.codec import codec_of
from streams.engine.changes import HandledRecord
from streams.engine.stored import log_record
from streams.history.code.application_handlers import ApplicationHandlers
from streams.history.correction.corrected_log import CorrectedLog
from streams.history.event_lookup import in_memory
from streams.history.history import History
from streams.history.history_contents import HistorySource
from streams.history.past import MemoryPast
from streams.history.recorded_event import RecordedEvent, read_recorded
from streams.testing.space import Space
from streams.testing.world_waiting import WorldWaiting


def history_of(app: App, spaces: Iterable[Space], so_far: CorrectedLog | None = None) -> History:
    """`so_far` has the corrections, if there were any."""
    handlers = ApplicationHandlers(app, codec_of(app))
    there = list(spaces)
    past = recorded_past(handlers, there) if so_far is None else so_far.past(handlers)
    source = HistorySource(in_memory, corrected=so_far)
    return History(past, handlers, source, WorldWaiting(handlers.codec, there))


def recorded_past(handlers: ApplicationHandlers, spaces: Iterable[Space]) -> MemoryPast:
    """The logs of a World, with the steps of corrections."""
    return MemoryPast(it for space in spaces for it in events_of(handlers, space))


def events_of(handlers: ApplicationHandlers, space: Space, known: int = 0) -> Iterator[RecordedEvent]:
    """What the log of a namespace has behind its first `known` records."""
    return (_recorded(handlers, space.name, it) for it in space.log[known:])


def _recorded(handlers: ApplicationHandlers, namespace: str, it: HandledRecord) -> RecordedEvent:
    """As it is read from a log: what a World says of the past is what a file would."""
    _, value, headers = log_record(it)
    return read_recorded(handlers.wire, namespace, 0, value or b"", headers)
