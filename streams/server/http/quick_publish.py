"""Publishes in a quick way what asks for nothing unusual: its headers are looked through once, and no route is searched.

All else is left to the careful way (`write.publish`), before anything has happened; a test compares what both answer. The guard
stands before both, and both check the data, publish and answer with the same functions: read the careful way to know what is done.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from streams.engine.attributes import TRACEPARENT
from streams.server.access.principal import Principal, Right
from streams.server.http.parts import ServerParts
from streams.server.http.requests import CLOUD_EVENT, JSON, LONGEST_WAIT, read_asked
from streams.server.http.write import SMALL, EventEndpoint

NOT_READ: Final = frozenset({
    b"accept", b"accept-encoding", b"accept-language", b"authorization", b"cache-control", b"connection", b"content-length",
    b"cookie", b"dnt", b"forwarded", b"host", b"origin", b"pragma", b"priority", b"referer", b"sec-ch-ua", b"sec-ch-ua-mobile",
    b"sec-ch-ua-platform", b"sec-fetch-dest", b"sec-fetch-mode", b"sec-fetch-site", b"tracestate", b"user-agent", b"via",
    b"x-forwarded-for", b"x-forwarded-host", b"x-forwarded-proto", b"x-real-ip", b"x-request-id",
})  # fmt: skip
"""Headers of a POST that nobody reads here, or the guard alone, which has done so."""
KINDS: Final = {
    b"application/json": JSON, b"application/json; charset=utf-8": JSON, b"application/cloudevents+json": CLOUD_EVENT,
}  # fmt: skip
WAIT: Final = re.compile(rb"wait=([0-9]{1,9}(?:\.[0-9]{1,9})?)")


class QuickHead(NamedTuple):
    """What the headers say: the media type, for how long to wait, and the trace."""

    kind: str
    seconds: float | None = None
    trace: str | None = None


class QuickRoute(NamedTuple):
    """Where events of a type are published: who does it, the right that it takes, and the route that is counted."""

    endpoint: EventEndpoint
    right: Right
    counted: object


def quick_head(headers: Iterable[tuple[bytes, bytes]]) -> QuickHead | None:
    """None if there is a header that the careful way is to read, or one twice."""
    kind, seconds, trace = "", None, None
    for name, value in headers:
        if name in NOT_READ:
            continue
        if name == b"content-type" and not kind and value in KINDS:
            kind = KINDS[value]
        elif name == b"prefer" and seconds is None and (wait := WAIT.fullmatch(value)) is not None:
            seconds = min(float(wait[1]), LONGEST_WAIT)
        elif name == b"traceparent" and trace is None and TRACEPARENT.fullmatch(text := value.decode("latin-1")):
            trace = text
        else:
            return None
    return QuickHead(kind, seconds, trace) if kind else None


class QuickPublishing:
    """Stands between the guard and the rest. `counted` are the routes by their paths."""

    def __init__(
        self, app: ASGIApp, parts: ServerParts, endpoints: Mapping[str, EventEndpoint], counted: Mapping[str, object]
    ) -> None:
        self._app, self._model, self._most = app, parts.model, min(SMALL, parts.config.max_event_bytes)
        self._at = {
            path: QuickRoute(endpoint, Right("publish", name), counted[path])
            for name, endpoint in endpoints.items() if (path := f"/events/{name}") in counted
        }  # fmt: skip

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        route = self._at.get(scope["path"]) if scope.get("method") == "POST" else None
        head = None if route is None else self._head(scope, route.right)
        if route is None or head is None:
            await self._app(scope, receive, send)
            return
        message = await receive()
        if message["type"] != "http.request" or message.get("more_body", False) or len(message["body"]) > self._most:
            await self._app(scope, _again(message, receive), send)
            return
        scope["route"] = route.counted
        principal, endpoint = scope["state"]["principal"], route.endpoint
        wanted = endpoint.check(read_asked(head.kind, message["body"], route.right.of), principal)
        receipt = await endpoint.published(wanted, wanted.asked.id, wanted.asked.traceparent or head.trace)
        response = await endpoint.answer(receipt, head.seconds, principal)
        await response(scope, receive, send)

    def _head(self, scope: Scope, right: Right) -> QuickHead | None:
        """None for a request that is not to be answered here."""
        principal: Principal | None = scope["state"]["principal"]
        if principal is None or scope["query_string"] or not principal.may(right):
            return None
        head = quick_head(scope["headers"])
        return None if head is None or (head.seconds is not None and self._model.waits is not None) else head


def _again(message: Message, receive: Receive) -> Receive:
    """Gives what was received already, then the rest."""
    given: list[Message] = [message]

    async def receiving() -> Message:
        return given.pop() if given else await receive()

    return receiving
