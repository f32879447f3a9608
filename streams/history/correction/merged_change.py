"""Several corrections as one change: the history that counts is the log with all of them, in their order.

So a correction can be corrected: what one has put in, another one takes out, and nothing is left of either.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec.structs import replace

from streams.data import EventData, namespace_of
from streams.engine.readable import named
from streams.errors import InvalidChange
from streams.event import reference_of
from streams.history.branch.branch_change import events_in_change
from streams.history.branch.change import Change, InsertedEvent
from streams.history.past import Past
from streams.history.recorded_event import OrderKey


def merged(log: Past, changes: Sequence[Change]) -> Change:
    """`log` is the past as it was recorded; the changes name all events that they put in, and say where each stands.

    Raises InvalidChange if one puts in again what another one took out, at another time.
    """
    put_in: dict[str, InsertedEvent] = {}
    removed: set[str] = set()
    replaced: dict[str, EventData] = {}
    places: dict[str, OrderKey] = {}
    for change in changes:
        for name in change.remove:
            if put_in.pop(name, None) is None:
                replaced.pop(name, None)
                removed.add(name)
        for name, data in change.replace.items():
            if name in put_in:
                put_in[name] = replace(put_in[name], data=data)
            else:
                replaced[name] = data
        for it in change.insert:
            reference = reference_of(it.source, it.id or "")
            if (again := _taken_out(log, removed, reference, it)) is None:
                put_in[reference] = it
                places[reference] = change.places[reference]
            else:
                removed.discard(again)
                _put_again(log, again, it, replaced)
    end = max((change.end for change in changes if change.end is not None), default=None)
    return Change([*put_in.values()], frozenset(removed), replaced, {name: places[name] for name in put_in}, end)


def _taken_out(log: Past, removed: Iterable[str], reference: str, it: InsertedEvent) -> str | None:
    """The name of an event of the log that was taken out, and is put in again."""
    place = namespace_of(it.data.event_type), it.data.key
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
