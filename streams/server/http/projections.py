"""`GET /projections/NAME/KEY` and `GET /projections/NAME`: tables that this server folds from accepted events."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import Response

from streams.errors import did_you_mean
from streams.server.http import openapi
from streams.server.http.answers import answer, at_least, ready, standing
from streams.server.http.pages import Query, read_query
from streams.server.http.parameters import known_params
from streams.server.http.parts import ServerParts
from streams.server.http.pools import in_thread
from streams.server.http.problems import Problem
from streams.server.http.snapshot import check
from streams.server.readmodel.tables import ProjectionRows

KINDS = ("log",)


def routes(parts: ServerParts) -> APIRouter:
    router = APIRouter(tags=["projections"])
    extra = openapi.projected(parts.app)

    @router.get("/projections/{name}", response_class=Response, openapi_extra=extra, summary="A projection's rows")
    async def rows(request: Request, name: str) -> Response:
        projected = _known(parts, name)
        query = read_query(request.query_params.multi_items(), projected.projection.row_type)
        await at_least(request, parts.model, KINDS)
        return await in_thread(parts.pools.memory, _page, request, parts, projected, query)

    one = openapi.one_projected(parts.app)

    @router.get("/projections/{name}/{key:rest}", response_class=Response, openapi_extra=one, summary="A projection's row")
    async def row(request: Request, name: str, key: str) -> Response:
        projected, model = _known(parts, name), parts.model
        known_params(request.query_params.multi_items(), "_min_position")
        await at_least(request, model, KINDS)
        at = standing(model, KINDS, model.partitions(projected.namespaces))  # before the row, as in table_rows
        found = projected.rows.get(key)
        ready(parts)  # the model may have been reset meanwhile
        check(model, projected)
        if found is None:
            raise Problem(404, f"the projection {name} has no row {key!r:.600}", headers=at.headers)
        return answer(request, {"key": key, "row": found, "positions": at.texts, "lag": at.lag}, at)

    return router


def _known(parts: ServerParts, name: str) -> ProjectionRows:
    """The projection. Raises a 404 problem that lists the existing ones."""
    names = [projection.name for projection in parts.app.projections]
    if name not in names:
        known = ", ".join(names) or "none"
        raise Problem(404, f"{parts.app.name} has no projection {name[:100]!r}{did_you_mean(name, names)}; it has {known}")
    projected = ready(parts).projections[name]
    check(parts.model, projected)
    return projected


def _page(request: Request, parts: ServerParts, projected: ProjectionRows, query: Query) -> Response:
    model = parts.model
    partitions = model.partitions(projected.namespaces)
    copy, at = model.copy(projected, lambda: standing(model, KINDS, partitions))
    ready(parts)  # the model may have been reset meanwhile
    check(model, projected)
    keys, following = query.page(copy.rows)
    shown = [{"key": key, "row": copy.rows[key]} for key in keys]
    return answer(request, {"rows": shown, "next": following, "positions": at.texts, "lag": at.lag}, at)
