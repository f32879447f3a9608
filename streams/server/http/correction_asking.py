"""What a request about corrections uses: who asks, the correction that it is about, and the server's Corrector."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from streams.errors import HistoryError, without_frames
from streams.kafka.correction_document import correction_document
from streams.kafka.corrections_topic import PLANNED, CorrectionState
from streams.server.correction_attempt import CorrectionAttempt
from streams.server.http.access_checks import principal_of
from streams.server.http.correction_questions import CorrectionQuestions
from streams.server.http.parts import parts_of
from streams.server.http.problems import Problem
from streams.server.http.questions import CORRECTION
from streams.server.http.requests import JSON, one_line
from streams.server.readmodel.row_json import to_json

T = TypeVar("T")


class CorrectionAsking:
    """Of one request. Raises a 503 problem where nothing is corrected over HTTP."""

    def __init__(self, request: Request) -> None:
        self._request, self.parts, self.principal = request, parts_of(request), principal_of(request)
        if self.parts.corrector is None:
            raise Problem(503, "this server corrects nothing: ask another one, or use `retold correct`")
        self.corrector = self.parts.corrector
        self.questions = CorrectionQuestions(self.parts, self.corrector)

    async def permitted(self) -> CorrectionState:
        """The one in the path. Raises a 404 or a 403 problem."""
        state = await self.in_thread(self.questions.state, self._request.path_params["correction"])
        self.questions.permit(self.principal, state.touches)
        return state

    async def matched(self, state: CorrectionState) -> CorrectionState:
        """With the digest of the plan that the client has seen. Raises a 412 or a 428 problem if it is to see another one."""
        shown = one_line(self._request, "If-Match")
        if state.state != PLANNED and shown is None:
            return state
        if shown is None:
            raise Problem(
                428, f"If-Match is missing: the ETag of {url_of_correction(state)} was expected, so that what was seen is applied",
                field="If-Match",
            )  # fmt: skip
        digest = state.digest
        if state.state == PLANNED:
            plan = await self.in_thread(self.questions.plan_again, state)
            self.questions.permit(self.principal, plan.touches)
            digest, state = plan.digest, msgspec.structs.replace(state, digest=plan.digest, touches=plan.touches)
        if shown.strip() != plan_tag(digest):
            raise Problem(
                412, f"the plan of {state.correction} is not the one that was seen: rows or events have moved since. Look at "
                f"{url_of_correction(state)}, and apply it with the ETag that it has then", kind="plan-moved", field="If-Match",
                headers={"ETag": plan_tag(digest)},
            )  # fmt: skip
        return state

    async def became(self, state: CorrectionState, attempt: CorrectionAttempt) -> Response:
        """How it stands. Raises what has kept it from its end."""
        if attempt.over and attempt.error is not None:
            error = without_frames(attempt.error)  # others may be told of it, too
            raise _as_problem(error) if isinstance(error, HistoryError) else error
        found = await self.in_thread(self.questions.state, state.correction)
        body = to_json(correction_document(found))
        return Response(body, 200 if attempt.over else 202, {"Location": url_of_correction(state)}, JSON)

    async def in_thread(self, function: Callable[..., T], *args: Any) -> T:
        try:
            return await self.parts.questions.call(CORRECTION, "corrections", function, *args)
        except HistoryError as error:
            raise _as_problem(error) from error


def _as_problem(error: HistoryError) -> Exception:
    """What cannot be told, or does not end, is no fault of the server."""
    return Problem(422, str(error)) if error.status == 500 else error


def url_of_correction(state: CorrectionState) -> str:
    return f"/corrections/{state.correction}"


def plan_tag(digest: str) -> str:
    """The ETag of a plan."""
    return f'"{digest}"'
