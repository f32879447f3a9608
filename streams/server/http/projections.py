"""`GET /projections/NAME/KEY` and `GET /projections/NAME`: tables that the server folds from accepted events."""

from __future__ import annotations

from functools import partial

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from streams.errors import did_you_mean
from streams.server.http.access_checks import principal_of
from streams.server.http.answers import answer, at_least, ready, refuse_lacking, standing_at
from streams.server.http.asked_row import TableAsked, asked_row
from streams.server.http.parts import ServerParts, parts_of
from streams.server.http.past_answers import split_times
from streams.server.http.past_rows import projected_as_it_was, rows_as_they_were
from streams.server.http.permitted_rows import refuse_past
from streams.server.http.problems import Problem
from streams.server.http.row_lists import ListRequest, read_list
from streams.server.http.row_stream import OpenedRows, answer_rows
from streams.server.http.row_watching import watch_rows
from streams.server.http.snapshot import check
from streams.server.http.stream_text import asks_for_stream
from streams.server.readmodel.model import RemadeTables
from streams.server.readmodel.store_moment import StoreMoment

KINDS = ("log",)


async def rows(request: Request) -> Response:
    parts, name = parts_of(request), request.path_params["name"]
    _refuse_unknown(parts, name)
    if asks_for_stream(request.scope):
        return await watch_rows(request, parts, name)
    params, asked = split_times(request.query_params.multi_items())
    listed = read_list(request, params, parts.model.row_types[name], name, versioned=False)
    if asked is not None:
        refuse_past(principal_of(request), name)
        return await rows_as_they_were(request, parts, listed, asked)
    model = ready(parts)
    check(model, name)
    await at_least(request, model, KINDS, [name])
    open_rows = partial(_open, parts, listed, model.remade)
    return await answer_rows(request, parts, listed, open_rows, partial(_still, parts, name))


async def row(request: Request) -> Response:
    parts = parts_of(request)
    name, key = request.path_params["name"], request.path_params["key"]
    _refuse_unknown(parts, name)
    of = TableAsked(KINDS, (name,), lambda model: model.partitions(model.folded_by[name]), check, projected_as_it_was)
    found = await asked_row(request, parts, name, key, of)
    if isinstance(found, Response):
        return found
    kept, at = found
    if kept is None or kept.body is None:
        raise Problem(404, f"the projection {name} has no row {key!r:.600}", headers=at.headers)
    return answer(request, {"key": key, "row": msgspec.Raw(kept.body), "positions": at.texts, "lag": at.lag}, at)


def _refuse_unknown(parts: ServerParts, name: str) -> None:
    """Raises a 404 problem that lists the existing ones."""
    names = [projection.name for projection in parts.app.projections]
    if name not in names:
        known = ", ".join(names) or "none"
        raise Problem(404, f"{parts.app.name} has no projection {name[:100]!r}{did_you_mean(name, names)}; it has {known}")


def _open(parts: ServerParts, asked: ListRequest, remade: RemadeTables, moment: StoreMoment) -> OpenedRows:
    """The rows of a moment. `remade` is of before."""
    model, name, table = parts.model, asked.table, parts.model.projected[asked.table]
    at = standing_at(model, moment, KINDS, model.partitions(model.folded_by[name])).of_tables(remade, [name])
    refuse_lacking(model, moment, name, table, asked.query, at)
    _still(parts, name)
    return OpenedRows(at, moment.rows_of(table, model.columns[name], whole=True), None)


def _still(parts: ServerParts, name: str) -> None:
    """Raises a problem: the model may have been reset meanwhile, or the projection stopped."""
    check(ready(parts), name)
