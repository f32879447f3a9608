"""`GET /rows/NAMESPACE/KEY` and `GET /rows/NAMESPACE`: tables as they are committed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response
from starlette.concurrency import run_in_threadpool

from streams.namespace import Namespace
from streams.server import openapi
from streams.server.answers import answer, at_least, ready, standing
from streams.server.followed import Followed
from streams.server.pages import Query, read_query
from streams.server.parameters import known_params
from streams.server.parts import Parts
from streams.server.problems import Problem

KINDS = ("table",)


def routes(parts: Parts) -> APIRouter:
    router = APIRouter(tags=["rows"])

    @router.get("/rows/{namespace}", response_class=Response, openapi_extra=openapi.listing(parts.app), summary="Rows")
    async def rows(request: Request, namespace: str) -> Response:
        row_type = known_namespace(parts, namespace).row_type
        followed = ready(parts)
        query = read_query(request.query_params.multi_items(), row_type)
        await at_least(request, followed, KINDS)
        return await run_in_threadpool(_page, request, followed, namespace, query)

    @router.get(
        "/rows/{namespace}/{key:rest}", response_class=Response, openapi_extra=openapi.one_row(parts.app), summary="A row"
    )
    async def row(request: Request, namespace: str, key: str) -> Response:
        known_namespace(parts, namespace)
        known_params(request.query_params.multi_items(), "_min_position")
        followed = ready(parts)
        await at_least(request, followed, KINDS)
        place = followed.place_of(namespace, key)
        with followed.lock:
            table = followed.tables[namespace]
            found, version, wrong = table.rows.get(key), table.versions.get(key), table.unreadable.get(key)
            at = standing(followed, KINDS, [place])
        if wrong is not None:
            raise Problem(503, f"the row {key!r:.200} of {namespace} does not read here: {wrong}", headers=at.headers)
        if found is None:
            up_to = ", ".join(at.texts)
            raise Problem(404, f"the table {namespace} has no row {key!r:.600}, up to {up_to}", headers=at.headers)
        return answer(request, {"key": key, "version": version, "row": found}, at, etag=f'"{version}"')

    return router


def known_namespace(parts: Parts, name: str) -> Namespace[Any]:
    """Raises a 404 problem naming those that there are."""
    for namespace in parts.app.namespaces:
        if namespace.name == name:
            return namespace
    known = ", ".join(each.name for each in parts.app.namespaces)
    raise Problem(404, f"{parts.app.name} has no namespace {name[:100]!r}; it has {known}")


def _page(request: Request, followed: Followed, namespace: str, query: Query) -> Response:
    with followed.lock:
        rows, versions = followed.tables[namespace].copy()
        at = standing(followed, KINDS, followed.places([namespace]))
    keys, following = query.page(rows)
    shown: list[Mapping[str, Any]] = [{"key": key, "version": versions[key], "row": rows[key]} for key in keys]
    return answer(request, {"rows": shown, "next": following, "positions": at.texts, "lag": at.lag}, at)
