"""What a route is: its path, who answers, and the right that it asks for."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple

from starlette.requests import Request
from starlette.responses import Response

from streams.server.access.principal import READ_ALL, Kind, Right
from streams.server.http.access_checks import principal_of, require, some_namespaces
from streams.server.http.parts import parts_of
from streams.server.http.paths import escaped_path
from streams.server.http.views import match

Handler = Callable[[Request], Awaitable[Response]]
ANY: Final = "{any}"
"""In a right: to one namespace at least. The answer is about those that the principal has the right to."""


class RouteRight(NamedTuple):
    """`right` may have names of the path in braces; None: a known principal is enough. `is_open`: not even that is needed."""

    right: Right | None = None
    is_open: bool = False


class RouteEntry(NamedTuple):
    """`path` may have names in braces: `{name}` is a part without a slash, `{key:rest}` whatever follows."""

    method: str
    path: str
    handler: Handler
    right: RouteRight


KNOWN, OPEN, ALL_READ = RouteRight(), RouteRight(is_open=True), RouteRight(READ_ALL)


def needs(kind: Kind, of: str = "") -> RouteRight:
    return RouteRight(Right(kind, of))


def permit(request: Request, route: RouteRight) -> None:
    """Raises a 403 problem that names the right that is missing."""
    if route.is_open:
        return
    principal = principal_of(request)
    if route.right is None:
        return
    kind, of = route.right
    if "{" not in of:
        require(principal, route.right)
        return
    parts, names = parts_of(request), request.path_params
    if "{view}" in of:
        names = {"view": match(parts.app, escaped_path(request.scope)[1:].partition("/")[2])[0].path.strip("/")}
    if of.endswith(ANY):
        some_namespaces(principal, parts, kind, of.removesuffix(ANY))
    else:
        require(principal, Right(kind, of.format(**names)))
