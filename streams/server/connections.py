"""Bounds for connections, which uvicorn does not have: how many there are, and how long a client may take.

uvicorn bounds nothing before the application sees a request (encode/uvicorn#157). So a few clients that send a head byte by
byte, or take no answer, would use up the file descriptors of the process.
"""

from __future__ import annotations

import asyncio
import logging
import resource
import time
from collections import Counter
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Any, Literal, Protocol

from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from streams.config import Config
from streams.server.http.problems import RETRY_AFTER, Problem
from streams.server.slow_reader import SlowReader
from streams.server.whole_answer import WholeAnswer

log = logging.getLogger("retold.server")
RESERVED = 96
"""Descriptors for Kafka's clients, and for connections that were accepted and are refused in a moment."""
SPARE = 16
"""Connections beyond the limit, for those who look after the server."""
ACCEPTED_AT_ONCE = 16
"""Connections that the event loop accepts before it looks at any of them."""
LOG_EVERY = 60.0
"""s between two log lines about the same limit."""
ALWAYS_ANSWERED = frozenset({"/-/live", "/-/ready", "/-/health"})
"""Paths that are answered also when there are too many connections, and without a token."""
Reading = Literal["head", "body", "nothing"]


@dataclass(frozen=True)
class ConnectionLimits:
    """Times in s, sizes in bytes. `proxies` are addresses whose connections are those of many clients."""

    connections: int = 2_000
    per_peer: int = 64
    proxies: frozenset[str] = frozenset()
    head_seconds: float = 10.0
    head_bytes: int = 32 * 1024
    body_seconds: float = 30.0
    idle_seconds: float = 15.0
    taken_seconds: float = 10.0
    taken_bytes: int = 64 * 1024
    """A client that leaves an answer waiting must take so many bytes of it in each `taken_seconds`."""
    spare_seconds: float = 2.0
    unheard_seconds: float = 2.0
    """A client that sends no more, and may be gone, gets what is answered within this time."""
    ping_seconds: float = 20.0
    """A WebSocket is pinged so often, and has as long to answer."""
    look_seconds: float = 0.5


def limits_of(config: Config) -> ConnectionLimits:
    proxies = (part.strip() for part in (config.http_proxies or "").split(","))
    return ConnectionLimits(
        connections=config.http_connections,
        per_peer=config.http_connections_per_peer,
        proxies=frozenset(part for part in proxies if part),
    )


def raise_descriptor_limit(wanted: int) -> None:
    """Lets this process open `wanted` connections, as far as the system lets it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = wanted + RESERVED + SPARE + RESERVED
    most = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def room_for(wanted: int) -> int:
    """How many connections this process can have: what is left of its descriptors, and `wanted` at most."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return wanted
    used = sum(1 for _ in Path("/dev/fd").iterdir())
    return max(1, min(wanted, soft - used - RESERVED - SPARE))


class BoundedConnection(Protocol):
    """A connection, whatever it speaks. `since` is when it began to wait for what its client sends next."""

    peer: str
    since: float
    loop: asyncio.AbstractEventLoop

    @property
    def is_idle(self) -> bool:
        """Whether it waits for a request, or for the rest of a head."""

    @property
    def is_closing(self) -> bool: ...

    def look(self, now: float) -> None:
        """Ends it if its client takes too long."""

    def abort(self, why: str) -> None:
        """Ends it without another word, and frees its descriptor."""


