"""The server's ASGI application: its routes, and what stands before them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import BaseRoute, Mount

from streams.server.http.cross_origin import allowing, origins_of
from streams.server.http.documents import Documents
from streams.server.http.error_responses import ERRORS, answer_error
from streams.server.http.guard import Guard
from streams.server.http.metrics import Metrics
from streams.server.http.parts import ServerParts
from streams.server.http.quick_publish import QuickPublishing
from streams.server.http.route_entry import needs
from streams.server.http.route_index import RouteIndex, TableRoute
from streams.server.http.route_table import NOT_TOLD, PUBLISHING, ROUTES, SITE
from streams.server.http.server_checks import all_checks
from streams.server.http.write import event_endpoints
from streams.server.pages.console import Console
from streams.server.pages.site_files import SiteFiles
from streams.server.processes.summed_figures import families_of


def http_app(parts: ServerParts) -> Starlette:
    """An ASGI application that answers from `parts`. Pages of other origins cannot use it, but those that the settings name."""
    metrics = Metrics(parts.model, parts.watching, parts.states, parts.connections, parts.observed, lambda: all_checks(parts))
    if parts.link is not None:
        parts.link.own_figures = partial(families_of, metrics.own)
    origins, endpoints = origins_of(parts.config), event_endpoints(parts)
    table = [*_table_routes(parts)]
    counted = {route.path: route for route in reversed(table) if "POST" in (route.methods or ())}
    api = Starlette(
        routes=[*_routes(parts, table)],
        middleware=[
            *([allowing(origins)] if origins else []),
            Middleware(Guard, parts=parts, metrics=metrics),
            Middleware(QuickPublishing, parts=parts, endpoints=endpoints, counted=counted),
            Middleware(Console, parts=parts),
        ],
        exception_handlers=dict.fromkeys(ERRORS, answer_error),
    )
    api.router.redirect_slashes = False
    api.state.parts, api.state.metrics = parts, metrics
    api.state.endpoints, api.state.documents = endpoints, Documents(parts, ROUTES)
    outermost = api.build_middleware_stack()  # not at the first request, when the disk may be full
    api.middleware_stack = getattr(outermost, "app", outermost)  # without Starlette's net for faults: the guard answers them
    return api


def _routes(parts: ServerParts, table: Iterable[TableRoute]) -> Iterator[BaseRoute]:
    yield RouteIndex(table)
    if parts.config.site is not None:
        yield Mount(SITE, SiteFiles(parts.config.site))


def _table_routes(parts: ServerParts) -> Iterator[TableRoute]:
    for entry in ROUTES:
        if entry.path == PUBLISHING:
            for name in parts.app.event_types():
                one = entry._replace(path=f"/events/{name}", right=needs("publish", name))
                yield TableRoute(one, is_told=True, names={"event_type": name})
        if entry.path != SITE or parts.config.site is not None:
            yield TableRoute(entry, is_told=entry.path not in (PUBLISHING, *NOT_TOLD))
