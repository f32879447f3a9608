"""`GET /-/live`, `/-/ready`, `/-/health`, `/-/status` and `/-/metrics`: for operating an application.

The first three need no token. They tell a stranger no more than the state.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST
from starlette.requests import Request
from starlette.responses import Response

from streams.errors import BrokerError
from streams.kafka.alarms import worst
from streams.server.access.principal import ADMIN
from streams.server.http.metrics import Metrics
from streams.server.http.parameters import known_params
from streams.server.http.parts import ServerParts, parts_of
from streams.server.http.pools import in_thread
from streams.server.http.problems import RETRY_AFTER, Problem
from streams.server.http.server_checks import all_checks
from streams.server.readmodel.row_json import to_json

MOST_UNREADABLE = 100
"""The most rows of a table that are told not to be readable."""


async def live(request: Request) -> Response:
    known_params(request.query_params.multi_items())
    return Response(to_json({"status": "live"}), media_type="application/json")


async def ready(request: Request) -> Response:
    known_params(request.query_params.multi_items())
    model = parts_of(request).model
    if (model.waits or model.behind) is not None or "broker" in model.faults:
        raise Problem(503, "this server cannot answer now; /-/status says why", headers=RETRY_AFTER)
    return Response(to_json({"status": "ready"}), media_type="application/json")


async def health(request: Request) -> Response:
    known_params(request.query_params.multi_items())
    found = all_checks(parts_of(request))
    body: dict[str, Any] = {"state": worst(found)}
    if (principal := request.state.principal) is not None and principal.may(ADMIN):
        body["checks"] = [asdict(each) for each in found if each.state != "good"]
    if body["state"] == "bad":
        raise Problem(503, "the application needs an operator; /-/status says why", headers=RETRY_AFTER, **body)
    return Response(to_json({"status": "ready", **body}), media_type="application/json")


async def status(request: Request) -> Response:
    known_params(request.query_params.multi_items())
    parts = parts_of(request)
    try:
        found = await in_thread(parts.pools.kafka, parts.archive.status)
    except BrokerError as error:
        server = await in_thread(parts.pools.memory, _server, parts)
        raise Problem(error.status, str(error), headers=RETRY_AFTER, server=server) from None
    spaces = [{**asdict(space), "lag": space.lag} for space in found.namespaces]
    body = {
        "checks": [asdict(each) for each in all_checks(parts) if each.state != "good"],
        "application": parts.app.name,
        "broker": found.broker,
        "prefix": found.prefix,
        "namespaces": spaces,
        "open_transactions": [asdict(each) for each in found.open_transactions],
        "wrong_settings": [*found.wrong_settings],
        "server": await in_thread(parts.pools.memory, _server, parts),
    }
    return Response(to_json(body), media_type="application/json")


async def figures(request: Request) -> Response:
    known_params(request.query_params.multi_items())
    metrics: Metrics = request.app.state.metrics
    parts = parts_of(request)
    return Response(await in_thread(parts.pools.memory, metrics.text, parts.link), media_type=CONTENT_TYPE_LATEST)


def _server(parts: ServerParts) -> dict[str, Any]:
    """The server's own status. It counts rows, so it runs in a thread."""
    model = parts.model
    sizes, unreadable = model.sizes(), model.unreadable(MOST_UNREADABLE)
    return {
        "waits": model.waits or model.behind,
        "faults": list(model.faults.values()),
        "rows": {name: sizes.get(name, 0) for name in model.tables},
        "unreadable": unreadable,
        "projections": {
            name: {
                "rows": sizes.get(name, 0), "fault": model.stopped.get(name), "uncorrected": model.remade.uncorrected.get(name)
            } for name in model.projected
        },
        "positions": [f"{name}-{n}:{last.last}" for (name, n), last in sorted(model.markers.items())],
        "lag": sum(model.lags.values()),
        "streams": len(parts.watching),
    }