class Connections:
    """The connections of one server. All calls are made by its event loop.

    `refused` counts what was not served, by reason: `connections`, `head`, `body`, `size`, `malformed`,
    `reader` (a client that did not take its answer), `tls` (no TLS was agreed on), `flood` (frames of HTTP/2 that ask nothing),
    `stopping` (it was accepted as the server stopped).
    """

    def __init__(self, limits: ConnectionLimits | None = None) -> None:
        self.limits = limits or ConnectionLimits()
        self.refused = Counter[str]()
        self._most = self.limits.connections
        self._open: dict[BoundedConnection, None] = {}
        self._spare: dict[BoundedConnection, None] = {}
        self._peers = Counter[str]()
        self._logged: dict[str, float] = {}
        self._looking = self._stopping = False
        self._requests = Counter[str]()

    def __len__(self) -> int:
        return len(self._open) + len(self._spare)

    def begin(self) -> None:
        """When the server starts, as late as possible: other descriptors are open by then."""
        self._most = room_for(self.limits.connections)
        if self._most < self.limits.connections:
            log.warning(
                "the server takes %d connections and not %d (RETOLD_HTTP_CONNECTIONS): this process may open no more files "
                "(`ulimit -n`)", self._most, self.limits.connections,
            )  # fmt: skip

    def stop(self) -> None:
        """Before the server ends those that it has: nobody would end one that is made known later."""
        self._stopping = True

    def admit(self, new: BoundedConnection) -> str | None:
        """Takes a connection in. Gives the sentence for its client if it may only ask how the server is.

        Where there is no room, the connection that has waited longest for its client makes room, as a client that sends
        its request is served sooner than one that does not.
        """
        if self._stopping:
            new.abort("stopping")
            return None
        self._look_later(new.loop)
        full = self._full(new.peer)
        if full is None or self._make_room(new.peer if full == "peer" else None):
            self._open[new] = None
            self._peers[new.peer] += 1
            return None
        if len(self._spare) >= SPARE:
            idle = next((each for each in self._spare if each.is_idle), None)
            (idle or new).abort("connections")
        if not new.is_closing:
            self._spare[new] = None
        return self._sentence(full)

    def forget(self, connection: BoundedConnection) -> None:
        if connection in self._open:
            del self._open[connection]
            self._peers[connection.peer] -= 1
            if not self._peers[connection.peer]:
                del self._peers[connection.peer]
        self._spare.pop(connection, None)

    def exchange(self, before: BoundedConnection, after: BoundedConnection) -> None:
        """The same connection speaks another protocol from now on."""
        for kept in (self._open, self._spare):
            if before in kept:
                del kept[before]
                kept[after] = None

    def take_request(self, peer: str) -> str | None:
        """Counts a request that shares its connection with others. Gives the sentence for its client if there are too many.

        All together may have as many as there may be connections, those of one address half of them.
        """
        self._requests[peer] += 1
        of_peer = self.limits.connections // 2
        if self._requests[peer] > of_peer and peer not in self.limits.proxies:
            return f"one address has {of_peer} requests at once, and the server takes no more from it (RETOLD_HTTP_CONNECTIONS)"
        if self._requests.total() > self.limits.connections:
            return f"the server has {self.limits.connections} requests at once and takes no more (RETOLD_HTTP_CONNECTIONS)"
        return None

    def end_request(self, peer: str) -> None:
        """Each that was counted, also one with a sentence."""
        self._requests[peer] -= 1
        if not self._requests[peer]:
            del self._requests[peer]

    def say_once(self, what: str, sentence: str) -> None:
        """In the log, at most once a minute for each `what`: whoever causes it could fill a disk."""
        now = time.monotonic()
        if now - self._logged.get(what, -LOG_EVERY) >= LOG_EVERY:
            self._logged[what] = now
            log.warning(sentence)

    def _full(self, peer: str) -> Literal["all", "peer"] | None:
        if self._peers[peer] >= self.limits.per_peer and peer not in self.limits.proxies:
            return "peer"
        return "all" if len(self._open) >= self._most else None

    def _make_room(self, peer: str | None) -> bool:
        """Ends the connection that has waited longest for its client, of this peer if it is given."""
        idle = [each for each in self._open if each.is_idle and peer in (None, each.peer)]
        self.say_once("connections", self._sentence("all" if peer is None else "peer"))
        if not idle:
            return False
        min(idle, key=lambda each: each.since).abort("connections")
        return True

    def _sentence(self, full: Literal["all", "peer"]) -> str:
        if full == "all":
            return f"the server has {self._most} connections and takes no more (RETOLD_HTTP_CONNECTIONS, `ulimit -n`)"
        return (
            f"one address has {self.limits.per_peer} connections to the server, which takes no more from it "
            "(RETOLD_HTTP_CONNECTIONS_PER_PEER; RETOLD_HTTP_PROXIES for a proxy's)"
        )

    def _look_later(self, loop: asyncio.AbstractEventLoop) -> None:
        if not self._looking:
            self._looking = True
            loop.call_later(self.limits.look_seconds, self._look, loop)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        self._looking = False
        now = loop.time()
        for each in [*self._open, *self._spare]:
            each.look(now)
        if len(self):
            self._look_later(loop)


