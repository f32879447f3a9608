"""Asks the API inside this process: a page is made of the answers that a client would get."""

from __future__ import annotations

from typing import Any, NamedTuple
from urllib.parse import unquote

import msgspec
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope

from streams.server.access.principal import Principal

NOT_PASSED = frozenset({b"accept", b"if-none-match", b"if-match", b"content-type", b"content-length", b"accept-encoding"})
"""Headers of the outer request that are about its own answer or its own body."""


class InnerAnswer(NamedTuple):
    """An answer of the API."""

    status: int
    headers: Headers
    body: bytes

    @property
    def is_good(self) -> bool:
        return self.status < 400

    @property
    def value(self) -> Any:
        return msgspec.json.decode(self.body)

    @property
    def lines(self) -> list[Any]:
        """Of an answer with one JSON value a line."""
        return [msgspec.json.decode(line) for line in self.body.splitlines()]


class InnerApi:
    """The API as one request may ask it: with the rights of that request."""

    def __init__(self, app: ASGIApp, scope: Scope, receive: Receive) -> None:
        self._app, self._scope, self._receive = app, scope, receive

    @property
    def origin(self) -> str:
        """Where the request was sent to, such as `http://127.0.0.1:8080`."""
        return f"{self._scope['scheme']}://{Headers(scope=self._scope).get('host', '')}"

    @property
    def principal(self) -> Principal:
        """Who asks; a stranger gets no page."""
        found: Principal = self._scope["state"]["principal"]
        return found

    async def get(self, path: str, query: str = "") -> InnerAnswer:
        """`path` is percent-encoded."""
        return await self.ask("GET", path, query)

    async def post(self, path: str, body: Any, headers: dict[str, str] | None = None) -> InnerAnswer:
        """With `body` as JSON."""
        return await self.ask("POST", path, "", msgspec.json.encode(body), headers)

    async def ask(
        self, method: str, path: str, query: str = "", body: bytes = b"", headers: dict[str, str] | None = None
    ) -> InnerAnswer:
        scope = self._inner(method, path, query, body, headers or {})
        status, found, parts, given = 0, Headers(), list[bytes](), False

        async def receive() -> Message:
            nonlocal given
            if given:
                return await self._receive()
            given = True
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: Message) -> None:
            nonlocal status, found
            if message["type"] == "http.response.start":
                status, found = message["status"], Headers(raw=message["headers"])
            else:
                parts.append(message.get("body", b""))

        await self._app(scope, receive, send)
        if "route" in scope:  # so that the page counts as what it shows
            self._scope.setdefault("route", scope["route"])
        return InnerAnswer(status, found, b"".join(parts))

    def _inner(self, method: str, path: str, query: str, body: bytes, headers: dict[str, str]) -> Scope:
        passed = [pair for pair in self._scope["headers"] if pair[0] not in NOT_PASSED]
        own = {"accept": "application/json", **headers}
        if body:
            own |= {"content-type": "application/json", "content-length": str(len(body))}
        return {
            **{name: value for name, value in self._scope.items() if name != "route"},
            "method": method,
            "path": unquote(path),
            "raw_path": path.encode("ascii"),
            "query_string": query.encode("ascii"),
            "headers": [*passed, *((name.lower().encode(), value.encode("latin-1")) for name, value in own.items())],
        }
