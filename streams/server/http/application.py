"""The server's ASGI application: its routes, and what stands before them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Match, Mount, Route
from starlette.types import Scope

from streams.server.http.cross_origin import allowing, origins_of
from streams.server.http.documents import Documents
from streams.server.http.guard import Guard
from streams.server.http.metrics import Metrics
from streams.server.http.parts import ServerParts
from streams.server.http.problems import ERRORS, answer_error
from streams.server.http.route_entry import Handler, RouteEntry, needs, permit
from streams.server.http.route_table import NOT_TOLD, PUBLISHING, ROUTES, SITE
from streams.server.http.write import event_endpoints
from streams.server.pages.console import Console
from streams.server.pages.site_files import SiteFiles


def http_app(parts: ServerParts) -> Starlette:
    """An ASGI application that answers from `parts`. Pages of other origins cannot use it, but those that the settings name."""
    metrics = Metrics(parts.model, parts.watching, parts.states, parts.connections, parts.observed)
    origins = origins_of(parts.config)
    api = Starlette(
        routes=[*_routes(parts)],
        middleware=[
            *([allowing(origins)] if origins else []),
            Middleware(Guard, parts=parts, metrics=metrics),
            Middleware(Console, parts=parts),
        ],
        exception_handlers=dict.fromkeys(ERRORS, answer_error),
    )
    api.router.redirect_slashes = False
    api.state.parts, api.state.metrics = parts, metrics
    api.state.endpoints, api.state.documents = event_endpoints(parts), Documents(parts, ROUTES)
    return api


def _routes(parts: ServerParts) -> Iterator[BaseRoute]:
    for entry in ROUTES:
        if entry.path == PUBLISHING:
            for name in parts.app.event_types():
                yield TableRoute(entry._replace(path=f"/events/{name}", right=needs("publish", name)), {"event_type": name})
        if entry.path != SITE or parts.config.site is not None:
            yield TableRoute(entry)
    if parts.config.site is not None:
        yield Mount(SITE, SiteFiles(parts.config.site))


class TableRoute(Route):
    """A route that asks for its right first. `names` are those of its path that stand in no braces."""

    def __init__(self, entry: RouteEntry, names: Mapping[str, str] | None = None) -> None:
        told = entry.path not in (PUBLISHING, *NOT_TOLD)
        super().__init__(entry.path, _permitted(entry), methods=[entry.method], include_in_schema=told)
        self.methods = {entry.method}  # without HEAD: the guard answers it, and a stream has none
        self._names = names

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        found, of_route = super().matches(scope)
        if self._names is not None and found is not Match.NONE:
            of_route["path_params"] |= self._names
        return found, of_route


def _permitted(entry: RouteEntry) -> Handler:
    async def handle(request: Request) -> Response:
        permit(request, entry.right)
        return await entry.handler(request)

    return handle
