"""Runs a server in this process, on a listening socket."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
import threading
from typing import TYPE_CHECKING, Any, Protocol

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from streams.kafka.clients import Clients
from streams.listening import BACKLOG
from streams.server.connections import ACCEPTED_AT_ONCE
from streams.server.http.application import http_app
from streams.server.http.parts import ServerParts
from streams.server.http.web_sockets import WebSockets
from streams.server.readmodel.observed_status import StatusObserver
from streams.server.readmodel.state_counts import StateObserver
from streams.server.speech import protocol_of, speech_of

if TYPE_CHECKING:  # it is imported late
    from streams.server.rpc.rpc_server import RpcServer

ASKED_BESIDE = 1_024
"""Bytes of a message beside the event in it."""
GRACE = 5
"""s that open requests may still take when the server stops."""


class Follower(Protocol):
    """Keeps the read model's file up to date, and tells the model."""

    def run(self, stopped: threading.Event) -> None: ...


def serve(
    parts: ServerParts, clients: Clients, follower: Follower, listening: socket.socket, stop: threading.Event,
    answers: threading.Event,
) -> None:  # fmt: skip
    """Follow the topics and serve until `stop`. Open requests are finished; waiting requests and streams are ended.

    `answers` is set once each port is listened on.
    """
    looking = StateObserver(clients, parts.config.prefix, parts.model.partitions, parts.states)
    observing = StatusObserver(parts.archive.status, parts.observed)
    # It cannot be cancelled, and a broker that is away holds it up: the end of the server does not wait for it.
    threading.Thread(target=observing.run, args=(parts.stopping,), name="status", daemon=True).start()
    threads = [
        threading.Thread(target=it.run, args=(parts.stopping,), name=name)
        for it, name in ((follower, "follow"), (looking, "states"))
    ]
    for thread in threads:
        thread.start()
    try:
        answer(parts, listening, stop, answers)
    finally:
        parts.stopping.set()
        if parts.link is not None:
            parts.link.end()
        for thread in threads:
            thread.join()


def answer(parts: ServerParts, listening: socket.socket, stop: threading.Event, answers: threading.Event) -> None:
    """Without what follows the topics."""
    logging.getLogger("uvicorn").parent = logging.getLogger("retold")
    logging.getLogger("uvicorn.error").addFilter(_is_no_clients_fault)
    api = http_app(parts)
    server = _Server(
        uvicorn.Config(
            WebSockets(api, parts),
            loop="asyncio",  # not uvloop wherever that is installed: with it a test of TLS fails
            http=protocol_of(parts.connections, speech_of(parts.config)),
            ws=WebSocketsSansIOProtocol,
            ws_max_size=parts.config.max_event_bytes + ASKED_BESIDE,
            ws_ping_interval=parts.connections.limits.ping_seconds,
            ws_ping_timeout=parts.connections.limits.ping_seconds,
            ws_per_message_deflate=False,
            log_config=None,
            access_log=False,
            server_header=False,
            lifespan="off",
            backlog=ACCEPTED_AT_ONCE if parts.link is None else 1,  # of some that come together, each process is to have a part
            timeout_keep_alive=round(parts.connections.limits.idle_seconds),
            timeout_graceful_shutdown=GRACE,
        ),
        parts,
        _rpc_server(api, parts),
        answers,
    )

    def end() -> None:
        stop.wait()
        parts.stopping.set()
        parts.model.notifier.end()
        server.should_exit = True

    threading.Thread(target=end, name="end", daemon=True).start()
    server.run(sockets=[listening])


def _rpc_server(api: ASGIApp, parts: ServerParts) -> RpcServer | None:
    """None: without gRPC, of which nothing is imported then."""
    if parts.config.grpc_port is None:
        return None
    from streams.server.rpc.rpc_server import RpcServer

    return RpcServer(api, parts, parts.config.grpc_port)


OF_SOCKETS = ('%s - "WebSocket', "Invalid UTF-8 sequence", "ASGI callable returned without completing handshake")
"""How lines begin that uvicorn writes for each WebSocket, for each that sends no text, and for each that was refused."""


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, parts: ServerParts, rpc: RpcServer | None, answers: threading.Event) -> None:
        super().__init__(config)
        self._connections, self._questions, self._rpc, self._answers = parts.connections, parts.questions, rpc, answers

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        asyncio.get_running_loop().set_exception_handler(self._on_fault)
        self._connections.begin()
        if self._rpc is not None:
            await self._rpc.start()
        await super().startup(sockets)
        for each in sockets or []:
            each.listen(BACKLOG)  # asyncio has made it as short as what it accepts at once
        self._answers.set()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._connections.stop()
        try:
            if self._rpc is None:
                await super().shutdown(sockets)
            else:
                await asyncio.gather(super().shutdown(sockets), self._rpc.end(GRACE))
        finally:
            self._questions.end()  # else whoever waits for an answer still would hold up the end

    def _on_fault(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Without free descriptors asyncio would log a traceback for each connection that waits, again and again."""
        error = context.get("exception")
        if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
            self._connections.say_once(
                "accept", f"the server can accept no connection now, and tries again: {error.strerror}"
            )
        else:
            loop.default_exception_handler(context)


def _is_no_clients_fault(record: logging.LogRecord) -> bool:
    """Whoever sends what is no HTTP hears a 400, and is counted; a line for each would let anyone fill a disk."""
    return record.levelno != logging.WARNING and not record.msg.startswith(OF_SOCKETS)
