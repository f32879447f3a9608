"""What Starlette makes of errors that routes and routing raise: problems."""

from __future__ import annotations

import sqlite3
from typing import Final

from confluent_kafka import KafkaException
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from streams.errors import StreamsError
from streams.server.http.guard import PAGES_ALONE
from streams.server.http.problems import Problem, is_stream, problem_of
from streams.server.http.route_index import RouteIndex
from streams.server.http.web_sockets import PATH as SOCKET
from streams.server.http.web_sockets import PROTOCOL
from streams.server.readmodel.store_readers import StoreAway

UPGRADE: Final = {"Upgrade": "websocket", "Connection": "Upgrade"}


def _methods_at(request: Request, path: str | None = None) -> list[str]:
    """Of all routes of this path: the one that refused knows its own alone. The guard answers HEAD where there is GET.

    One of this very path hides those with names in theirs, and one that the OpenAPI does not tell of says only what is wrong.
    """
    scope = request.scope if path is None else {**request.scope, "path": path}
    routes = [it for index in request.app.routes if isinstance(index, RouteIndex) for it in index.at(scope)]
    told = [it for it in routes if it.include_in_schema]
    exact = [it for it in told if "{" not in it.path]
    found = {method for it in exact or told or routes for method in it.methods or ()}
    return sorted(found | ({"HEAD"} if "GET" in found and not is_stream(request.url.path) else set()))


def _nothing_at(request: Request) -> Problem:
    """With the address that is meant, if only a slash is too much: it may be the end of a key, so nobody is led there."""
    path = request.url.path
    if path == SOCKET:
        return Problem(426, f"{path} is a WebSocket; a handshake with the subprotocol {PROTOCOL} was expected", headers=UPGRADE)
    if f"{path}/".startswith("/app/"):
        why = "this server has no front end, or none with such a file: the setting `site`, or --site, names its folder"
        return Problem(404, f"there is nothing at {path}; {why}")
    near = path.rstrip("/")
    meant = near != path and (near in PAGES_ALONE or bool(_methods_at(request, near)))
    return Problem(404, f"there is nothing at {path}; {f'did you mean {near}?' if meant else '/openapi.json lists what there is'}")


async def answer_error(request: Request, error: Exception) -> Response:
    """Errors of routes and of routing as problems; the guard answers unexpected ones."""
    problem = problem_of(error)
    if isinstance(error, HTTPException) and error.status_code == 404:
        problem = _nothing_at(request)
    elif isinstance(error, HTTPException) and error.status_code == 405:
        allowed = problem.headers["Allow"] = ", ".join(_methods_at(request)) or problem.headers.get("Allow", "another method")
        problem.detail = f"{request.method} is not possible at {request.url.path}; {allowed} is"
    return problem.response(request.url.path)


ERRORS: Final = (Problem, StreamsError, HTTPException, KafkaException, StoreAway, sqlite3.Error)
"""What `answer_error` answers."""
