"""`GET /openapi.json` and `GET /asyncapi.json`: what the API and its events are. Both are made once, since that takes some ms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property

from msgspec import Raw
from starlette.requests import Request
from starlette.responses import Response

from streams.server.http.answers import latest
from streams.server.http.asyncapi_document import asyncapi_document
from streams.server.http.openapi import openapi_document
from streams.server.http.parameters import known_params
from streams.server.http.parts import ServerParts
from streams.server.http.route_entry import RouteEntry
from streams.server.readmodel.row_json import to_json


class Documents:
    """Made when they are asked for first."""

    def __init__(self, parts: ServerParts, routes: Sequence[RouteEntry]) -> None:
        self._parts, self._routes = parts, routes

    @cached_property
    def openapi(self) -> bytes:
        return to_json(openapi_document(self._parts.app, self._routes, token=self._parts.principals.needs_token))

    @cached_property
    def asyncapi(self) -> bytes:
        """Without the broker: whoever reads rows need not know Kafka."""
        return to_json(asyncapi_document(self._parts.app, replace(self._parts.config, broker=None)))


def _documents(request: Request) -> Documents:
    found: Documents = request.app.state.documents
    return found


async def openapi(request: Request) -> Response:
    return Response(_documents(request).openapi, media_type="application/json")


async def asyncapi(request: Request) -> Response:
    known_params(request.query_params.multi_items())
    return latest(Raw(_documents(request).asyncapi))
