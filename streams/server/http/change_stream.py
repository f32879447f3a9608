"""`GET /live`: that something has changed, as server-sent events. Pages look again when it says so."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response
from fastapi.sse import KEEPALIVE_COMMENT, EventSourceResponse, format_sse_event

from streams.server.http import overview_spec
from streams.server.http.live import ALIVE, MOST_STREAMS, RETRY, STOP
from streams.server.http.parameters import known_params
from streams.server.http.parts import ServerParts
from streams.server.http.problems import RETRY_AFTER, Problem
from streams.server.readmodel.model import ReadModel
from streams.server.readmodel.notifier import until
from streams.server.readmodel.row_json import to_json

PACE = 0.25
"""s between two events, however much changes."""


def routes(parts: ServerParts) -> APIRouter:
    router = APIRouter(tags=["live"])

    @router.get("/live", response_class=Response, openapi_extra=overview_spec.changing(), summary="That something has changed")
    async def changes(request: Request) -> Response:
        known_params(request.query_params.multi_items())
        if len(parts.watching) >= MOST_STREAMS:
            raise Problem(503, f"{MOST_STREAMS} clients watch already; this server takes no more", headers=RETRY_AFTER)
        headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
        return EventSourceResponse(_lines(parts, request.state.lasts), headers=headers)

    return router


async def _lines(parts: ServerParts, lasts: Callable[[], bool]) -> AsyncIterator[bytes]:
    """One event at once, and then one for whatever has changed since the one before; as long as its client may watch."""
    model, watching = parts.model, object()
    parts.watching.add(watching)
    try:
        told, silent = None, 0.0
        while not parts.stopping.is_set() and lasts():
            if (now := _standing(model)) != told:
                told, silent = now, 0.0
                yield format_sse_event(retry=RETRY, data_str=to_json({"positions": _positions(model)}).decode())
                await asyncio.sleep(PACE)
                continue
            if not await _changed(model, told):
                silent += STOP
            if silent >= ALIVE:
                silent = 0.0
                yield KEEPALIVE_COMMENT
    finally:
        parts.watching.discard(watching)


async def _changed(model: ReadModel, told: object) -> bool:
    """Whether something changes soon."""
    return bool(await until(model.notifier, lambda: _standing(model) != told or None, STOP))


def _standing(model: ReadModel) -> tuple[Any, ...]:
    """Whatever a page may show changes with it."""
    markers = {at: (it.last, it.inbox_next) for at, it in model.markers.items()}
    logs = {at: model.log_position(at) for at in model.partitions()}
    return markers, logs, model.waits, model.behind, dict(model.faults), dict(model.stopped), dict(model.rebuilding)


def _positions(model: ReadModel) -> list[str]:
    return [f"{name}-{number}:{model.log_position((name, number))}" for name, number in model.partitions()]
