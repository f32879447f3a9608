"""The table's routes as Starlette's: each asks for its right first, and all are found by the first step of a path."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Match, Route
from starlette.types import Receive, Scope, Send

from streams.server.http.route_entry import Handler, RouteEntry, permit


class TableRoute(Route):
    """`names` are those of its path that stand in no braces; `is_told`: the OpenAPI tells of it."""

    def __init__(self, entry: RouteEntry, *, is_told: bool, names: Mapping[str, str] | None = None) -> None:
        super().__init__(entry.path, _permitted(entry), methods=[entry.method], include_in_schema=is_told)
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


class RouteIndex(BaseRoute):
    """Routes in their order; of these only those are tried whose first step is that of the path, a tenth of all."""

    def __init__(self, routes: Iterable[TableRoute]) -> None:
        self.routes = [*routes]
        self._by_step: dict[str, list[TableRoute]] = {}
        for route in self.routes:
            self._by_step.setdefault(_first_step(route.path), []).append(route)

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """As Starlette's router: the first that takes path and method, else the first that takes the path."""
        partial: tuple[Match, Scope] = Match.NONE, {}
        if scope["type"] != "http":
            return partial
        for route in self._by_step.get(_first_step(scope["path"]), ()):
            found, of_route = route.matches(scope)
            if found is Match.FULL:
                return found, {**of_route, "route": route}
            if found is Match.PARTIAL and partial[0] is Match.NONE:
                partial = found, {**of_route, "route": route}
        return partial

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        await scope["route"].handle(scope, receive, send)

    def at(self, scope: Scope) -> list[TableRoute]:
        """Those of a path, for any method."""
        return [it for it in self._by_step.get(_first_step(scope["path"]), ()) if it.matches(scope)[0] is not Match.NONE]


def _first_step(path: str) -> str:
    """`rows` of `/rows/order`. No route has a name there. A line feed at the end counts for nothing, as in Starlette's routes."""
    return path[1:].partition("/")[0].removesuffix("\n")
