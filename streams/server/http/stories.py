"""`GET /events/EVENT/story` and `GET /rows/NAMESPACE/KEY/story`: what led to an event or a row, and what followed."""

from __future__ import annotations

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from streams.history.story.story import DEEPEST, DEPTH, DEPTH_OF_ROW, LAST, MOST_LAST
from streams.server.access.principal import READ_ALL
from streams.server.http.access_checks import principal_of, require
from streams.server.http.answers import answer
from streams.server.http.parameters import known_params
from streams.server.http.parts import ServerParts, parts_of
from streams.server.http.past_asking import ask_past
from streams.server.http.paths import escaped_path
from streams.server.http.problems import Problem
from streams.server.http.question_forms import AnswerBody, EventStoryQuestion, Question, RowStoryQuestion
from streams.server.http.questions import STORY
from streams.server.http.table_rows import known_namespace, one_row

END = "/story"


async def of_event(request: Request) -> Response:
    parts, event = parts_of(request), request.path_params["event"]
    given = known_params(request.query_params.multi_items(), "_depth", "_min_position")
    depth = _number("_depth", given, DEPTH, 0, DEEPEST)

    return await _told(request, parts, f"the story of {event:.100}", EventStoryQuestion(event, depth))


async def of_row(request: Request) -> Response:
    parts = parts_of(request)
    namespace, key = request.path_params["namespace"], request.path_params["key"]
    if not escaped_path(request.scope).endswith(END):  # the slash is escaped, so it belongs to the key
        return await one_row(request, parts, namespace, f"{key}{END}")
    require(principal_of(request), READ_ALL)
    known_namespace(parts, namespace)
    given = known_params(request.query_params.multi_items(), "_depth", "_last", "_min_position")
    depth = _number("_depth", given, DEPTH_OF_ROW, 0, DEEPEST)
    last = _number("_last", given, LAST, 1, MOST_LAST)

    what = f"the story of {namespace} {key:.100}"
    return await _told(request, parts, what, RowStoryQuestion(namespace, key, depth, last))


async def _told(request: Request, parts: ServerParts, what: str, question: Question) -> Response:
    found, at = await ask_past(request, parts, STORY, what, question, AnswerBody)
    members = msgspec.json.decode(found.content, type=dict[str, msgspec.Raw])
    return answer(request, {**members, "positions": at.texts, "lag": at.lag}, at)


def _number(name: str, given: dict[str, str], default: int, least: int, most: int) -> int:
    text = given.get(name, str(default))
    if not (text.isascii() and text.isdigit() and len(text) <= 6 and least <= int(text) <= most):
        raise Problem(422, f"{name} is {text[:80]!r}; a whole number from {least} to {most} was expected", field=name)
    return int(text)
