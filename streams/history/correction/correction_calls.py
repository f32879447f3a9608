"""Calls of gateways that corrections have made wrong: each is taken back by an event, left to a person, or passed over.

What counts is how the history that counts differs from the log by now, since only what is in the log was asked of a gateway.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from hashlib import blake2b
from typing import Any, NamedTuple

import msgspec
from msgspec.structs import replace

from streams.data import EventData, namespace_of
from streams.engine.identity import answer_id
from streams.engine.readable import in_a_line, named, shortened
from streams.errors import InvalidChange, StalePlan
from streams.event import Event, derived_id, reference_of
from streams.gateway import Gateway
from streams.history.code.application_handlers import ApplicationHandlers
from streams.history.correction.call_advice import advice_behind, advice_right_again, call_advice
from streams.history.correction.corrected_past import CorrectedPast
from streams.history.correction.correction_plan import plain
from streams.history.difference.difference import BEFORE, NOT, WOULD_CALL, CallChange
from streams.history.past import Past
from streams.history.recorded_event import ROOT, RecordedEvent

ASK, UNDO, SKIP = "ask", "undo", "skip"
"""What to do about such a call: leave it to a person, publish the event that takes it back, or pass it over."""
POLICIES = (ASK, UNDO, SKIP)
OPEN, UNDONE, SKIPPED, CLOSED = "open", "undone", "skipped", "closed"
"""What became of it: a person must see to it, an event took it back, it was passed over, or a person has seen to it."""
LONGEST = 500
"""Characters of why a call is open."""
SHORT = 150
"""Characters of what somebody has said, in a sentence."""
AS_ASKED = "as asked"
"""What is right of a call that was taken back, and is as it was asked first."""
SOURCE = "retold/correction"
"""Who publishes what takes calls back."""
Calls = Mapping[str, "CorrectionCall"]
"""By the reference of the request."""


class CorrectionCall(msgspec.Struct, frozen=True, omit_defaults=True):
    """A call that should not have been made, is missing, or differs: `kind` says which.

    `undo` is the type of the event that takes back what was asked; `event` the id of the one that was published. `by` and `why`
    say who has decided and for what reason, or why it is open although it was to be undone, or what a person is to do about it.
    `at` in µs since 1970. `wanted` tells apart requests that are right in place of what was asked. `deed` is the same call when
    something was done about it last, by an event or a person: a later correction may have it wrong in another way, or right again.
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
    wanted: str = ""
    deed: CorrectionCall | None = None

    @property
    def told(self) -> CorrectionCall:
        """Without what only the next correction needs to know."""
        return replace(self, wanted="", deed=None)


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
    A call is open again whose event was rejected since: it has taken nothing back. What was done about a call is done: if it is
    wrong in another way by now, or right again, a person looks at both; if it is wrong as it was then, nothing is left to do.
    """
    decision = _Decision(handlers, log, correction, by, policy, now, publish)
    wrong = {it.request.reference: it for it in corrected.difference.calls if it.kind != BEFORE}
    settled = SettledCalls([], [])
    for reference in {**wrong, **known}:
        kept, it = known.get(reference), wrong.get(reference)
        was = None if kept is None else _unless_rejected(kept, log)
        call = decision.of(it, was) if it is not None else decision.right_again(was)
        if kept is not None and call is None:
            settled.over.append(kept)
        elif call is not None and (kept is None or replace(call, at=kept.at) != kept):
            settled.changed.append(call)
    return settled


class _Decision(NamedTuple):
    """What becomes of calls when a correction is applied: by whom, and what is to be done about those that nobody has seen to."""

    handlers: ApplicationHandlers
    log: Past
    correction: str
    by: str
    policy: str
    now: int
    publish: Callable[[UndoEvent], None]

    def of(self, it: CallChange, was: CorrectionCall | None) -> CorrectionCall:
        """Of a call that is wrong by now; None: it was not before."""
        call = self._open(it)
        if was is not None and _is_alike(was, call):
            call = replace(call, correction=was.correction)
            if was.state != OPEN or was.correction != self.correction or self.policy == ASK:
                return was
        deed = None if was is None else _deed(was)
        if deed is not None:
            call = _behind(deed, call, plain(it.request.data))
        if call.state == OPEN and self.policy == SKIP:
            return replace(call, state=SKIPPED, by=self.by, why="")
        gateway = self._gateway(call.type)
        if gateway is not None and deed is None and self.policy == UNDO and it.kind == NOT:
            return _undone(call, gateway, self.log, it.request, self.by, self.publish)
        return call

    def _open(self, it: CallChange) -> CorrectionCall:
        """Of a call that nobody has seen to."""
        request, right = it.request, "" if it.kind == NOT else _digest(self.handlers.codec.encode(it.request.data))
        event_type = request.data.event_type
        gateway = self._gateway(event_type)
        undo = None if gateway is None or gateway.undo is None or it.kind == WOULD_CALL else gateway.undo.event_type
        return CorrectionCall(
            self.handlers.app.name, self.correction, request.reference, it.kind, event_type, request.key, request.id, OPEN, undo,
            why=_advice(it, undo, self.log), at=self.now, wanted=right,
        )  # fmt: skip

    def right_again(self, was: CorrectionCall | None) -> CorrectionCall | None:
        """Of a call that is as it was asked by now, or was not; None: nothing was done about it meanwhile."""
        deed = None if was is None else _deed(was)
        if was is None or deed is None:
            return None
        asked = self.log.find(was.reference) is not None
        kind, wanted = (WOULD_CALL, AS_ASKED) if asked else (NOT, "")
        why = shortened(advice_right_again(_told(deed), asked=asked), LONGEST)
        call = replace(
            was, kind=kind, state=OPEN, undo=None, event=deed.event, by="", why=why, at=self.now, wanted=wanted, deed=deed
        )
        if _is_alike(was, call):
            return was
        return deed if _is_alike(deed, call) else call

    def _gateway(self, event_type: str) -> Gateway[Any] | None:
        return next((it for it in self.handlers.app.gateways if it.data.event_type == event_type), None)


def _digest(value: bytes) -> str:
    return blake2b(value, digest_size=8).hexdigest()


def _is_alike(one: CorrectionCall, other: CorrectionCall) -> bool:
    """Whether a call is wrong in the same way; an earlier version did not write what is right."""
    return one.kind == other.kind and (one.wanted == other.wanted or not (one.wanted and other.wanted))


def _deed(was: CorrectionCall) -> CorrectionCall | None:
    """What was done last about a call; None: nothing."""
    if was.state in (UNDONE, CLOSED):
        return replace(was, deed=None)
    if was.deed is None and was.event:  # an earlier version wrote it, of a call that was right again
        return replace(was, kind=NOT, state=UNDONE, why="")
    return was.deed


def _behind(deed: CorrectionCall, call: CorrectionCall, request: Any) -> CorrectionCall:
    """A call that is wrong by now, behind what was done about it."""
    if _is_alike(deed, call):
        return deed
    why = advice_behind(_told(deed), call.kind, call.type, request)
    return replace(call, event=deed.event, why=shortened(why, LONGEST), deed=deed)


def _told(deed: CorrectionCall) -> str:
    if deed.state == UNDONE:
        return f"it was taken back by {deed.event}"
    return f"{shortened(deed.by, SHORT)} has seen to it ({shortened(deed.why, SHORT)})"


def _advice(it: CallChange, undo: str | None, log: Past) -> str:
    asked = log.find(it.request.reference)
    before = None if asked is None else plain(asked.event.data)
    advice = call_advice(it.kind, it.request.data.event_type, undo, before, plain(it.request.data), _asked_by_itself(it, log))
    return shortened(advice, LONGEST)


def _asked_by_itself(it: CallChange, log: Past) -> str:
    """Where somebody has published the request that is missing, as a person does who was told to; the latest."""
    place = namespace_of(it.request.data.event_type), it.request.key
    same = [each for each in log.key_events(place) if each.kind == ROOT and each.accepted and each.event.data == it.request.data]
    return same[-1].name if same else ""


def _unless_rejected(call: CorrectionCall, log: Past) -> CorrectionCall:
    """A call that an event has taken back, or was to."""
    if call.state != UNDONE or (event := log.find(reference_of(SOURCE, call.event))) is None or event.accepted:
        return call
    return replace(call, state=OPEN, event="", by="", why=_why_rejected(event))


def _why_rejected(event: RecordedEvent) -> str:
    return shortened(f"{event.event_type} {event.event.id} was to take it back, and was rejected: {event.reason}", LONGEST)


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
