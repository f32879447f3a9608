"""Calls gateways in memory, and makes headers of inbox records."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from streams.app import App
from streams.data import EventData
from streams.engine.envelope import CONTENT_TYPE
from streams.engine.records import Headers
from streams.event import Event
from streams.gateway import Gateway

Answers = Callable[[Event[Any]], EventData | None]
"""What a gateway answers to a request; None: that is not known."""


def ask(gateway: Gateway[Any], request: Event[Any]) -> EventData:
    """The gateway's answer, also where an event loop runs, as in an asynchronous test. Raises whatever the call raised."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(_ask(gateway, request))
    with ThreadPoolExecutor(1) as beside:
        return beside.submit(lambda: asyncio.run(_ask(gateway, request))).result()


async def _ask(gateway: Gateway[Any], request: Event[Any]) -> EventData:
    return await gateway.call(request)


def answering(app: App, answers: Answers) -> App:
    """The application with gateways that call nobody."""
    gateways = [Gateway(it.data, _call(answers), answers=it.answers, undo=it.undo, undone_by=it.undone_by) for it in app.gateways]
    return replace(app, gateways=gateways)


def _call(answers: Answers) -> Callable[[Event[Any]], Awaitable[EventData]]:
    async def call(request: Event[Any]) -> EventData:
        answer = answers(request)
        if answer is None:
            raise LookupError(f"no answer to {request.data.event_type} of {request.key!r} is given")
        return answer

    return call


def headers_of(data: EventData, event_id: str, source: str, time: bytes) -> Headers:
    """CloudEvents headers; `time` in ISO 8601 with a zone."""
    return [
        ("ce_specversion", b"1.0"),
        ("ce_id", event_id.encode()),
        ("ce_type", data.event_type.encode()),
        ("ce_source", source.encode()),
        ("ce_time", time),
        ("content-type", CONTENT_TYPE),
    ]
