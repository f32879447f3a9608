"""`GET /live`: that something has changed, as server-sent events. Pages look again when it says so."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from starlette.datastructures import State
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from streams.server.access.principal import Principal
from streams.server.http.access_checks import principal_of
from streams.server.http.live import ALIVE, STOP
from streams.server.http.parameters import known_params
from streams.server.http.parts import ServerParts, parts_of
from streams.server.http.stream_text import KEEP_ALIVE, MEDIA_TYPE, StreamEvent, text_of
from streams.server.http.watchers import Watcher, refuse_more_streams
from streams.server.readmodel.model import ReadModel
from streams.server.readmodel.notifier import until
from streams.server.readmodel.row_json import to_json

PACE = 0.25
"""s between two events, however much changes."""


async def changes(request: Request) -> Response:
    parts = parts_of(request)
    known_params(request.query_params.multi_items())
    refuse_more_streams(parts, principal_of(request))
    headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
    return StreamingResponse(_lines(parts, request.state), headers=headers, media_type=MEDIA_TYPE)


async def _lines(parts: ServerParts, client: State) -> AsyncIterator[bytes]:
    """One event at once, and then one for whatever has changed since the one before; as long as its client may watch."""
    model, watching = parts.model, Watcher(client.principal)
    parts.watching.add(watching)
    try:
        told, silent = None, 0.0
        while not parts.stopping.is_set() and client.lasts():
            if (now := _standing(model)) != told:
                told, silent = now, 0.0
                yield text_of([StreamEvent("", to_json({"positions": _positions(model, client.principal)}))])
                await asyncio.sleep(PACE)
                continue
            if not await _changed(model, told):
                silent += STOP
            if silent >= ALIVE:
                silent = 0.0
                yield KEEP_ALIVE
    finally:
        parts.watching.discard(watching)


async def _changed(model: ReadModel, told: object) -> bool:
    """Whether something changes soon."""
    return bool(await until(model.notifier, lambda: _standing(model) != told or None, STOP))


def _standing(model: ReadModel) -> tuple[Any, ...]:
    """Whatever a page may show changes with it."""
    markers = {at: (it.last, it.inbox_next) for at, it in model.markers.items()}
    logs = {at: model.log_position(at) for at in model.partitions()}
    told = dict(model.faults), dict(model.stopped), dict(model.rebuilding), dict(model.unbuilt)
    return markers, logs, model.waits, model.behind, *told


def _positions(model: ReadModel, principal: Principal) -> list[str]:
    """Of the logs that the principal may read whole: those of others would tell how much happens there."""
    names = {it for it in principal.some("read", "events/", model.tables) if it not in principal.only}
    return [f"{name}-{number}:{model.log_position((name, number))}" for name, number in model.partitions() if name in names]
