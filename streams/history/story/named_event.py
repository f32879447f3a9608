"""What somebody names in the past: an event by its id or its position, or a row."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Protocol

from streams.app import App
from streams.engine.readable import named
from streams.engine.times import from_micros
from streams.errors import BeforeHistory, NoSuchEvent
from streams.history.past import ErasedEvent
from streams.history.recorded_event import Place, RecordedEvent
from streams.history.stored.stored_past import StoredPast
from streams.history.stored.stored_waiting import StoredWaiting
from streams.history.story.waiting import WaitingEvent

POSITION = re.compile(r"([a-z][a-z0-9_]{0,62})-([0-9]{1,6})([:@])([0-9]{1,18})")
SHOWN = 5
"""Events of one id that are named."""


class ErasedEvents(Protocol):
    """The part of a Past that knows what is gone."""

    def first_erased(self, place: Place) -> ErasedEvent | None: ...


def place_named(app: App, text: str) -> Place | None:
    """Of `user/u1`; None: it names no row, so perhaps an event."""
    name, slash, key = text.partition("/")
    return (name, key) if slash and key and any(space.name == name for space in app.namespaces) else None


def event_named(
    past: StoredPast, waiting: StoredWaiting, app: App, text: str, *, or_row: bool = False
) -> RecordedEvent:
    """By its id, its position in the log (`user-3:7`) or in the inbox (`user-3@1042`). Raises NoSuchEvent, and sqlite3.Error.

    `or_row`: where it is asked for, a row could have been named, too.
    """
    aside: Sequence[WaitingEvent]
    at = POSITION.fullmatch(text)
    if at is not None and any(space.name == at[1] for space in app.namespaces):
        found, aside = _at(past, waiting, at[1], int(at[2]), at[3], int(at[4]))
    else:
        found, aside = past.with_id(text, SHOWN), waiting.set_aside(text)
    if len(found) == 1:
        return found[0]
    if found:
        raise NoSuchEvent(
            f"several events have the id {named(text)!r}: {', '.join(map(_described, found))}. Name one by its position, "
            f"such as {found[0].name}"
        )
    if aside:
        it = aside[0]
        since = from_micros(it.at).astimezone(UTC)
        raise NoSuchEvent(
            f"{it.event_type or 'the event'} {named(it.key)} is {it.kind} since {_second(since)}, so it has no story yet: "
            f"{named(it.reason or 'without a reason')}. `retold parked show {it.where}` says more"
        )
    if at is not None and at[3] == ":" and past.is_left_out(at[1], int(at[2]), int(at[4])):
        raise NoSuchEvent(f"the event {text} is not in this file: it is too old for the setting `history`. Kafka has it")
    if not or_row and place_named(app, text) is not None:
        raise NoSuchEvent(f"{named(text)!r} names a row, and an event was expected: `retold story {named(text)}` shows its events")
    row = "; a row by namespace and key, such as user/u1" if or_row else ""
    kept = "" if past.left_out_until() is None else " that is kept here; older ones are left out by the setting `history`"
    raise NoSuchEvent(
        f"the recorded past of {app.name} has no event {named(text)!r}{_meant(app, text)}{kept}. An event is named by its id, its "
        f"position in the log, such as user-3:7, or in the inbox, such as user-3@1042{row}. `retold tail --last 5` shows positions"
    )


def _meant(app: App, text: str) -> str:
    """` (did you mean user/u1?)`, if what it begins with is nearly the name of a namespace."""
    spaces = [space.name for space in app.namespaces]
    name, sign, rest = text.partition("/")
    if not (sign and rest):
        at = POSITION.fullmatch(text)
        name, sign, rest = (at[1], "-", f"{at[2]}{at[3]}{at[4]}") if at is not None else ("", "", "")
    if not sign or name in spaces:
        return ""
    if any(each.name == name for each in app.projections):
        return f"; {name} is a projection, and no event is about its rows alone: name a row of a namespace"
    near = difflib.get_close_matches(name[:100], spaces, n=1)
    return f" (did you mean {near[0]}{sign}{named(rest)}?)" if near else f"; {app.name} has no namespace {named(name)!r}"


def nothing_happened(past: ErasedEvents, place: Place, waits: Sequence[WaitingEvent] = ()) -> BeforeHistory | NoSuchEvent:
    """The error of a row that the past has no event of; `waits` is what has not been handled yet.

    BeforeHistory if it had events, which are gone: what became of the row is not known, so it is not as if there were none.
    """
    namespace, key = place
    if (gone := past.first_erased(place)) is not None:
        return BeforeHistory(f"the recorded past has no event of {namespace} {named(key)!r} any more: {gone.sentence}")
    if waits:
        return NoSuchEvent(
            f"nothing has been handled for {namespace} {named(key)!r} yet: its {waits[0].event_type} waits ({waits[0].kind}). "
            f"`retold story {namespace}/{named(key)}` tells more"
        )
    return NoSuchEvent(f"the recorded past has no event of {namespace} {named(key)!r}: nothing ever happened to it")


def _at(
    past: StoredPast, waiting: StoredWaiting, namespace: str, partition: int, sign: str, number: int
) -> tuple[Sequence[RecordedEvent], Sequence[WaitingEvent]]:
    if sign == ":":
        found = past.at(namespace, partition, number)
        return ([] if found is None else [found]), ()
    found = past.at_offset(namespace, partition, number)
    return ([] if found is None else [found]), waiting.set_aside_at(namespace, partition, number)


def _described(it: RecordedEvent) -> str:
    source = f" of {named(it.event.source)}" if it.event.source else ""
    return f"{it.name} ({it.event_type} {named(it.key)}{source})"


def _second(time: datetime) -> str:
    return f"{time.replace(tzinfo=None).isoformat(' ', 'seconds')}Z"
