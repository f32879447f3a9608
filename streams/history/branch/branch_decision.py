"""What becomes of one event in a branch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from streams.data import EventData, Record
from streams.engine.execution import wrong_version
from streams.engine.records import Codec
from streams.errors import StreamsError
from streams.event import Event
from streams.history.branch.branch_emissions import BranchEmission, emissions_of
from streams.history.branch.branch_queue import BranchTurn
from streams.history.branch.branch_rows import BranchRow
from streams.history.code.application_handlers import ApplicationHandlers
from streams.history.code.recorded_code import EmissionsByReference
from streams.history.difference import difference
from streams.history.recorded_event import (
    ANSWER,
    HANDLER,
    PARKED,
    UNHANDLED,
    VERSION,
    OrderKey,
    Place,
    RecordedEvent,
)


class BranchDecision(NamedTuple):
    """`row` is the row from now on. With a `reason` the event was rejected, by `by`. It `asks` if a gateway is to answer it.

    `new_version`: the row has the event's version from now on.
    """

    row: Record | None
    emissions: Sequence[BranchEmission] = ()
    reason: str | None = None
    by: str | None = None
    asks: bool = False
    new_version: bool = False


class EmittedOtherwise(NamedTuple):
    """What an event had led to and does not now, what it leads to instead, and when each of these is to happen."""

    then: tuple[EventData, ...] = ()
    now: tuple[EventData, ...] = ()
    times_then: tuple[datetime, ...] = ()
    times_now: tuple[datetime, ...] = ()


def decide(
    handlers: ApplicationHandlers,
    row: BranchRow,
    turn: BranchTurn,
    effects: Sequence[RecordedEvent],
    is_of: Callable[[RecordedEvent], bool],
) -> BranchDecision:
    """`effects` are those that the past has of it; for `is_of` see `emissions_of`.

    Raises what the handler raises, and InvalidEvent or UndeclaredEmission for what it may not emit.

    What a person or retold itself has decided stays as it was.
    """
    was, [namespace, _] = turn.was, turn.place
    if was is not None and was.by not in (None, HANDLER, VERSION, PARKED):
        return BranchDecision(row.row, reason=was.reason, by=was.by)
    handler = handlers.handler_of(namespace, turn.event)
    if handler is None:
        why = f"{turn.event.data.event_type} has no handler in the application {handlers.app.name}"
        return BranchDecision(row.row, reason=why, by=UNHANDLED)
    if (reason := wrong_version(turn.expected, row.row, row.token)) is not None:
        return BranchDecision(row.row, reason=reason, by=VERSION)
    if handler.function is None:
        return BranchDecision(row.row, asks=True)
    decided = handlers.decide(namespace, handler, row.row, turn.event)
    emit = decided.emissions
    emissions = emissions_of(handlers, handler, turn.event, emit, effects, is_of) if emit else ()
    if decided.reason is not None:
        return BranchDecision(row.row, emissions, decided.reason, HANDLER)
    return BranchDecision(decided.row, emissions, new_version=True)


def without_record(emissions: Sequence[BranchEmission]) -> EmissionsByReference:
    return {it.reference: (it.value, it.event.time) for it in emissions if it.recorded is None}


def without_emitted(
    in_flight: EmissionsByReference, emissions: Sequence[BranchEmission], pending: EmissionsByReference
) -> EmissionsByReference:
    """Of what had been emitted at once and is not recorded, what is not emitted now."""
    now = {it.reference for it in emissions}
    return {reference: said for reference, said in in_flight.items() if reference not in now and reference not in pending}


def in_another_order(emissions: Sequence[BranchEmission]) -> bool:
    """Whether events of one row were recorded in another order than they are emitted in now."""
    last = dict[Place, OrderKey]()
    for it in emissions:
        if it.at is None and it.recorded is not None and it.recorded.has_position:
            place, order = it.recorded.place, it.recorded.order
            if order < last.get(place, order):
                return True
            last[place] = order
    return False


def as_recorded(order: OrderKey, turn: BranchTurn, reason: str | None, by: str | None) -> RecordedEvent:
    """An event as the branch has it; by PARKED if it is not handled."""
    return RecordedEvent(
        order,
        turn.event,
        turn.reference,
        turn.kind,
        by is None,
        turn.value,
        turn.cause,
        turn.ordinal,
        by,
        reason,
        turn.expected,
    )


def changes(was: RecordedEvent, now: RecordedEvent) -> tuple[str, ...]:
    """What is otherwise. Versions are told by other numbers in a branch, so a reason counts only if a handler gave it."""
    if was.value == now.value and was.outcome == now.outcome and was.by == now.by and was.event.time == now.event.time:
        return ()  # nearly always
    return tuple(
        name
        for name, is_other in (
            (difference.UNHANDLED, now.by == UNHANDLED),
            (difference.PARKED, was.is_parked != now.is_parked),
            (difference.OUTCOME, was.accepted != now.accepted and {was.by, now.by}.isdisjoint((PARKED, UNHANDLED))),
            (difference.DATA, was.value != now.value),
            (difference.TIME, was.event.time != now.event.time),
            (
                difference.REASON,
                not was.accepted and not now.accepted and was.by == HANDLER and was.reason != now.reason,
            ),
        )
        if is_other
    )


def leads_elsewhere(emissions: Sequence[BranchEmission], gone: Sequence[RecordedEvent], new: set[str]) -> bool:
    """Whether an event leads to anything else than it did: `gone` was among it, and `new` are references."""
    if not emissions and not gone:
        return False
    return (
        any(it.recorded is None and it.reference in new for it in emissions)
        or any(not it.same for it in emissions if it.recorded)
        or any(it.kind != ANSWER for it in gone)
    )


def data_of(codec: Codec, value: bytes) -> EventData | None:
    """What the other code has emitted; None: it is of another application, and by a schema that nobody knows here."""
    try:
        return codec.decode(value)
    except StreamsError:
        return None


def emitted_otherwise(
    emissions: Sequence[BranchEmission], effects: Sequence[RecordedEvent], pending: EmissionsByReference, codec: Codec
) -> EmittedOtherwise:
    """What an event had led to and does not now, or not in this way, at this time or in this order; and what it leads to instead.

    `pending` is what it had led to that is not recorded.
    """
    if in_another_order(emissions):
        now = [it for it in emissions if it.recorded is not None and it.at is None]
        then = sorted(now, key=lambda it: OrderKey(0, "", 0, 0) if it.recorded is None else it.recorded.order)
        return _with_times([it.event for it in then], [it.event for it in now])
    same = {it.reference for it in emissions if it.same or pending.get(it.reference) == (it.value, it.event.time)}
    before = [it.event for it in effects if it.kind != ANSWER and it.reference not in same]
    others = [(data_of(codec, value), time) for reference, (value, time) in pending.items() if reference not in same]
    found = _with_times(before, [it.event for it in emissions if it.reference not in same])
    left = [(data, time) for data, time in others if data is not None]
    return EmittedOtherwise(
        (*found.then, *(data for data, _ in left)), found.now, (*found.times_then, *(time for _, time in left)), found.times_now
    )


def _with_times(then: Sequence[Event[Any]], now: Sequence[Event[Any]]) -> EmittedOtherwise:
    data, times = ([tuple(getattr(it, name) for it in events) for events in (then, now)] for name in ("data", "time"))
    return EmittedOtherwise(data[0], data[1], times[0], times[1])
