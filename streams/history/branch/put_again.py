"""Putting in again what was taken out: by the event's id alone, since people know no source."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from streams.data import namespace_of
from streams.engine.readable import named
from streams.errors import InvalidEvent
from streams.event import reference_of
from streams.history.branch.branch_past import BranchPast
from streams.history.branch.change import Change, InsertedEvent
from streams.history.past import Past, with_parked
from streams.history.recorded_event import ROOT, RecordedEvent


def with_sources(past: Past, change: Change) -> Change:
    """The change, with the source of the event that each one is which was taken out of a branch and is put in again.

    Raises InvalidEvent for an id that an event of the row has already, whoever published it, and if several of one id were taken
    out. What has its place already is as it was planned.
    """
    return replace(change, insert=[_with_source(past, change, it) for it in change.insert])


def _with_source(past: Past, change: Change, it: InsertedEvent) -> InsertedEvent:
    if it.id is None or it.source or reference_of("", it.id) in change.places:
        return it
    place = namespace_of(it.data.event_type), it.data.key
    if there := _of_id(with_parked(past, place), it.id):
        raise has_the_id(it.data.event_type, it.id, there[0])
    sources = sorted({was.event.source for was in _of_id(_recorded(past).key_events(place), it.id)})
    if len(sources) > 1:
        raise InvalidEvent(
            f"{it.data.event_type} was to be put in with the id {named(it.id)}, and events of several sources with this id were "
            f"taken out: {', '.join(map(named, sources))}. Give the source of the one that is meant",
            "source",
        )
    return replace(it, source=sources[0]) if sources else it


def _recorded(past: Past) -> Past:
    """The past that a branch is one of, over others."""
    while isinstance(past, BranchPast):
        past = past.origin
    return past


def has_the_id(event_type: str, event_id: str, there: RecordedEvent) -> InvalidEvent:
    where = f"{there.event_type} {named(there.key)}{f' {there.name}' if there.has_position else ''}"
    return InvalidEvent(
        f"{event_type} was to be put in with the id {named(event_id)}, which {where} of {there.event.time} has already: give it "
        "another id, or replace that one instead",
        "id",
    )


def _of_id(events: Sequence[RecordedEvent], event_id: str) -> Sequence[RecordedEvent]:
    return [it for it in events if it.kind == ROOT and it.event.id == event_id]
