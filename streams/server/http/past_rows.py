"""Rows, projections and views as they were: `?_as_of=…&_known=…`."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import Response

from streams.history.cut_past import Cut
from streams.server.http.parts import ServerParts
from streams.server.http.past_answers import TIMES, nothing_then, past_bytes
from streams.server.http.past_asking import ask_past
from streams.server.http.question_forms import PastFound, PastRowQuestion, PastRowsQuestion, PastViewQuestion
from streams.server.http.questions import PAST, VIEW
from streams.server.http.row_forms import FORMS
from streams.server.http.row_lists import ListRequest, form_headers, next_link
from streams.view import View

HELD_BACK_HEADER = "Retold-Held-Back"
"""How many events are held back, where no member can say it."""


async def row_as_it_was(request: Request, parts: ServerParts, namespace: str, key: str, asked: Cut) -> Response:
    return await _row(request, parts, f"the table {namespace}", PastRowQuestion(namespace, key, asked))


async def projected_as_it_was(request: Request, parts: ServerParts, name: str, key: str, asked: Cut) -> Response:
    return await _row(request, parts, f"the projection {name}", PastRowQuestion(name, key, asked))


async def _row(request: Request, parts: ServerParts, table: str, question: PastRowQuestion) -> Response:
    found, at = await ask_past(request, parts, PAST, f"{table} as of a time", question, PastFound)
    if found.content is None:
        raise nothing_then(f"{table} had no row {question.key!r:.600} then", found.held, found.cut, at)
    return past_bytes(request, found.content, found.cut, at)


async def rows_as_they_were(request: Request, parts: ServerParts, listed: ListRequest, asked: Cut) -> Response:
    """Of a table or a projection."""
    pairs = [it for it in request.query_params.multi_items() if it[0] not in TIMES]
    question = PastRowsQuestion(listed.table, pairs, request.headers.getlist("accept"), asked)
    found, at = await ask_past(request, parts, PAST, f"{listed.table} as of a time", question, PastFound)
    headers = {**form_headers(listed, found.unreadable), **next_link(request, found.next)}
    if listed.form != "json" and found.held is not None:
        headers[HELD_BACK_HEADER] = str(found.held["events"])
    return past_bytes(request, found.content or b"", found.cut, at, media_type=FORMS[listed.form], more=headers)


async def view_as_it_was(request: Request, parts: ServerParts, view: View, names: Mapping[str, str], asked: Cut) -> Response:
    question = PastViewQuestion(view.path, dict(names), asked)
    found, at = await ask_past(request, parts, VIEW, f"the view {view.path}", question, PastFound)
    return past_bytes(request, found.content or b"", found.cut, at)