class BoundedProtocol(HttpToolsProtocol):
    """One connection. `since` is when it began to read what it reads now."""

    register: Connections
    peer = ""
    since = 0.0
    _reading: Reading = "head"
    _head = 0
    _refused = False
    is_spare = False
    _is_socket = False
    _has_sent_all = False
    _running: RequestResponseCycle | None = None
    """The request that is answered, or was last."""
    beneath: asyncio.Transport | None = None
    """With TLS, what carries it."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        self.peer, self.since = self.client[0] if self.client else "", self.loop.time()
        self._reader = SlowReader(self.register.limits.taken_seconds, self.register.limits.taken_bytes)
        sentence = self.register.admit(self)
        if sentence is not None:
            self.is_spare = True
            self.app = Full(self.app, sentence, self.register.refused)

    def connection_lost(self, exc: Exception | None) -> None:
        self.register.forget(self)
        super().connection_lost(exc)
        if self._running is not None:  # uvicorn tells the last request alone, and a stream before it would go on for ever
            self._running.disconnected = not self._running.response_complete
            self._running.message_event.set()
        self.pipeline.clear()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._running = cycle
        cycle.send = WholeAnswer(cycle).send  # type: ignore[method-assign]  # uvicorn makes it, and has nothing to choose it by
        super()._start_asgi_task(cycle, app)

    @property
    def is_closing(self) -> bool:
        return self.transport.is_closing()

    @property
    def is_idle(self) -> bool:
        """Whether it waits for a request, or for the rest of a head."""
        return self._reading == "head" and self._answered and not self._is_socket

    def _should_upgrade_to_ws(self) -> bool:
        return super()._should_upgrade_to_ws() and not self.is_spare

    def handle_websocket_upgrade(self) -> None:
        """It goes on counting as a connection, and must take what it is sent; pings find out whether its client is there."""
        self._is_socket = True
        self.ws_protocol_class = partial(BoundedSocket, self)  # type: ignore[assignment]  # it is called with what a class is
        super().handle_websocket_upgrade()

    @property
    def _last(self) -> RequestResponseCycle | None:
        """The request whose head was read last."""
        return self.cycle

    @property
    def _answered(self) -> bool:
        return self._last is None or self._last.response_complete

    def abort(self, why: str) -> None:
        """Ends it without another word, and frees its descriptor."""
        self.register.refused[why] += 1
        self.register.forget(self)
        self._refused = True
        self.transport.abort()

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        was_head = self._reading == "head"
        if was_head and self._head == 0 and self._answered:
            self.since = self.loop.time()  # not at on_message_begin: a line feed before the head begins none
        if was_head:
            self._head += len(data)
        super().data_received(data)
        if was_head and self._reading == "head" and self._head > self.register.limits.head_bytes:
            self._refuse(431, self._too_large, "size")

    def on_message_begin(self) -> None:
        super().on_message_begin()
        if self._reading != "head":
            self._reading, self.since, self._head = "head", self.loop.time(), 1

    def on_headers_complete(self) -> None:
        size = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
        if self._refused or size > self.register.limits.head_bytes:
            self._refuse(431, self._too_large, "size")
            return
        self._reading, self.since, self._head = "body", self.loop.time(), 0
        super().on_headers_complete()
        if self.is_spare and self._last is not None:
            self._last.keep_alive = False

    def on_body(self, body: bytes) -> None:
        if not self._refused:
            super().on_body(body)

    def on_message_complete(self) -> None:
        if not self._refused:
            super().on_message_complete()
            self._reading = "nothing"
            self._await_next()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._await_next()
        if self._has_sent_all and self._answered and not self.pipeline:
            self.transport.close()

    def eof_received(self) -> bool:  # type: ignore[override]  # asyncio keeps the connection open for what is true
        """The client sends no more. It may wait for the answer to what it has sent, or be gone: writing shows which."""
        if self._is_socket or self.beneath is not None or self._reading == "body":
            return False
        self._has_sent_all = True
        self.loop.call_later(self.register.limits.unheard_seconds, self.transport.close)
        return not self._answered or bool(self.pipeline)

    def _await_next(self) -> None:
        """Once a request is read and answered, whichever came first."""
        if self._reading == "nothing" and self._answered:
            self._reading, self.since, self._head = "head", self.loop.time(), 0

    def resume_writing(self) -> None:
        super().resume_writing()
        self.has_taken()

    def has_taken(self) -> None:
        """The client has taken most of what waited."""
        self._reader.has_taken()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - ours says the same in the shape of every error
        if not self._refused:
            self._refuse(400, "the request is not HTTP as this server reads it", "malformed")

    def look(self, now: float) -> None:
        """Ends it if its client takes too long. Time in which the server does not read is not the client's."""
        limits = self.register.limits
        waiting = waiting_in(self.transport, self.beneath)
        if self._reader.is_stuck(waiting, -waiting, now):
            self.abort("reader")
        elif self._is_socket:
            return
        elif self.flow.read_paused:
            self.since = now
        elif self._reading == "body" and now - self.since > limits.body_seconds:
            self._refuse(408, f"the body was not complete after {limits.body_seconds:g} s", "body")
        elif self._reading == "head" and self._waits_for_head(now):
            self._refuse(408, f"the head of a request was not complete after {limits.head_seconds:g} s", "head")

    def _waits_for_head(self, now: float) -> bool:
        """Between two requests a connection may be idle for longer."""
        limits = self.register.limits
        if self._head == 0 and self._last is not None:
            return self._answered and now - self.since > limits.idle_seconds
        return now - self.since > (limits.spare_seconds if self.is_spare else limits.head_seconds)

    @property
    def _too_large(self) -> str:
        return f"the request line and the headers have more than {self.register.limits.head_bytes} bytes"

    def _refuse(self, status: int, sentence: str, why: str) -> None:
        """Says why, if no answer has begun, and closes. What came whole before is answered instead: this is not its answer."""
        if self._refused:
            return
        if self._running is not None and self._running.response_started and not self._running.response_complete:
            self.abort(why)
            return
        self._refused = True
        if self._reading != "head" or self._head or self._last is None:  # else it was idle, which needs no words
            self.register.refused[why] += 1
            if self._answers_before():
                return
            answer = Problem(status, sentence, headers={"Connection": "close"}).response("")
            lines = [b"%s: %s\r\n" % header for header in answer.raw_headers]
            head = b"HTTP/1.1 %d %s\r\n" % (status, HTTPStatus(status).phrase.encode())
            self.transport.write(b"".join([head, *lines, b"\r\n", bytes(answer.body)]))
        self.transport.close()

    def _answers_before(self) -> bool:
        """Whether requests that came whole before what is refused are being answered; the last answer ends the connection then."""
        if self._reading == "body":
            if not self.pipeline:  # what is refused is all that there is
                return False
            self.pipeline.popleft()
            self.cycle, self._reading = self.pipeline[0][0] if self.pipeline else self._running, "nothing"  # type: ignore[assignment]  # something runs where something waits
        elif self._answered:
            return False
        self.cycle.keep_alive = False
        return True


def waiting_in(transport: asyncio.Transport, beneath: asyncio.Transport | None) -> int:
    """Bytes that a client has not taken, also of what was written before it was closed."""
    return transport.get_write_buffer_size() + (0 if beneath is None else beneath.get_write_buffer_size())


class BoundedSocket(WebSocketsSansIOProtocol):
    """A connection that has become a WebSocket."""

    def __init__(self, before: BoundedProtocol, **given: Any) -> None:
        super().__init__(**given)
        self._before = before

    def resume_writing(self) -> None:
        super().resume_writing()
        self._before.has_taken()

    def connection_lost(self, exc: Exception | None) -> None:
        self._before.register.forget(self._before)
        super().connection_lost(exc)


class Full:
    """Answers for a server that has too many connections: 503, unless it is asked how it is."""

    def __init__(self, app: ASGIApp, sentence: str, refused: Counter[str]) -> None:
        self._app, self._sentence, self._refused = app, sentence, refused

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] in ALWAYS_ANSWERED:
            await self._app(scope, receive, send)
            return
        self._refused["connections"] += 1
        problem = Problem(503, self._sentence, headers={**RETRY_AFTER, "Connection": "close"})
        await problem.response(scope["path"])(scope, receive, send)
