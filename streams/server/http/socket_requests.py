"""Requests over a WebSocket or by gRPC, asked of the API inside this process: each has the rights, limits and answers of HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple
from urllib.parse import quote, unquote

import msgspec
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Scope

from streams.server.http.problems import Problem
from streams.server.http.stream_text import MEDIA_TYPE as STREAM
from streams.server.http.stream_text import events_in

Pairs = Sequence[tuple[bytes, bytes]]
Begun = Callable[[], Awaitable[None]]
Tell = Callable[[dict[str, bytes]], Awaitable[None]]
KNOWN = "/-/problems"
"""An address that every known principal may ask for, and that costs nothing."""
NONE: Final = Headers()
WAITS_FOR_THREADS = {"spec_version": "2.3"}
"""As uvicorn says for HTTP. Of a later one Starlette sends a stream in the very task that is cancelled when a client stops it:
then what a thread reads would be closed while it reads."""


class InnerResponse(NamedTuple):
    """`body` is JSON. `state` is what the guard has found out."""

    status: int
    body: bytes
    state: Mapping[str, Any]
    headers: Headers = NONE


class SocketRequests:
    """`shown` are the headers in which the client showed who it is."""

    def __init__(self, app: ASGIApp, scope: Scope, shown: Pairs) -> None:
        self._app, self._scope, self._shown = app, scope, shown

    async def who(self) -> InnerResponse:
        """Whether the client is known."""
        return await self._ask("GET", KNOWN, (), Answering(b""))

    async def publish(self, event_type: str, data: bytes, key: str | None, wait: float | None) -> InnerResponse:
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(data))]
        headers += [(b"idempotency-key", key.encode("utf-8", "surrogatepass"))] if key is not None else []
        headers += [(b"prefer", b"wait=%.3f" % wait)] if wait is not None else []
        return await self._ask("POST", f"/events/{quote(event_type, safe='')}", headers, Answering(data))

    async def ask(self, method: str, url: str, headers: Pairs = (), body: bytes = b"") -> InnerResponse:
        """Of any route that answers with JSON."""
        return await self._ask(method, url, headers, Answering(body))

    async def watch(self, url: str, after: str | None, begun: Begun, tell: Tell) -> InnerResponse:
        """Until the stream ends, or the task is cancelled. `begun` is called first, if there is one; else it is a problem."""
        headers = [(b"accept", STREAM.encode())]
        headers += [(b"last-event-id", after.encode("latin-1", "replace"))] if after else []
        streaming = Streaming(begun, tell)
        answer = await self._ask("GET", url, headers, streaming)
        if streaming.is_stream or answer.status >= 400:
            return answer
        problem = Problem(406, f"{url[:200]} is no stream; one was expected", field="url")
        return InnerResponse(problem.status, msgspec.json.encode(problem.body(url)), answer.state)

    async def _ask(self, method: str, url: str, headers: Pairs, answering: Answering) -> InnerResponse:
        path, _, query = url.partition("?")
        scope: Scope = {
            "type": "http", "asgi": {**self._scope["asgi"], **WAITS_FOR_THREADS}, "http_version": "1.1", "method": method,
            "scheme": "https" if self._scope["scheme"] == "wss" else "http", "server": self._scope["server"],
            "client": self._scope["client"], "root_path": "", "path": unquote(path), "raw_path": path.encode("ascii"),
            "query_string": query.encode("ascii"), "headers": [*self._shown, *headers], "state": {},
        }  # fmt: skip
        await self._app(scope, answering.receive, answering.send)
        return InnerResponse(answering.status, b"".join(answering.parts) or b"null", scope["state"], answering.headers)


class Answering:
    """Gives a request its body, and takes the answer."""

    def __init__(self, body: bytes) -> None:
        self.status, self.headers, self.parts = 0, NONE, list[bytes]()
        self._body: bytes | None = body

    async def receive(self) -> Message:
        if self._body is None:
            await asyncio.Event().wait()  # whoever is gone is cancelled
        body, self._body = self._body, None
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status, self.headers = message["status"], Headers(raw=message["headers"])
        else:
            self.parts.append(message.get("body", b""))


class Streaming(Answering):
    """Takes a stream, event by event, or a problem; of any other answer nothing."""

    def __init__(self, begun: Begun, tell: Tell) -> None:
        super().__init__(b"")
        self._begun, self._tell, self.is_stream = begun, tell, False

    async def send(self, message: Message) -> None:
        try:
            await self._take(message)
        except OSError:
            raise ClientDisconnect from None

    async def _take(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            await super().send(message)
            self.is_stream = self.status == 200 and self.headers.get("content-type", "").startswith(STREAM)
            if self.is_stream:
                await self._begun()
        elif self.is_stream:
            for event in events_in(message.get("body", b"")):
                await self._tell(event)
        elif self.status >= 400:
            await super().send(message)
