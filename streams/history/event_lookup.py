"""The event that a program names: in a file, in memory, or in what a branch has added."""

from __future__ import annotations

from collections.abc import Callable

from streams.app import App
from streams.engine.readable import named
from streams.errors import NoSuchEvent
from streams.event import reference_of
from streams.history.branch.branch_change import step_is_no_event
from streams.history.past import Past
from streams.history.recorded_event import STEP, RecordedEvent
from streams.history.stored.stored_past import StoredPast
from streams.history.stored.stored_waiting import StoredWaiting
from streams.history.story.named_event import SHOWN, event_named

Find = Callable[[Past, str], RecordedEvent]
"""The event of a past, or of one that was made of it, that a text names. Raises NoSuchEvent."""


def in_file(stored: StoredPast, waiting: StoredWaiting, app: App) -> Find:
    """By its id or its position. What a branch has put in is named by its id, if it has no source, or by its reference.

    A name is that of an event which the past has, also if the recorded past had another one of this id.
    """

    def find(past: Past, text: str) -> RecordedEvent:
        try:
            was = event_named(stored, waiting, app, text)
        except NoSuchEvent:
            there = [it for each in stored.with_id(text, SHOWN) if (it := _of_past(past, each)) is not None]
            if (found := put_in(past, text)) is not None:
                there = [found, *(it for it in there if it.order != found.order)]
            if len(there) == 1:
                return there[0]
            raise
        if (found := _of_past(past, was)) is not None:
            return found
        again = [it for it in past.key_events(was.place) if it.event.id == text]  # it was taken out, and another one put in
        if (found := again[0] if again else put_in(past, text)) is not None:
            return found
        if was.kind == STEP:
            raise step_is_no_event(was, "changed")
        raise NoSuchEvent(
            f"{was.name} ({was.event_type} {named(was.key)}) is not in this past: it is later, or a change has taken it out"
        )

    return find


def _of_past(past: Past, was: RecordedEvent) -> RecordedEvent | None:
    return next((each for each in past.find_all(was.reference) if each.name == was.name), None)


def put_in(past: Past, text: str) -> RecordedEvent | None:
    """What a change has put in, by its id, if it has no source, or by its reference."""
    return past.find(text) or past.find(reference_of("", text))


def in_memory(past: Past, text: str) -> RecordedEvent:
    """By its id, reference or position: all events are looked at."""
    if (found := past.find(text)) is not None:
        return found
    several = [it for it in past.events() if it.event.id == text or (it.has_position and it.name == text)]
    if len(several) == 1:
        return several[0]
    if several:
        positions = ", ".join(it.name for it in several[:5])
        raise NoSuchEvent(f"several events have the id {named(text)!r}: {positions}. Name one by its position")
    raise NoSuchEvent(
        f"this past has no event {named(text)!r}. An event is named by its id, or by its position, such as user-0:7; `events()` "
        "gives all of them"
    )
