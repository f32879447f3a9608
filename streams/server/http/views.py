"""`GET /views/PATH`: the application's own answers."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from urllib.parse import unquote

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from streams.app import App
from streams.errors import did_you_mean
from streams.server.http.access_checks import principal_of
from streams.server.http.answers import answer, at_least, ready, standing_at
from streams.server.http.parameters import known_params
from streams.server.http.parts import ServerParts, parts_of
from streams.server.http.past_answers import TIMES, split_times
from streams.server.http.past_rows import view_as_it_was
from streams.server.http.paths import escaped_path
from streams.server.http.permitted_rows import refuse_past
from streams.server.http.pools import in_thread
from streams.server.http.problems import Problem
from streams.server.http.snapshot import TableSnapshot
from streams.server.readmodel.row_json import to_json
from streams.server.readmodel.store_moment import StoreMoment
from streams.view import Tables, View

log = logging.getLogger("retold.server")


async def view(request: Request) -> Response:
    parts = parts_of(request)
    found, names = match(parts.app, escaped_path(request.scope)[1:].partition("/")[2])
    params, asked = split_times(request.query_params.multi_items())
    known_params(params, "_min_position", *TIMES)
    if asked is not None:
        refuse_past(principal_of(request), *principal_of(request).only)
        return await view_as_it_was(request, parts, found, names, asked)
    await at_least(request, ready(parts), kinds_of(parts.app))
    return await in_thread(parts.pools.views, _answer, request, parts, found, names)


def _answer(request: Request, parts: ServerParts, view: View, names: Mapping[str, str]) -> Response:
    """The view's answer. Errors in it, including those of encoding its value as JSON, are reported as the application's."""
    with parts.model.moment() as moment:
        return _answer_at(request, parts, view, names, moment)


def _answer_at(
    request: Request, parts: ServerParts, view: View, names: Mapping[str, str], moment: StoreMoment
) -> Response:
    model = parts.model
    remade = model.remade
    at = standing_at(model, moment, kinds_of(parts.app), model.partitions())
    snapshot = TableSnapshot(model, moment, principal_of(request).only)
    value, did = msgspec.Raw(), "raised"
    try:
        found = view.answer(Tables(snapshot), **names)
        did = "gave what cannot be written as JSON:"
        value = msgspec.Raw(to_json(found))
    except BaseException as error:  # in a pool thread none of these means a cancellation
        if snapshot.refused is None:
            log.exception("the view %s %s", view.path, did)
            detail = f"the view {view.path} {did} {type(error).__name__}; the server's log says more"
            raise Problem(500, detail) from error
    ready(parts)  # the model may have been reset meanwhile
    at = at.of_tables(remade, snapshot.asked)
    if snapshot.refused is not None:
        refused = snapshot.refused
        detail = f"the view {view.path} rests on a table that is not whole: {refused.detail}"
        raise Problem(refused.status, detail, headers={**refused.headers, **at.headers})
    return answer(request, {"answer": value, "positions": at.texts, "lag": at.lag}, at)


def kinds_of(app: App) -> tuple[str, ...]:
    """The kinds of topics that a view's answer may depend on."""
    return ("table", "log") if app.projections else ("table",)


def match(app: App, raw: str) -> tuple[View, dict[str, str]]:
    """The view of a percent-encoded path: a name may contain an escaped slash. Raises a 404 problem."""
    for view in app.views:
        if (names := view.match(raw)) is not None:
            return view, names
    paths, asked = [view.path for view in app.views], unquote(raw.strip("/"))[:200]
    near, known = did_you_mean(asked, paths), ", ".join(paths) or "none"
    raise Problem(404, f"{app.name} has no view {asked!r}{near}; it has {known}")
