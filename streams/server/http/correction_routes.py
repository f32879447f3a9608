"""`/corrections`: plans of corrections, what each changes or has changed, applying them, and calls that they have made wrong."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from streams.data import namespace_of
from streams.errors import UNREADABLE_JSON
from streams.history.branch.change_document import LARGEST
from streams.history.correction.correction_calls import OPEN, open_call, refuse_unknown_policy
from streams.history.correction.planning import refuse_unsigned
from streams.kafka.correction_document import correction_document
from streams.kafka.corrections_topic import PLANNED, CorrectionState
from streams.kafka.lost_corrections import BRING_BACK, lost_corrections
from streams.server.access.principal import Right
from streams.server.http.access_checks import require
from streams.server.http.answers import latest, up_to_date
from streams.server.http.correction_asking import CorrectionAsking, plan_tag, url_of_correction
from streams.server.http.correction_questions import call_members, may_correct, plan_members, read_correction
from streams.server.http.list_paging import cursor_in, cursor_text, limit_in
from streams.server.http.parameters import known_params
from streams.server.http.parts import ServerParts
from streams.server.http.problems import Problem
from streams.server.http.requests import JSON, media_type, read_body, wait_of
from streams.server.readmodel.notifier import until
from streams.server.readmodel.row_json import to_json

T = TypeVar("T")
SMALL = 64 * 1024
"""Bytes of a body that holds no change."""
BEGINS = 30.0
"""s in which a coordinator mostly is at work, or says why it cannot be."""
ALL, STATES = "all", ("planned", "applying", "applied")


class ApplyDocument(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What to do about calls of gateways that are wrong by then; None: as when it was begun, and else ask."""

    calls: str | None = None


class CloseDocument(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What was done about a call."""

    why: str


async def plan(request: Request) -> Response:
    """Nothing happens yet; the plan is kept, to be applied by its id."""
    asking = CorrectionAsking(request)
    known_params(request.query_params.multi_items())
    asked = read_correction(await _json_body(request, LARGEST))
    up_to_date(asking.parts)
    plan, state = await asking.in_thread(asking.questions.plan, asked, asking.principal)
    body = {
        **correction_document(state), "digest": plan.digest, "touches": plan.touches, "changes": plan_members(plan),
        "untold": None, "wrong_calls": [],
    }  # fmt: skip
    return Response(to_json(body), 201, {"Location": url_of_correction(state), "ETag": plan_tag(plan.digest)}, JSON)


async def listed(request: Request) -> Response:
    """The latest first."""
    asking = CorrectionAsking(request)
    given = known_params(request.query_params.multi_items(), "state", "_limit", "_next")
    if (wanted := given.get("state")) not in (None, *STATES):
        raise Problem(422, f"state is {given['state'][:80]!r}; {', '.join(STATES)} was expected", field="state")
    limit, last = limit_in(given), cursor_in(given, tuple[int])
    states = await asking.in_thread(asking.corrector.states)
    _refuse_lost(asking.parts, states)
    found = [it for it in asking.questions.permitted(asking.principal, states) if wanted in (None, it.state)]
    found.sort(key=lambda it: it.begun, reverse=True)
    begin = 0 if last is None else last[0]
    page, end = found[begin : begin + limit], begin + limit
    following = cursor_text([end]) if end < len(found) else None
    return latest({"corrections": [asking.questions.document(it) for it in page], "next": following})


def _refuse_lost(parts: ServerParts, states: Sequence[CorrectionState]) -> None:
    """Raises a 503 problem: that nothing was corrected would be wrong."""
    status, begun = parts.observed.status, [it for it in states if it.state != PLANNED]
    if status is not None and (lost := lost_corrections(parts.config.prefix, status.namespaces, begun)):
        raise Problem(503, f"{lost}. {BRING_BACK}")


async def one(request: Request) -> Response:
    """With all that it changes, or has changed. The ETag of a plan is its digest as it is by now."""
    asking = CorrectionAsking(request)
    known_params(request.query_params.multi_items())
    up_to_date(asking.parts)
    state = await asking.permitted()
    body, digest = await asking.in_thread(asking.questions.whole, state, asking.principal)
    answer = latest(body)
    answer.headers["ETag"] = plan_tag(digest)
    return answer


async def apply(request: Request) -> Response:
    """In the background: 202 says where to look. What was begun goes on where it stood."""
    asking = CorrectionAsking(request)
    known_params(request.query_params.multi_items())
    calls = _decoded(await _json_body(request, SMALL), ApplyDocument, "calls").calls
    if calls is not None:
        refuse_unknown_policy(calls)
    up_to_date(asking.parts)
    state = await asking.matched(await asking.permitted())
    attempt = await asking.in_thread(asking.corrector.apply, state, calls)
    notifier = asking.parts.model.notifier
    await until(notifier, lambda: attempt.begun or attempt.over or None, BEGINS)
    await until(notifier, lambda: attempt.over or None, wait_of(request) or 0.0)
    return await asking.became(state, attempt)


async def withdraw(request: Request) -> Response:
    asking = CorrectionAsking(request)
    known_params(request.query_params.multi_items())
    state = await asking.permitted()
    await asking.in_thread(asking.corrector.withdraw, state.correction)
    return latest({**correction_document(state), "state": "withdrawn"})


async def calls(request: Request) -> Response:
    """Those that are open, or all."""
    asking = CorrectionAsking(request)
    given = known_params(request.query_params.multi_items(), "state")
    if given.get("state", OPEN) not in (OPEN, ALL):
        raise Problem(422, f"state is {given['state'][:80]!r}; {OPEN} or {ALL} was expected", field="state")
    found, principal = await asking.in_thread(asking.corrector.calls), asking.principal
    wanted = [it for it in found.values() if given.get("state") == ALL or it.state == OPEN]
    return latest({"calls": [call_members(it) for it in wanted if may_correct(principal, it)]})


async def close(request: Request) -> Response:
    """A person has seen to a call that was wrong."""
    asking = CorrectionAsking(request)
    known_params(request.query_params.multi_items())
    asked = _decoded(await _json_body(request, SMALL), CloseDocument, "why")
    principal, name = asking.principal, request.path_params["request"]
    refuse_unsigned(principal.name, asked.why)
    found = await asking.in_thread(asking.corrector.calls)
    for it in found.values():
        if it.id == name:
            require(principal, Right("correct", namespace_of(it.type)))
    call = open_call({at: it for at, it in found.items() if may_correct(principal, it)}, name)  # a beginning names no other
    closed = await asking.in_thread(asking.corrector.close_call, call.id, principal.name, asked.why.strip())
    return latest(call_members(closed))


async def _json_body(request: Request, most: int) -> bytes:
    media_type(request, (JSON, JSON))
    return await read_body(request, most, "")


def _decoded(body: bytes, kind: type[T], members: str) -> T:
    try:
        return msgspec.json.decode(body or b"{}", type=kind)
    except UNREADABLE_JSON as error:
        raise Problem(422, f"this does not read: {error}. A JSON object with {members} was expected", field=members) from error
