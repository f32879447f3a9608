"""A change, brought to its places in the order of a past."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from itertools import accumulate
from typing import Any, NamedTuple

from msgspec.structs import replace

from streams.data import namespace_of
from streams.engine.attributes import id_header, source_header
from streams.engine.identity import content_id
from streams.engine.readable import named
from streams.engine.times import checked_time, to_micros
from streams.engine.wire_format import too_large
from streams.errors import DefinitionError, InvalidChange, InvalidEvent, NoSuchEvent
from streams.event import Event
from streams.history.branch.branch_queue import BranchQueue, BranchTurn
from streams.history.branch.change import Change, InsertedEvent
from streams.history.branch.put_again import has_the_id, with_sources
from streams.history.code.application_handlers import ApplicationHandlers
from streams.history.past import Past, cause_of, with_parked
from streams.history.recorded_event import ROOT, STEP, OrderKey, Place, RecordedEvent


class PlacedChange(NamedTuple):
    """The places of what is taken out, the event and its bytes by the place of the one that is replaced, and what is put in."""

    removed: frozenset[OrderKey]
    replaced: dict[OrderKey, tuple[Event[Any], bytes]]
    inserted: Sequence[tuple[BranchTurn, OrderKey]] = ()


def place_change(past: Past, handlers: ApplicationHandlers, change: Change, queue: BranchQueue) -> PlacedChange:
    """Put the beginnings of a branch into `queue`. Raises HistoryError, InvalidEvent or DefinitionError, as `what_if` says."""
    removed, replaced = set[OrderKey](), dict[OrderKey, tuple[Event[Any], bytes]]()
    for name in sorted(change.remove):
        was = _root(past, name, "taken out")
        removed.add(was.order)
        queue.push(was.order, was)
    for effect in (it for name in sorted(change.gone) for it in past.effects(name) if it.kind != STEP):
        removed.add(effect.order)
        queue.push(effect.order, effect)
    for name in sorted(change.again):
        was = _event(past, name, "decided again")
        if was.kind == STEP:
            raise step_is_no_event(was, "decided again")
        queue.push(was.order, was)
    for name, data in change.replace.items():
        was = _root(past, name, "replaced")
        if was.order in removed:
            raise InvalidChange(f"{was.event_type} {was.name} was to be taken out and to be replaced: it can be only one of them")
        if (was.event_type, was.key) != (data.event_type, data.key):
            raise InvalidChange(
                f"{was.event_type} {was.key!r} was to be replaced by {data.event_type} {data.key!r}: an event is replaced by one "
                "of its type and key. Take it out, and put the other one in"
            )
        replaced[was.order] = replace(was.event, data=data), handlers.codec.encode(data)
        queue.push(was.order, was)
    put_in, equal, keys = set[tuple[str, Place]](), Counter[tuple[str, bytes, datetime]](), _Keys(past)
    inserted = list[tuple[BranchTurn, OrderKey]]()
    queue.keep_places(change.places.values(), change.ends if change.end is None else (*change.ends, change.end))
    for it in with_sources(past, change).insert:
        turn = _inserted(past, handlers, it, equal)
        if (turn.reference, turn.place) in put_in:
            raise InvalidEvent(
                f"two events were to be put in with the id {named(turn.event.id)}: the second one would be a duplicate", "id"
            )
        put_in.add((turn.reference, turn.place))
        order = change.places.get(turn.reference) or _order_of(past, queue, it, turn, keys)
        queue.push(order, turn)
        inserted.append((turn, order))
    return PlacedChange(frozenset(removed), replaced, inserted)


def events_in_change(past: Past, name: str) -> Sequence[RecordedEvent]:
    """The events that a change names: one, unless several have that reference."""
    found = past.find_all(name)
    if found or "@" not in name:
        return found
    reference, _, position = name.rpartition("@")
    return [it for it in past.find_all(reference) if it.name == position]


def _event(past: Past, name: str, how: str) -> RecordedEvent:
    found = events_in_change(past, name)
    if not found:
        raise NoSuchEvent(f"there is no event {name} in this past, which was to be {how}")
    if len(found) > 1:
        raise NoSuchEvent(
            f"{len(found)} events have the id {named(found[0].event.id)}, one of which was to be {how}: "
            f"{', '.join(it.name for it in found[:5])}. Name one with its position, such as {found[0].exact_name}"
        )
    return found[0]


def _root(past: Past, name: str, how: str) -> RecordedEvent:
    root = was = _event(past, name, how)
    while (cause := cause_of(past, root)) is not None:
        root = cause
    if was.kind == STEP:
        raise step_is_no_event(was, how)
    if was.kind != ROOT:
        raise InvalidChange(
            f"{was.event_type} {was.name} cannot be {how}: it follows from {root.event_type} {root.name} (id {root.event.id}). "
            "Only what was published can be changed: change that, or the code of a handler between"
        )
    return was


def step_is_no_event(step: RecordedEvent, how: str) -> InvalidChange:
    """The error of a change that names a correction's step."""
    return InvalidChange(
        f"{step.name} cannot be {how}: it is a step of the correction {step.event.data.correction}. Correct what that correction "
        "changed: put in again what it took out, or take out or replace what it put in"
    )


