"""What becomes of a gateway's request in a branch: nobody is called."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from streams.data import EventData
from streams.engine.identity import answer_id
from streams.event import Event
from streams.history.branch.branch_queue import BranchTurn
from streams.history.code.application_handlers import ApplicationHandlers
from streams.history.difference import difference
from streams.history.past import Past
from streams.history.recorded_event import ANSWER, RecordedEvent

Answers = Callable[[Event[Any]], EventData | None]
"""What a gateway would answer to a request; None: that is not known."""


def as_it_answered(_: Event[Any]) -> EventData | None:
    """Answers that are assumed to be those that were recorded, also where the request has other data.

    It says nothing itself: where no answer was recorded, none is known.
    """
    return None


class AnsweredCall(NamedTuple):
    """`call` says how the request differs from what was asked. `answer` is handled, at the place of `recorded` if there is one.

    It `waits` if the answer is not known. `assumed`: it was recorded to other data, and is taken for this request's.
    """

    call: str | None = None
    answer: BranchTurn | None = None
    recorded: RecordedEvent | None = None
    waits: bool = False
    assumed: bool = False


def answer_call(
    past: Past,
    handlers: ApplicationHandlers,
    answers: Answers | None,
    request: BranchTurn,
    effects: Sequence[RecordedEvent],
    assumed: Mapping[str, EventData],
) -> AnsweredCall:
    """A request that was asked has its answer, which is a fact; another one what `answers` gives.

    One that a branch asked, and that has no answer there, still waits. One that had no answer when the past was read has none.
    `assumed` has the data for which the change says that the recorded answer counts: so nobody would be called otherwise.
    """
    was, reference = request.was, answer_id(request.reference)
    recorded = next((it for it in effects if it.kind == ANSWER), None)
    same = was is not None and was.accepted and was.value == request.value
    if same and request.reference not in past.aside.unanswered:
        return AnsweredCall(answer=None if recorded is None else _turn(recorded, request), recorded=recorded)
    if not same and past.aside.asked.get(request.reference) == request.value:
        return AnsweredCall(difference.BEFORE)
    former = past.former_answer(request.reference)
    if former is not None and former[0] == request.value:
        return AnsweredCall(difference.BEFORE if was is None else None, _turn(former[1], request), recorded)
    call = None if same else difference.WOULD_CALL if was is None or was.is_parked else difference.OTHERWISE
    was_answered = recorded if former is None else recorded or former[1]
    if was_answered is not None:
        if assumed.get(request.reference) == request.event.data:
            return AnsweredCall(None, _turn(was_answered, request), recorded)
        if answers is as_it_answered:
            return AnsweredCall(call, _turn(was_answered, request), recorded, assumed=True)
    data = None if answers is None else answers(request.event)
    if data is None:
        return AnsweredCall(call, waits=True)
    asked = request.event
    event = Event(
        data, reference, asked.time, asked.id, asked.correlation or asked.id, handlers.spaces[request.place[0]].source
    )
    return AnsweredCall(call, BranchTurn(event, reference, handlers.codec.encode(data), ANSWER, request.reference), recorded)


def _turn(answer: RecordedEvent, request: BranchTurn) -> BranchTurn:
    return BranchTurn(answer.event, answer.reference, answer.value, ANSWER, request.reference, was=None)
