"""`GET /rows/NAMESPACE/KEY` and `GET /rows/NAMESPACE`: committed rows of tables."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response

from streams.errors import did_you_mean
from streams.namespace import Namespace
from streams.server.http import openapi
from streams.server.http.answers import answer, at_least, ready, standing
from streams.server.http.pages import Query, read_query
from streams.server.http.parameters import known_params
from streams.server.http.parts import ServerParts
from streams.server.http.pools import in_thread
from streams.server.http.problems import RETRY_AFTER, Problem
from streams.server.readmodel.tables import UnreadableRow

KINDS = ("table",)
MOST_UNREADABLE = 100
"""The most keys of unreadable rows in an answer."""


def routes(parts: ServerParts) -> APIRouter:
    router = APIRouter(tags=["rows"])

    @router.get("/rows/{namespace}", response_class=Response, openapi_extra=openapi.listing(parts.app), summary="Rows")
    async def rows(request: Request, namespace: str) -> Response:
        row_type = known_namespace(parts, namespace).row_type
        model = ready(parts)
        query = read_query(request.query_params.multi_items(), row_type)
        await at_least(request, model, KINDS)
        return await in_thread(parts.pools.memory, _page, request, parts, namespace, query)

    @router.get(
        "/rows/{namespace}/{key:rest}", response_class=Response, openapi_extra=openapi.one_row(parts.app), summary="A row"
    )
    async def row(request: Request, namespace: str, key: str) -> Response:
        known_namespace(parts, namespace)
        known_params(request.query_params.multi_items(), "_min_position")
        model = ready(parts)
        await at_least(request, model, KINDS)
        partition = model.partition_of(namespace, key)
        at = standing(model, KINDS, [partition])  # before the row, so that the position is never ahead of it
        kept = model.tables[namespace].kept.get(key)
        ready(parts)  # the model may have been reset meanwhile
        if kept is None:
            up_to = ", ".join(at.texts)
            raise Problem(404, f"the table {namespace} has no row {key!r:.600}, up to {up_to}", headers=at.headers)
        if isinstance(kept.row, UnreadableRow):
            wrong = f"the row {key!r:.200} of {namespace} does not read here: {kept.row.reason}"
            raise Problem(503, wrong, headers={**RETRY_AFTER, **at.headers})
        etag = parts.row_etag(namespace, kept.version)
        return answer(request, {"key": key, "version": kept.version, "row": kept.row}, at, etag=etag)

    return router


def known_namespace(parts: ServerParts, name: str) -> Namespace[Any]:
    """The namespace. Raises a 404 problem that lists the existing ones."""
    for namespace in parts.app.namespaces:
        if namespace.name == name:
            return namespace
    names = [each.name for each in parts.app.namespaces]
    near, known = did_you_mean(name, names), ", ".join(names)
    raise Problem(404, f"{parts.app.name} has no namespace {name[:100]!r}{near}; it has {known}")


def _page(request: Request, parts: ServerParts, namespace: str, query: Query) -> Response:
    model = parts.model
    partitions = model.partitions([namespace])
    copy, at = model.copy(model.tables[namespace], lambda: standing(model, KINDS, partitions))
    ready(parts)  # the model may have been reset meanwhile
    keys, following = query.page(copy.rows)
    shown: list[Mapping[str, Any]] = [
        {"key": key, "version": copy.kept[key].version, "row": copy.rows[key]} for key in keys
    ]
    unreadable = {"count": len(copy.unreadable), "keys": list(islice(copy.unreadable, MOST_UNREADABLE))}
    body = {"rows": shown, "next": following, "unreadable": unreadable, "positions": at.texts, "lag": at.lag}
    return answer(request, body, at)