class _Keys:
    """The events of keys that something is put in for: each is read once, however many are put in for it."""

    def __init__(self, past: Past) -> None:
        self._past = past
        self._found: dict[Place, tuple[Sequence[RecordedEvent], list[int]]] = {}

    def events(self, place: Place) -> Sequence[RecordedEvent]:
        return self._of(place)[0]

    def first_later(self, place: Place, time: int) -> RecordedEvent | None:
        """The first event, in the total order, that happened later than `time` (µs)."""
        events, latest = self._of(place)
        at = bisect_right(latest, time)
        return events[at] if at < len(events) else None

    def _of(self, place: Place) -> tuple[Sequence[RecordedEvent], list[int]]:
        """With the latest time up to each."""
        if place not in self._found:
            events = with_parked(self._past, place)
            self._found[place] = events, list(accumulate((to_micros(it.event.time) for it in events), max))
        return self._found[place]


def _inserted(
    past: Past, handlers: ApplicationHandlers, it: InsertedEvent, equal: Counter[tuple[str, bytes, datetime]]
) -> BranchTurn:
    """`equal` counts those before it: equal ones are separate events, as rows of a file are."""
    data, time = it.data, checked_time(f"the time of {it.data.event_type} is", it.time)
    if namespace_of(data.event_type) not in handlers.spaces:
        raise DefinitionError(f"{data.event_type} belongs to no namespace of the application {handlers.app.name}")
    value = handlers.codec.encode(data)
    if len(value) > handlers.wire.limits.event_bytes:
        raise too_large(data.event_type, value, handlers.wire.limits)
    if it.id is not None:
        id_header(it.id)
    if it.source:
        source_header(it.source)
    equal[data.event_type, value, time] += 1
    number = equal[data.event_type, value, time]
    event_id = it.id or content_id(data.event_type, value, to_micros(time), number)
    event = Event(data, event_id, time, None, event_id, it.source)
    turn = BranchTurn(event, event.reference, value, ROOT)
    if (known := next((it for it in past.find_all(event.reference) if it.place == turn.place), None)) is not None and (
        _former(past, turn) is None
    ):
        raise has_the_id(data.event_type, event_id, known)
    return turn


def _former(past: Past, turn: BranchTurn) -> OrderKey | None:
    """The place that an event had, of its id and key, which was taken out."""
    there = {it.order for it in past.find_all(turn.reference)}
    found = (it.order for it in past.former(turn.reference) if it.place == turn.place and it.order not in there)
    return next(found, None)


def _order_of(past: Past, queue: BranchQueue, it: InsertedEvent, turn: BranchTurn, keys: _Keys) -> OrderKey:
    """Its place of old; behind what it is to follow; or by its time: before its key's first later event.

    If there is none, before the first later root behind all of its key's events, else at the end.
    """
    if (former := _former(past, turn)) is not None:
        return former
    if it.after is not None:
        return queue.behind(_event(past, it.after, "followed by another one").order)
    if (later := keys.first_later(turn.place, turn.time)) is not None:
        return queue.just_before(later.order)
    events = keys.events(turn.place)
    root = past.first_root_after(turn.time, events[-1].order if events else None)
    return queue.at_end() if root is None else queue.just_before(root.order)
