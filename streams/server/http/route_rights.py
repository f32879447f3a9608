"""Which right a route asks for: one table. A route that is not in it is refused to everyone."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Final, NamedTuple

from fastapi import Request

from streams.server.access.principal import ADMIN, READ_ALL, Kind, Right
from streams.server.http.access_checks import principal_of, require, some_namespaces
from streams.server.http.parts import ServerParts
from streams.server.http.paths import escaped_path
from streams.server.http.views import match

ANY: Final = "{any}"
"""In a right: to one namespace at least. The answer is about those that the principal has the right to."""


class RouteRight(NamedTuple):
    """`right` may have names of the path in braces; None: a known principal is enough. `is_open`: not even that is needed."""

    right: Right | None = None
    is_open: bool = False


KNOWN, OPEN = RouteRight(), RouteRight(is_open=True)


def _needs(kind: Kind, of: str = "") -> RouteRight:
    return RouteRight(Right(kind, of))


PUBLISHING: Final = "POST /events/{event_type}"
VIEW: Final = "GET /views/{path:rest}"
ROUTE_RIGHTS: Final[Mapping[str, RouteRight]] = {
    "GET /": KNOWN,  # about the namespaces of which it may see anything
    "GET /openapi.json": KNOWN,
    "GET /asyncapi.json": KNOWN,
    "GET /app": OPEN,  # where it leads are files, which show nothing that they do not ask for
    "POST /events": KNOWN,  # each line is checked
    PUBLISHING: _needs("publish", "{event_type}"),
    "POST /what-if": RouteRight(READ_ALL),
    "GET /events": _needs("read", f"events/{ANY}"),
    "GET /events/{namespace}": _needs("read", "events/{namespace}"),
    "GET /events/{event:rest}/story": RouteRight(READ_ALL),
    "GET /events/{namespace}/{partition}/{offset}": KNOWN,  # also for who may publish such an event
    "GET /rows": KNOWN,  # those that it may read
    "GET /rows/{namespace}": _needs("read", "rows/{namespace}"),
    "GET /rows/{namespace}/{key:rest}": _needs("read", "rows/{namespace}"),
    "GET /rows/{namespace}/{key:rest}/story": _needs("read", "rows/{namespace}"),  # for the story itself: all
    "GET /projections": KNOWN,  # those that it may read
    "GET /projections/{name}": _needs("read", "projections/{name}"),
    "GET /projections/{name}/{key:rest}": _needs("read", "projections/{name}"),
    VIEW: _needs("read", "views/{view}"),
    "GET /parked": _needs("operate", ANY),
    "GET /parked/{namespace}/{partition}/{place}": _needs("operate", "{namespace}"),
    "POST /parked/{namespace}/{partition}/{place}/{decision}": _needs("operate", "{namespace}"),
    "GET /waiting/timers": _needs("read", f"events/{ANY}"),
    "GET /waiting/calls": _needs("read", f"events/{ANY}"),
    "GET /live": KNOWN,  # it tells positions alone
    "GET /live/{namespace}": _needs("read", "events/{namespace}"),
    "GET /live/{namespace}/{key:rest}": _needs("read", "events/{namespace}"),
    "GET /-/live": OPEN,
    "GET /-/ready": OPEN,
    "GET /-/health": OPEN,
    "GET /-/status": RouteRight(ADMIN),
    "GET /-/metrics": RouteRight(ADMIN),
    "GET /-/problems": KNOWN,
    "GET /-/problems/{name}": KNOWN,
    "GET /schemas/ids/{schema_id}": KNOWN,
    "GET /schemas/ids/{schema_id}/schema": KNOWN,
    "GET /schemas/ids/{schema_id}/versions": KNOWN,
    "GET /schemas/types": KNOWN,
    "GET /config": KNOWN,
    "GET /subjects": KNOWN,
    "GET /subjects/{subject}/versions": KNOWN,
    "GET /subjects/{subject}/versions/{version}": KNOWN,
}
"""By method and path. Each event has a route of its own to publish it, which is `PUBLISHING`."""


def permitting(parts: ServerParts) -> Callable[[Request], Awaitable[None]]:
    """A dependency of all routes. It raises a 403 problem that names the right that is missing."""

    async def permit(request: Request) -> None:
        route, names = table_entry(request.method, request.scope["route"].path, request.path_params)
        if route.is_open:
            return
        principal = principal_of(request)
        if route.right is None:
            return
        kind, of = route.right
        if "{view}" in of:
            names = {"view": match(parts.app, escaped_path(request.scope)[1:].partition("/")[2])[0].path.strip("/")}
        if of.endswith(ANY):
            some_namespaces(principal, parts, kind, of.removesuffix(ANY))
        else:
            require(principal, Right(kind, of.format(**names)))

    return permit


def table_entry(method: str, path: str, names: Mapping[str, str]) -> tuple[RouteRight, Mapping[str, str]]:
    """The entry of a route, and the names that its right may have. Raises KeyError for a route without one."""
    entry, before = f"{method} {path}", PUBLISHING.partition("{")[0]
    if entry not in ROUTE_RIGHTS and entry.startswith(before):
        return ROUTE_RIGHTS[PUBLISHING], {"event_type": entry.removeprefix(before)}
    return ROUTE_RIGHTS[entry], names
