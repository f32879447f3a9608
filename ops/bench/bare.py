"""What a server is compared with: a bare Starlette application with a dict. `python -m ops.bench.bare PORT`."""

from __future__ import annotations

import sys
from typing import Any

import msgspec
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

JSON = "application/json"
KEPT: dict[str, Any] = {}


async def post(request: Request) -> Response:
    data = msgspec.json.decode(await request.body())
    KEPT[data["user"]] = data
    return Response(msgspec.json.encode({"key": data["user"]}), 202, media_type=JSON)


async def row(request: Request) -> Response:
    found = KEPT.get(request.path_params["key"])
    return Response(msgspec.json.encode(found), 404 if found is None else 200, media_type=JSON)


async def ready(_: Request) -> Response:
    return Response(b"{}", media_type=JSON)


def main() -> None:
    routes = [
        Route("/events/bench.signup", post, methods=["POST"]), Route("/rows/bench/{key:path}", row), Route("/-/ready", ready),
    ]  # fmt: skip
    uvicorn.run(Starlette(routes=routes), port=int(sys.argv[1]), http="httptools", log_level="warning", access_log=False)


if __name__ == "__main__":
    main()
