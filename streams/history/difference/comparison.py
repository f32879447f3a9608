"""How two pasts differ, however they came about."""

from __future__ import annotations

from collections import defaultdict, deque

from streams.data import Record
from streams.errors import BeforeHistory, CodeChanged
from streams.history.branch.branch_decision import changes
from streams.history.code.application_handlers import ApplicationHandlers
from streams.history.code.recorded_row import RecordedRow
from streams.history.difference.difference import ChangedEvent, Difference, RowChange, UntoldRow
from streams.history.past import Past
from streams.history.past_tables import PastTables
from streams.history.recorded_event import Place, RecordedEvent


def compare(past: Past, handlers: ApplicationHandlers, other: Past, other_handlers: ApplicationHandlers) -> Difference:
    """How `other` differs from `past`: events and rows. What is open, calls and origins only a branch knows itself.

    All events of `past` are held in memory. A row that one of both cannot tell is untold, with why, and the others are compared.
    """
    then, found = defaultdict[tuple[str, Place], deque[RecordedEvent]](deque), Difference()
    for it in past.events():
        then[it.reference, it.place].append(it)
        found.total += 1
    for now in other.events():
        same = then.get((now.reference, now.place))
        was = same.popleft() if same else None
        if was is None:
            found.surplus.append(now)
        elif what := changes(was, now):
            found.changed.append(ChangedEvent(was, now, what))
        else:
            found.unchanged += 1
    found.missing += sorted((it for left in then.values() for it in left), key=lambda it: it.order)
    found.put_outcomes_first()
    places = _touched(found) if handlers is other_handlers else _all(past, other)
    found.keys = len(places)
    before, after = PastTables(past, handlers), PastTables(other, other_handlers)
    for place in sorted(places):
        try:
            change = RowChange(place, _row(before, place), _row(after, place))
        except (BeforeHistory, CodeChanged) as error:
            found.untold.append(_untold(place, error, (past, handlers), (other, other_handlers)))
            continue
        if change.before != change.after:
            found.rows.append(change)
    return found


def _untold(
    place: Place, error: BeforeHistory | CodeChanged, *sides: tuple[Past, ApplicationHandlers]
) -> UntoldRow:
    why = error.why if isinstance(error, CodeChanged) else str(error)
    refused = (refused_event(past, handlers, place) for past, handlers in sides) if isinstance(error, CodeChanged) else ()
    return UntoldRow(place, next((it for it in refused if it is not None), None), why)


def refused_event(past: Past, handlers: ApplicationHandlers, place: Place) -> RecordedEvent | None:
    """The event of a row since which it is not known, as the code refuses that though it was accepted; None: there is none."""
    row = RecordedRow(handlers.fold)
    for it in past.key_events(place):
        row.take(it)
    return row.refused


def _touched(found: Difference) -> set[Place]:
    """With the same code only the rows of these events can be otherwise."""
    return {it.place for it in (*found.missing, *found.surplus, *(each.now for each in found.changed))}


def _all(*pasts: Past) -> set[Place]:
    return {it.place for past in pasts for it in past.events()}


def _row(tables: PastTables, place: Place) -> Record | None:
    namespace, key = place
    known = any(space.name == namespace for space in tables.app.namespaces)
    return tables.table(namespace).entry(key)[0] if known else None
