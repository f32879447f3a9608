"""`POST /what-if`: the past with a change, decided again in memory; one difference a line, and a summary."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from streams.errors import DefinitionError
from streams.history.branch.branch_tables import refuse_unknown_views
from streams.history.branch.change_document import LARGEST, answers_of, decode_document
from streams.server.http.parameters import known_params
from streams.server.http.parts import parts_of
from streams.server.http.past_asking import ask_past
from streams.server.http.problems import Problem
from streams.server.http.question_forms import AnswerBody, BranchQuestion
from streams.server.http.questions import PAST
from streams.server.http.requests import JSON, media_type, read_body

NDJSON = "application/x-ndjson"


async def asked(request: Request) -> Response:
    parts = parts_of(request)
    known_params(request.query_params.multi_items(), "_min_position")
    if media_type(request) != JSON:
        raise Problem(415, f"a change is {JSON}", field="Content-Type")
    body = await read_body(request, LARGEST)
    document = decode_document(body)
    answers_of(parts.app, document)  # before it waits for its turn
    try:
        refuse_unknown_views(parts.app, document.views)
    except DefinitionError as error:
        raise Problem(422, str(error), field="views") from error
    found, at = await ask_past(request, parts, PAST, "what-if", BranchQuestion(body), AnswerBody)
    return Response(found.content, headers=at.headers, media_type=NDJSON)
