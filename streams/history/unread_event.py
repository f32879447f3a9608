"""Events that are read by the schema that wrote them, since this code has no class for them: to be told, and not decided."""

from __future__ import annotations

from typing import Any, ClassVar

from streams.data import EventData
from streams.errors import HistoryError
from streams.history.recorded_event import RecordedEvent
from streams.projection import Projection


class UnreadData(EventData, frozen=True, kw_only=True):
    """Of an event of a type that has no handler; or of one that has, and whose schema does not read as this code's."""

    __unread__: ClassVar[str] = ""
    """Why it does not; no field of an event has such a name."""


def why_undecided(it: RecordedEvent, application: str) -> str:
    """Why no handler takes an event, behind "the event was accepted, and", with what to do."""
    if isinstance(it.event.data, UnreadData) and it.event.data.__unread__:
        return f"it does not read here: {it.event.data.__unread__}"
    return (
        f"the application {application} has no handler for it: one stays, with its schema, as long as the log has such events, so "
        "bring both back"
    )


def is_folded(projection: Projection[Any], it: RecordedEvent) -> bool:
    """Whether a projection folds events of this type, if they were accepted; one that does not read here is refused by the fold."""
    data = it.event.data
    if isinstance(data, UnreadData):
        return any(each.event_type == data.event_type for each in projection.folds_by)
    return type(data) in projection.folds_by


def refuse_unread(projection: Projection[Any], it: RecordedEvent) -> None:
    """Raises HistoryError for an event that a projection folds and that does not read here."""
    if isinstance(it.event.data, UnreadData):
        why = f"it folds {it.event_type}, and {it.name} does not read here: {it.event.data.__unread__}"
        raise HistoryError(f"the projection {projection.name} cannot be told: {why}")
