"""The server's ASGI application with all of its routes."""

from __future__ import annotations

from importlib.metadata import version

from fastapi import Depends, FastAPI

from streams.server.http import (
    asyncapi_document,
    branches,
    change_stream,
    decisions,
    event_batch,
    event_list,
    events,
    health,
    live,
    openapi,
    overview,
    problem_pages,
    problems,
    projections,
    registry,
    set_aside,
    stories,
    table_rows,
    views,
    waiting_lists,
    write,
)
from streams.server.http.cross_origin import allow_origins, origins_of
from streams.server.http.guard import SITE_PATH, Guard
from streams.server.http.metrics import Metrics
from streams.server.http.parts import ServerParts
from streams.server.http.route_rights import permitting
from streams.server.pages.console import Console
from streams.server.pages.site_files import SiteFiles, site_route

DESCRIPTION = """Events go in by name; rows, projections, views and event logs come out as they are committed.

Every answer says up to which position it is true (`Retold-Position`) and how far this server is behind (`Retold-Lag`)."""


def http_app(parts: ServerParts) -> FastAPI:
    """An ASGI application that answers from `parts`. Pages of other origins cannot use it, but those that the settings name."""
    api = FastAPI(
        title=parts.app.name,
        version=version("retold"),
        description=DESCRIPTION,
        openapi_url="/openapi.json",
        docs_url=None,  # those pages load scripts from third-party servers
        redoc_url=None,
        redirect_slashes=False,
    )
    metrics = Metrics(parts.model, parts.watching, parts.states, parts.connections, parts.observed)
    endpoints, permitted = write.endpoints_of(parts), [Depends(permitting(parts))]
    for router in (
        overview.routes(parts),  # GET /, /rows, /projections
        asyncapi_document.routes(parts),  # GET /asyncapi.json
        write.routes(parts, endpoints),  # POST /events/TYPE
        event_batch.routes(parts, endpoints),  # POST /events
        branches.routes(parts),  # POST /what-if
        stories.routes(parts),  # GET /events/EVENT/story, /rows/NAMESPACE/KEY/story
        events.routes(parts),  # GET /events/NAMESPACE/PARTITION/OFFSET
        event_list.routes(parts),  # GET /events, /events/NAMESPACE
        table_rows.routes(parts),  # GET /rows/NAMESPACE, /rows/NAMESPACE/KEY
        projections.routes(parts),  # GET /projections/NAME, /projections/NAME/KEY
        set_aside.routes(parts),  # GET /parked, /parked/NAMESPACE/PARTITION/PLACE
        decisions.routes(parts),  # POST /parked/NAMESPACE/PARTITION/PLACE/DECISION
        waiting_lists.routes(parts),  # GET /waiting/timers, /waiting/calls
        views.routes(parts),  # GET /views/PATH
        change_stream.routes(parts),  # GET /live
        live.routes(parts),  # GET /live/NAMESPACE, /live/NAMESPACE/KEY
        health.routes(parts, metrics),  # GET /-/live, /-/ready, /-/health, /-/status, /-/metrics
        problem_pages.routes(),  # GET /-/problems, /-/problems/NAME
        registry.routes(parts),  # GET /schemas, /subjects, /config
    ):
        api.include_router(router, dependencies=permitted)
    if parts.config.site is not None:
        api.include_router(site_route(), dependencies=permitted)
        api.mount(SITE_PATH.rstrip("/"), SiteFiles(parts.config.site))
    problems.install(api)
    openapi.install(api, parts.app, token=parts.principals.needs_token)
    api.add_middleware(Console, parts=parts)
    api.add_middleware(Guard, parts=parts, metrics=metrics)
    if origins := origins_of(parts.config):
        allow_origins(api, origins)
    return api
