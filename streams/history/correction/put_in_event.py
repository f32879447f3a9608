"""An event that is in no log, since a correction has put it in, or one that has followed from such a one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from streams.history.code.application_handlers import ApplicationHandlers
from streams.history.correction.corrected_log import CorrectedLog
from streams.history.event_lookup import put_in
from streams.history.past import Past
from streams.history.recorded_event import RecordedEvent


class PutInEvent(NamedTuple):
    """The event, and the last past that has it: the one that counts, or that before a correction took it out."""

    past: Past
    event: RecordedEvent


def put_in_event(so_far: CorrectedLog, counts: Past, handlers: ApplicationHandlers, text: str) -> PutInEvent | None:
    """The event that a text names by its id, or by its reference; `counts` is the history that counts.

    None: no correction has put one in. Raises HistoryError if it cannot be told what those before one made of the log.
    """
    if (found := put_in(counts, text)) is not None:
        return PutInEvent(counts, found)
    for count in _before_taken_out(so_far):
        past = so_far.first(count).past(handlers)
        if (found := put_in(past, text)) is not None:
            return PutInEvent(past, found)
    return None


def _before_taken_out(so_far: CorrectedLog) -> Iterator[int]:
    """How many corrections there were before one that took out, or replaced, what one of these had put in; the last one first."""
    put, found = set[str](), list[int]()
    for count, change in enumerate(so_far.changes):
        if not put.isdisjoint(change.remove) or not put.isdisjoint(change.replace):
            found.append(count)
        put |= change.places.keys()
    return reversed(found)
