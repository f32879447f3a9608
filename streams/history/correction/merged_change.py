"""Several corrections as one change: the history that counts is the log with all of them, in their order.

So a correction can be corrected: what one has put in, another one takes out, and nothing is left of either.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from msgspec.structs import replace

from streams.data import EventData, namespace_of
from streams.engine.readable import named
from streams.errors import InvalidChange, StalePlan
from streams.event import reference_of
from streams.history.branch.branch_change import events_in_change
from streams.history.branch.change import Change, InsertedEvent
from streams.history.past import Past
from streams.history.recorded_event import ROOT, OrderKey, Place


def merged(log: Past, changes: Sequence[Change]) -> Change:
    """`log` is the past as it was recorded; the changes name all events that they put in, and say where each stands.

    An event that was put in, and is published by its id later, stands where it was handled then: it is one event.

    Raises InvalidChange if one puts in again what another one took out, at another time, or by an id that another row's has.
    """
    put_in: dict[str, InsertedEvent] = {}
    removed: set[str] = set()
    replaced: dict[str, EventData] = {}
    places: dict[str, OrderKey] = {}
    gone: set[str] = set()
    decided_again = frozenset(name for change in changes for name in change.again)
    assumed = assumed_of(changes)
    for change in changes:
        for name in change.remove:
            it = put_in.pop(name, None)
            if it is not None:
                gone.add(name)
            if it is None or _is_published(log, name, it):
                exact = _exact(log, name)
                replaced.pop(exact, None)
                removed.add(exact)
        for name, data in change.replace.items():
            if (it := put_in.get(name)) is not None and not _is_published(log, name, it):
                put_in[name] = replace(it, data=data)
            else:
                replaced[_exact(log, name)] = data
        for it in change.insert:
            reference = _reference(it)
            _refuse_another_row(it, put_in.get(reference))
            if (again := _taken_out(log, removed, reference, it)) is None:
                put_in[reference] = it
                places[reference] = change.places[reference]
                gone.discard(reference)
            else:
                removed.discard(again)
                _put_again(log, again, it, replaced)
    put_in = {name: it for name, it in put_in.items() if not _is_published(log, name, it)}
    return Change(
        [*put_in.values()], frozenset(removed), replaced, {name: places[name] for name in put_in}, None, ends_of(changes),
        frozenset(gone), decided_again, assumed,
    )  # fmt: skip


def refuse_stale(log: Past, earlier: Sequence[Change], change: Change) -> None:
    """Raises StalePlan for an event to be put in whose id or place in the order another one has, which came since it was planned.

    By its id it would take the other one's place in silence, or none at all. Which of two at one place comes first is not known.
    So is a plan to take out or to replace what a correction has taken out since. `earlier` are the corrections before; this one
    is not begun.
    """
    so_far, taken = merged(log, earlier), {order: it for it, order in places_of(earlier).items()}
    for name in (*change.remove, *change.replace):
        if name in so_far.gone or _exact(log, name) in so_far.remove:
            was, how = events_in_change(log, name), "taken out" if name in change.remove else "replaced"
            what = f"{was[0].event_type} {was[0].name}" if was else "an event that was put in"
            raise StalePlan(f"{what} was to be {how}, and a correction has taken it out since this was planned. Make another plan")
    put_in = {_reference(it) for it in so_far.insert}
    for it in change.insert:
        reference = _reference(it)
        counts = [was for was in log.find_all(reference) if not so_far.remove & {was.reference, was.exact_name}]
        if reference in put_in or any(was.kind == ROOT and was.place == _place(it) for was in counts):
            raise StalePlan(
                f"{it.data.event_type} {named(it.data.key)} was to be put in with the id {named(it.id or '')}, and an event of "
                "this row that was put in or published since has it. Make another plan: replace that one, or take another id"
            )
        there = taken.get(change.places[reference])
        if there is not None and there != (reference, _place(it), it.time):
            raise StalePlan(
                f"{it.data.event_type} {named(it.data.key)} was to be put in where a correction has put in an event of "
                f"{named(there[1][1])} since this was planned, so which of both comes first is not known. Make another plan"
            )


def added_to(past: Past, earlier: Sequence[Change], change: Change) -> Change:
    """What a change adds to those before it, which have made `past` of the log.

    What it has decided again may not be in that past, since one of them took it out.
    """
    again = frozenset(name for name in change.again if events_in_change(past, name))
    return replace(change, ends=ends_of(earlier), again=again, assumed=assumed_of([*earlier, change]))


def ends_of(changes: Sequence[Change]) -> Sequence[OrderKey]:
    """Where the past ended each time that it was corrected."""
    return [change.end for change in changes if change.end is not None]


def assumed_of(changes: Sequence[Change]) -> Mapping[str, EventData]:
    """Requests that keep the answers to other data; the last one counts that says so of a request."""
    return {name: data for change in changes for name, data in change.assumed.items()}


def places_of(changes: Sequence[Change]) -> dict[tuple[str, Place, datetime], OrderKey]:
    """Where events stand, or stood, that corrections have put in: by reference, row and time."""
    return {
        (reference, _place(it), it.time): change.places[reference]
        for change in changes
        for it in change.insert
        if (reference := _reference(it)) in change.places
    }


def _exact(log: Past, name: str) -> str:
    """One name for an event, whose reference alone named it before it was published."""
    found = events_in_change(log, name)
    return found[0].exact_name if len(found) == 1 else name


def _reference(it: InsertedEvent) -> str:
    """Of one that has its id."""
    return reference_of(it.source, it.id or "")


def _place(it: InsertedEvent) -> Place:
    return namespace_of(it.data.event_type), it.data.key


def _is_published(log: Past, reference: str, it: InsertedEvent) -> bool:
    """Whether the log has an event that was put in, since it was published later."""
    return any(was.kind == ROOT and was.place == _place(it) for was in log.find_all(reference))


def _refuse_another_row(it: InsertedEvent, there: InsertedEvent | None) -> None:
    if there is not None and _place(there) != _place(it):
        raise InvalidChange(
            f"{it.data.event_type} {named(it.data.key)} was to be put in with the id {named(it.id or '')}, which "
            f"{there.data.event_type} {named(there.data.key)} has, that a correction put in: give it another one"
        )


def _taken_out(log: Past, removed: Iterable[str], reference: str, it: InsertedEvent) -> str | None:
    """The name of an event of the log that was taken out, and is put in again."""
    place = _place(it)
    found = (name for name in removed if name.partition("@")[0] == reference)
    return next((name for name in found if any(was.place == place for was in events_in_change(log, name))), None)


def _put_again(log: Past, name: str, it: InsertedEvent, replaced: dict[str, EventData]) -> None:
    was = events_in_change(log, name)[0]
    if (was.event_type, was.event.time) != (it.data.event_type, it.time):
        raise InvalidChange(
            f"{it.data.event_type} {named(it.data.key)} was to be put in with the id {named(was.event.id)} at {it.time}, and "
            f"{was.name}, which a correction took out, is {was.event_type} of {was.event.time} and has this id: give it another one"
        )
    if was.event.data != it.data:
        replaced[name] = it.data
