"""Calls gateways in memory, and makes headers of inbox records."""

from __future__ import annotations

import asyncio
from typing import Any

from streams.data import EventData
from streams.engine.envelope import CONTENT_TYPE
from streams.engine.records import Headers
from streams.event import Event
from streams.gateway import Gateway


def ask(gateway: Gateway[Any], request: Event[Any]) -> EventData:
    """The gateway's answer. Raises whatever the call raised."""
    return asyncio.run(_ask(gateway, request))


async def _ask(gateway: Gateway[Any], request: Event[Any]) -> EventData:
    return await gateway.call(request)


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
