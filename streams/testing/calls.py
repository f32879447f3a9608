"""Gateways asked in memory, and events as inbox records."""

from __future__ import annotations

import asyncio
from typing import Any

from streams.data import EventData
from streams.engine.envelope import CONTENT_TYPE, from_micros
from streams.engine.identity import answer_id
from streams.engine.records import Call, Headers
from streams.errors import InvalidEvent
from streams.gateway import Gateway


def ask(gateway: Gateway[Any], call: Call) -> EventData:
    """The answer. Raises whatever the call raised, and InvalidEvent for an answer that it may not give."""
    return asyncio.run(_ask(gateway, call))


async def _ask(gateway: Gateway[Any], call: Call) -> EventData:
    request = call.event
    answer = await gateway.call(request)
    subject = f"the gateway of {request.data.event_type}"
    if type(answer) not in gateway.answers:
        declare = "add it to its answers=[…]"
        raise InvalidEvent(f"{subject} answered {type(answer).__name__}, which it does not declare: {declare}")
    if answer.key != request.key:
        raise InvalidEvent(
            f"{subject} was asked about {request.key!r} and answered about {answer.key!r}: "
            "an answer belongs to the request's key"
        )
    return answer


def headers_of(data: EventData, event_id: str, source: str, time: str) -> Headers:
    """CloudEvents' own; `time` in ISO 8601 with a zone."""
    return [
        ("ce_specversion", b"1.0"),
        ("ce_id", event_id.encode()),
        ("ce_type", data.event_type.encode()),
        ("ce_source", source.encode()),
        ("ce_time", time.encode()),
        ("content-type", CONTENT_TYPE),
    ]


def answer_headers(answer: EventData, call: Call, source: str, time: str, hops: int) -> Headers:
    """The answer's id comes from its request alone: two owners cannot both be believed."""
    request = call.event
    return [
        *headers_of(answer, answer_id(request.id), source, time),
        ("ce_causationid", request.id.encode()),
        ("ce_causetime", from_micros(call.recorded).isoformat().encode()),
        ("ce_correlationid", (request.correlation or request.id).encode()),
        ("ce_hops", b"%d" % hops),
    ]
