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
from streams.history.recorded_event import RecordedEvent, read_recorded
from streams.testing.space import Space
from streams.testing.world_waiting import WorldWaiting


def history_of(app: App, spaces: Iterable[Space], so_far: CorrectedLog) -> History:
    """`so_far` has the log and its corrections."""
    handlers = ApplicationHandlers(app, codec_of(app))
    source = HistorySource(in_memory, corrected=so_far if so_far.changes else None)
    return History(so_far.past(handlers), handlers, source, WorldWaiting(handlers.codec, list(spaces)))


def events_of(handlers: ApplicationHandlers, space: Space, known: int = 0) -> Iterator[RecordedEvent]:
    """What the log of a namespace has behind its first `known` records, with the steps of corrections."""
    return (_recorded(handlers, space.name, it) for it in space.log[known:])


def _recorded(handlers: ApplicationHandlers, namespace: str, it: HandledRecord) -> RecordedEvent:
    """As it is read from a log: what a World says of the past is what a file would."""
    _, value, headers = log_record(it)
    return read_recorded(handlers.wire, namespace, 0, value or b"", headers)
