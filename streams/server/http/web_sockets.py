"""`/ws`: streams and events over one connection, both ways. What is asked is JSON, an object a message, as is what is told.

Each is asked of the API as a request would be, so rights, limits and problems are those of HTTP.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, Final

import msgspec
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from streams.errors import UNREADABLE_JSON
from streams.server.http.cross_origin import is_ours, origins_of
from streams.server.http.handed_over import HANDED_OVER
from streams.server.http.parts import ServerParts
from streams.server.http.problems import Problem
from streams.server.http.socket_requests import InnerResponse, SocketRequests

PATH: Final = "/ws"
PROTOCOL: Final = "retold.v1"
MOST_WATCHES: Final = 100
MOST_AT_ONCE: Final = 16
"""Events that are being published, and not answered yet."""
HELLO: Final = 10.0
"""s in which a client shows its token."""
LOOK_EVERY: Final = 0.5
URL: Final = re.compile(r"/[!-~]{0,8000}")
GOING_AWAY, WRONG, SLOW = 1001, 1008, 1013
"""Why a connection is closed: the server stops; who the client is does not count (any more); it takes too little."""


class SocketRequest(msgspec.Struct, forbid_unknown_fields=True):
    """`op` is hello (with `token`), watch (`url`, `after`), publish (`type`, `data`, `key`, `wait`) or stop. `id` names it."""

    op: str
    id: int | None = None
    token: str = ""
    url: str = ""
    after: str | None = None
    type: str = ""
    data: msgspec.Raw = msgspec.Raw(b"null")
    key: str | None = None
    wait: float | None = None


class WebSockets:
    """Answers WebSockets before the API, and leaves the rest to it."""

    def __init__(self, app: ASGIApp, parts: ServerParts) -> None:
        self._app, self._parts, self._origins = app, parts, origins_of(parts.config)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "websocket":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        try:
            requests, known = await self._asked(scope, headers)
        except Problem as problem:
            await receive()
            await _deny(problem, scope["path"], send)
            return
        await receive()
        await send({"type": "websocket.accept", "subprotocol": PROTOCOL, "headers": []})
        await SocketClient(self._app, scope, self._parts.stopping.is_set, receive, send).run(requests, known)

    async def _asked(self, scope: Scope, headers: Headers) -> tuple[SocketRequests, InnerResponse]:
        """Who asks, as far as the handshake says it. Raises Problem."""
        if scope["path"] != PATH:
            raise Problem(404, f"there is no WebSocket at {scope['path'][:100]}; {PATH} is one")
        if PROTOCOL not in scope["subprotocols"]:
            raise Problem(400, f"the subprotocol {PROTOCOL} was expected", field="Sec-WebSocket-Protocol")
        origin, host = headers.get("origin"), headers.get("host", "")
        ours = is_ours(origin, host)
        if not ours and origin not in self._origins:
            site = (origin or "")[:100]
            raise Problem(403, f"a page of another site, {site!r}, asks for a WebSocket; RETOLD_HTTP_ORIGINS may name it")
        shown = [(b"host", host.encode("latin-1"))]
        shown += [(name, value) for name, value in scope["headers"] if name == b"authorization" or (name == b"cookie" and ours)]
        requests = SocketRequests(self._app, scope, shown)
        known = await requests.who()
        if known.status not in (200, 303, 401):
            body = msgspec.json.decode(known.body)
            raise Problem(known.status, body["detail"])
        return requests, known


async def _deny(problem: Problem, path: str, send: Send) -> None:
    answer = problem.response(path)
    await send({"type": "websocket.http.response.start", "status": answer.status_code, "headers": answer.raw_headers})
    await send({"type": "websocket.http.response.body", "body": answer.body, "more_body": False})


class SocketClient:
    """One connection that was accepted."""

    def __init__(self, app: ASGIApp, scope: Scope, stops: Callable[[], bool], receive: Receive, send: Send) -> None:
        self._app, self._scope, self._stops, self._receive, self._send = app, scope, stops, receive, send
        self._sending = asyncio.Lock()
        self._watches: dict[int, asyncio.Task[None]] = {}
        self._places: dict[int, str] = {}
        self._publishing: set[asyncio.Task[None]] = set()
        self._last_begun: asyncio.Event | None = None
        """Set once the last event that was sent has its place before the next."""
        self._closing: asyncio.Future[tuple[int, str]] = asyncio.get_running_loop().create_future()

    async def run(self, requests: SocketRequests, known: InnerResponse) -> None:
        try:
            self._requests, self._lasts = requests, known.state.get("lasts", lambda: False)
            if known.status == 200 or await self._hello():
                await self._serve()
            if self._closing.done():
                await self._close(*self._closing.result())
        except OSError:
            pass  # the client is gone
        finally:
            tasks = [*self._watches.values(), *self._publishing]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _hello(self) -> bool:
        """Whether the first message shows a token that counts."""
        message: Message = {}
        with suppress(TimeoutError):
            message = await asyncio.wait_for(self._receive(), HELLO)
        asked = _read(message)
        if asked is None or asked.op != "hello" or not asked.token.isascii():
            self._end(WRONG, 'the first message is {"op": "hello", "token": …}')
            return False
        shown = [(b"host", Headers(scope=self._scope).get("host", "").encode("latin-1"))]
        shown.append((b"authorization", b"Bearer " + asked.token.encode()))
        self._requests = SocketRequests(self._app, self._scope, shown)
        known = await self._requests.who()
        await self._answer(asked.id, known)
        self._lasts = known.state.get("lasts", lambda: False)
        if known.status != 200:
            self._end(WRONG, "the token does not count")
        return known.status == 200

    async def _serve(self) -> None:
        receiving = asyncio.ensure_future(self._receive())
        try:
            while not self._closing.done():
                waiting: set[asyncio.Future[Any]] = {receiving, self._closing}
                await asyncio.wait(waiting, timeout=LOOK_EVERY, return_when=asyncio.FIRST_COMPLETED)
                if not self._lasts():
                    self._end(WRONG, "the token does not count any more")
                elif self._stops():
                    self._end(GOING_AWAY, "the server stops")
                elif receiving.done():
                    if receiving.result()["type"] == "websocket.disconnect":
                        return
                    await self._take(receiving.result())
                    receiving = asyncio.ensure_future(self._receive())
        finally:
            receiving.cancel()

    async def _take(self, message: Message) -> None:
        asked = _read(message)
        if asked is None or asked.id is None:
            problem = Problem(400, "the message is no request; an object with op, and a whole number as id, was expected")
            await self._refuse(None, problem)
        elif asked.op == "watch":
            await self._begin_watch(asked, asked.id)
        elif asked.op == "publish":
            await self._begin_publish(asked, asked.id)
        elif asked.op == "stop":
            await self._stop(asked.id)
        else:
            await self._refuse(asked.id, Problem(400, f"op is {asked.op[:40]!r}; watch, publish or stop was expected", field="op"))

    async def _begin_watch(self, asked: SocketRequest, number: int) -> None:
        problem = None
        if URL.fullmatch(asked.url) is None:
            problem = Problem(422, f"url is {asked.url[:100]!r}; a path was expected, such as /rows/order?status=paid", field="url")
        elif number in self._watches:
            problem = Problem(409, f"the id {number} is that of another stream, which goes on", field="id")
        elif len(self._watches) >= MOST_WATCHES:
            problem = Problem(429, f"{MOST_WATCHES} streams are watched here, which is the most for one connection")
        if problem is not None:
            await self._refuse(number, problem)
            return
        self._places[number] = asked.after or ""
        self._watches[number] = asyncio.create_task(self._watch(asked, number))

    async def _watch(self, asked: SocketRequest, number: int) -> None:
        is_cut = False

        async def begun() -> None:
            await self._tell(b'{"id":%d,"status":200}' % number)

        async def tell(event: dict[str, bytes]) -> None:
            nonlocal is_cut
            is_cut = is_cut or event.get("comment", b"").startswith(b"cut")
            place = event.get("id", b"")
            if place:
                self._places[number] = place.decode()
            if "data" in event:
                at = b',"at":"%b"' % place if place else b""
                name = event.get("event", b"message")
                await self._tell(b'{"id":%d,"event":"%b"%b,"data":%b}' % (number, name, at, event["data"]))

        answer = await self._requests.watch(asked.url, asked.after, begun, tell)
        self._watches.pop(number, None)
        if is_cut:
            self._end(SLOW, "what is sent is taken too slowly")
            return
        with suppress(OSError):  # the client is gone
            if answer.status == 200:
                await self._tell(b'{"id":%d,"event":"end"}' % number)
            else:
                self._places.pop(number, None)
                await self._answer(number, answer)

    async def _stop(self, number: int) -> None:
        task = self._watches.pop(number, None)
        if task is None:
            await self._refuse(number, Problem(404, f"no stream with the id {number} is watched here", field="id"))
            return
        task.cancel()
        await asyncio.wait({task})
        self._places.pop(number, None)
        await self._tell(b'{"id":%d,"status":200}' % number)

    async def _begin_publish(self, asked: SocketRequest, number: int) -> None:
        if len(self._publishing) >= MOST_AT_ONCE:
            problem = Problem(429, f"{MOST_AT_ONCE} events are not answered yet; send the next one after an answer")
            await self._refuse(number, problem)
            return
        before, self._last_begun = self._last_begun, asyncio.Event()
        self._keep(self._publish(asked, number, before, self._last_begun))

    async def _publish(self, asked: SocketRequest, number: int, before: asyncio.Event | None, begun: asyncio.Event) -> None:
        """In the order in which they were sent; Kafka's confirmations and outcomes are waited for together."""
        try:
            if before is not None:
                await before.wait()
            HANDED_OVER.set(begun.set)  # in the context of this task
            answer = await self._requests.publish(asked.type, bytes(asked.data), asked.key, asked.wait)
        finally:
            begun.set()
        with suppress(OSError):  # the client is gone
            await self._answer(number, answer)

    def _keep(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._publishing.add(task)
        task.add_done_callback(self._publishing.discard)

    async def _refuse(self, number: int | None, problem: Problem) -> None:
        await self._answer(number, InnerResponse(problem.status, msgspec.json.encode(problem.body(PATH)), {}))

    async def _answer(self, number: int | None, answer: InnerResponse) -> None:
        shown = b"null" if number is None else b"%d" % number
        await self._tell(b'{"id":%b,"status":%d,"body":%b}' % (shown, answer.status, answer.body))

    async def _tell(self, text: bytes) -> None:
        async with self._sending:
            await self._send({"type": "websocket.send", "text": text.decode()})

    def _end(self, code: int, why: str) -> None:
        if not self._closing.done():
            self._closing.set_result((code, why))

    async def _close(self, code: int, why: str) -> None:
        """With the places to go on from, if streams were watched."""
        if self._places and code != WRONG:
            await self._tell(msgspec.json.encode({"places": {str(number): it for number, it in self._places.items()}}))
        await self._send({"type": "websocket.close", "code": code, "reason": why})


def _read(message: Message) -> SocketRequest | None:
    """None: it is none."""
    with suppress(*UNREADABLE_JSON):
        return msgspec.json.decode(message.get("text") or b"", type=SocketRequest)
    return None
