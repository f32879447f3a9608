"""`GET /views/PATH`: the application's own answers."""

from __future__ import annotations

from urllib.parse import unquote

from starlette.requests import Request
from starlette.responses import Response

from streams.app import App
from streams.errors import did_you_mean
from streams.server.http.access_checks import principal_of
from streams.server.http.answers import answer, at_least, ready
from streams.server.http.parameters import known_params
from streams.server.http.parts import parts_of
from streams.server.http.past_answers import TIMES, split_times
from streams.server.http.past_rows import view_as_it_was
from streams.server.http.paths import escaped_path
from streams.server.http.permitted_rows import refuse_past
from streams.server.http.problems import Problem
from streams.server.http.questions import VIEW
from streams.server.http.stream_text import asks_for_stream
from streams.server.http.view_answers import kinds_of
from streams.server.http.view_asking import ask_view
from streams.server.http.watched_view import watch_view
from streams.view import View


async def view(request: Request) -> Response:
    parts = parts_of(request)
    found, names = match(parts.app, escaped_path(request.scope)[1:].partition("/")[2])
    if asks_for_stream(request.scope):
        return await watch_view(request, parts, found, names)
    params, asked = split_times(request.query_params.multi_items())
    known_params(params, "_min_position", *TIMES)
    if asked is not None:
        refuse_past(principal_of(request), *principal_of(request).only)
        return await view_as_it_was(request, parts, found, names, asked)
    await at_least(request, ready(parts), kinds_of(parts.app))
    what = f"the view {found.path}"
    value, at = await parts.questions.call(VIEW, what, ask_view, parts, found, names, principal_of(request).only)
    return answer(request, {"answer": value, "positions": at.texts, "lag": at.lag}, at)


def match(app: App, raw: str) -> tuple[View, dict[str, str]]:
    """The view of a percent-encoded path: a name may contain an escaped slash. Raises a 404 problem."""
    for view in app.views:
        if (names := view.match(raw)) is not None:
            return view, names
    paths, asked = [view.path for view in app.views], unquote(raw.strip("/"))[:200]
    near, known = did_you_mean(asked, paths), ", ".join(paths) or "none"
    raise Problem(404, f"{app.name} has no view {asked!r}{near}; it has {known}")
