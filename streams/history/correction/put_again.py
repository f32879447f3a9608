"""Putting in again what a correction took out: by the event's id alone, since people know no source."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from streams.data import namespace_of
from streams.engine.readable import named
from streams.errors import InvalidEvent
from streams.history.branch.change import Change, InsertedEvent
from streams.history.past import Past
from streams.history.recorded_event import ROOT, RecordedEvent


def with_sources(before: Past, log: Past, change: Change) -> Change:
    """The change, with the source of the event that each one is which was taken out and is put in again.

    `before` is the history that counts, `log` the past as it was recorded. Raises InvalidEvent for an id that an event of the
    row has already, whoever published it, and if several of one id were taken out.
    """
    return replace(change, insert=[_with_source(before, log, it) for it in change.insert])


def _with_source(before: Past, log: Past, it: InsertedEvent) -> InsertedEvent:
    if it.id is None or it.source:
        return it
    place = namespace_of(it.data.event_type), it.data.key
    if there := _of_id(before.key_events(place), it.id):
        raise has_the_id(it.data.event_type, it.id, there[0])
    sources = sorted({was.event.source for was in _of_id(log.key_events(place), it.id)})
    if len(sources) > 1:
        raise InvalidEvent(
            f"{it.data.event_type} was to be put in with the id {named(it.id)}, and events of several sources with this id were "
            f"taken out: {', '.join(map(named, sources))}. Give the source of the one that is meant",
            "source",
        )
    return replace(it, source=sources[0]) if sources else it


def has_the_id(event_type: str, event_id: str, there: RecordedEvent) -> InvalidEvent:
    where = f"{there.event_type} {named(there.key)}{f' {there.name}' if there.has_position else ''}"
    return InvalidEvent(
        f"{event_type} was to be put in with the id {named(event_id)}, which {where} of {there.event.time} has already: give it "
        "another id, or take that one out or replace it",
        "id",
    )


def _of_id(events: Sequence[RecordedEvent], event_id: str) -> Sequence[RecordedEvent]:
    return [it for it in events if it.kind == ROOT and it.event.id == event_id]
