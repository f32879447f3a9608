"""Calls of gateways that corrections have made wrong: each is taken back by an event, left to a person, or passed over.

What counts is how the history that counts differs from the log by now, since only what is in the log was asked of a gateway.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import msgspec
from msgspec.structs import replace

from streams.data import EventData
from streams.engine.identity import answer_id
from streams.engine.readable import in_a_line, named, shortened
from streams.errors import InvalidChange, StalePlan
from streams.event import Event, derived_id, reference_of
from streams.gateway import Gateway
from streams.history.code.application_handlers import ApplicationHandlers
from streams.history.correction.call_advice import call_advice
from streams.history.correction.corrected_past import CorrectedPast
from streams.history.correction.correction_plan import plain
from streams.history.difference.difference import BEFORE, NOT, WOULD_CALL, CallChange
from streams.history.past import Past
from streams.history.recorded_event import RecordedEvent

ASK, UNDO, SKIP = "ask", "undo", "skip"
"""What to do about such a call: leave it to a person, publish the event that takes it back, or pass it over."""
POLICIES = (ASK, UNDO, SKIP)
OPEN, UNDONE, SKIPPED, CLOSED = "open", "undone", "skipped", "closed"
"""What became of it: a person must see to it, an event took it back, it was passed over, or a person has seen to it."""
LONGEST = 500
"""Characters of why a call is open."""
SOURCE = "retold/correction"
"""Who publishes what takes calls back."""
Calls = Mapping[str, "CorrectionCall"]
"""By the reference of the request."""


class CorrectionCall(msgspec.Struct, frozen=True, omit_defaults=True):
    """A call that should not have been made, is missing, or differs: `kind` says which.

    `undo` is the type of the event that takes back what was asked; `event` the id of the one that was published. `by` and `why`
    say who has decided and for what reason, or why it is open although it was to be undone, or what a person is to do about it.
    `at` in µs since 1970.
    """

    application: str
    correction: str
    reference: str
    kind: str
    type: str
    key: str
    id: str
    state: str
    undo: str | None = None
    event: str = ""
    by: str = ""
    why: str = ""
    at: int = 0


class SettledCalls(NamedTuple):
    """`changed` are to be kept from now on, `over` to be forgotten: they are as they should be."""

    changed: list[CorrectionCall]
    over: list[CorrectionCall]


class UndoEvent(NamedTuple):
    """An event that takes a call back; the id is the same whoever publishes it."""

    data: EventData
    id: str
    source: str


def open_call(calls: Calls, request: str) -> CorrectionCall:
    """The open call of a request, by its id or the beginning of it. Raises StalePlan if there is none, or several."""
    there = [it for it in calls.values() if it.state == OPEN]
    found = [it for it in there if it.id == request] or [it for it in there if request and it.id.startswith(request)]
    if len(found) != 1:
        raise StalePlan(
            f"{len(found)} open calls have a request whose id begins with {named(request)}: `retold correct open` lists them"
        )
    return found[0]


def refuse_unknown_policy(calls: str) -> None:
    """Raises InvalidChange."""
    if calls not in POLICIES:
        raise InvalidChange(f"calls is {shortened(calls, 40)!r}; ask, undo or skip was expected")


def settle_calls(  # noqa: PLR0913 - the corrected past, and what is to be done about its calls
    corrected: CorrectedPast, log: Past, handlers: ApplicationHandlers, known: Calls, *, correction: str, by: str, policy: str,
    now: int, publish: Callable[[UndoEvent], None],
) -> SettledCalls:  # fmt: skip
    """Decide on the calls that are wrong by now, and that nobody has decided on: those of this correction, not of earlier ones.

    Each event is published before it is told of: whoever is stopped in between publishes the same event again, with the same id.
    A call is open again whose event was rejected since: it has taken nothing back.
    """
    kept, known = known, {reference: _unless_rejected(it, log) for reference, it in known.items()}
    wrong = {it.request.reference: it for it in corrected.difference.calls if it.kind != BEFORE}
    undo = {it.data.event_type: it for it in handlers.app.gateways}
    settled = SettledCalls([], [])
    for reference, it in wrong.items():
        was, event_type = known.get(reference), it.request.data.event_type
        if was is not None and was.kind == it.kind and not (was.state == OPEN and was.correction == correction and policy != ASK):
            if was != kept[reference]:
                settled.changed.append(was)
            continue
        gateway = undo.get(event_type)
        undone_by = None if gateway is None or gateway.undo is None or it.kind == WOULD_CALL else gateway.undo.event_type
        call = CorrectionCall(
            handlers.app.name, correction if was is None else was.correction, reference, it.kind, event_type, it.request.key,
            it.request.id, OPEN, undone_by, why=_advice(it, undone_by, log), at=now,
        )  # fmt: skip
        if policy == SKIP:
            call = replace(call, state=SKIPPED, by=by, why="")
        elif policy == UNDO and gateway is not None and it.kind == NOT:
            call = _undone(call, gateway, log, it.request, by, publish)
        if was is None or replace(call, at=was.at) != kept[reference]:
            settled.changed.append(call)
    for reference, was in known.items():
        if reference not in wrong:
            _right_again(was, settled, now)
    return settled


def _advice(it: CallChange, undo: str | None, log: Past) -> str:
    asked = log.find(it.request.reference)
    before = None if asked is None else plain(asked.event.data)
    advice = call_advice(it.kind, it.request.data.event_type, undo, before, plain(it.request.data))
    return shortened(advice, LONGEST)


def _unless_rejected(call: CorrectionCall, log: Past) -> CorrectionCall:
    """A call that an event has taken back, or was to."""
    if call.state != UNDONE or (event := log.find(reference_of(SOURCE, call.event))) is None or event.accepted:
        return call
    return replace(call, state=OPEN, event="", by="", why=_why_rejected(event))


def _why_rejected(event: RecordedEvent) -> str:
    return shortened(f"{event.event_type} {event.event.id} was to take it back, and was rejected: {event.reason}", LONGEST)


def _right_again(was: CorrectionCall, settled: SettledCalls, now: int) -> None:
    """A call that is as it should be by now: if an event has taken it back meanwhile, it is to be made again."""
    if was.state == UNDONE:
        why = f"it was taken back by {was.event}, and is right again: it is to be made once more"
        settled.changed.append(replace(was, kind=WOULD_CALL, state=OPEN, undo=None, by="", why=why, at=now))
    elif not was.event:
        settled.over.append(was)


def _undone(
    call: CorrectionCall, gateway: Gateway[Any], log: Past, request: Event[Any], by: str, publish: Callable[[UndoEvent], None]
) -> CorrectionCall:
    answer = log.find(answer_id(call.reference))
    if answer is None:
        return replace(call, why="its answer is not here yet")
    try:
        data = undo_data(gateway, request, answer.event.data)
    except InvalidChange as error:
        return replace(call, why=str(error))
    if data is None:
        return replace(call, state=SKIPPED, by=by, why="its gateway says that there is nothing to take back")
    event = UndoEvent(data, derived_id("undo", call.correction, call.reference), SOURCE)
    there = log.find(reference_of(event.source, event.id))
    if there is not None and not there.accepted:
        return replace(call, why=_why_rejected(there))
    if there is None:
        publish(event)
    return replace(call, state=UNDONE, event=event.id, by=by)


def undo_data(gateway: Gateway[Any], request: Event[Any], answer: EventData) -> EventData | None:
    """What takes a call back, as its gateway says; None: there is nothing. Raises InvalidChange if it says no such event."""
    if gateway.undo is None or gateway.undone_by is None:
        raise InvalidChange(f"the gateway of {request.data.event_type} does not say what takes it back: it has no `undone_by`")
    try:
        data = gateway.undone_by(request, answer)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise InvalidChange(shortened(f"its `undone_by` raised {in_a_line(error)}", LONGEST)) from error
    if data is not None and type(data) is not gateway.undo:
        raise InvalidChange(f"its `undone_by` gave {type(data).__name__}; {gateway.undo.__name__} was expected")
    return data
