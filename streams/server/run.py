"""A server in this process, at a socket that listens already."""

from __future__ import annotations

import logging
import socket
import threading

import uvicorn

from streams.kafka.clients import Clients
from streams.server.http.assemble import http_app
from streams.server.http.parts import Parts
from streams.server.readmodel.follow import Following
from streams.server.readmodel.states import LookingOn

GRACE = 5
"""s that requests may still take when the server ends."""


def serve(parts: Parts, clients: Clients, listening: socket.socket, stop: threading.Event) -> None:
    """Follows and answers until `stop`. Requests under way are finished, those that wait and streams are let go."""
    following = Following(clients, parts.config.prefix, parts.codec, parts.followed)
    looking = LookingOn(clients, parts.config.prefix, parts.followed.places, parts.states)
    threads = [
        threading.Thread(target=it.run, args=(parts.stopping,), name=name)
        for it, name in ((following, "follow"), (looking, "states"))
    ]
    for thread in threads:
        thread.start()
    try:
        answer(parts, listening, stop)
    finally:
        parts.stopping.set()
        for thread in threads:
            thread.join()


def answer(parts: Parts, listening: socket.socket, stop: threading.Event) -> None:
    """The HTTP part alone."""
    logging.getLogger("uvicorn").parent = logging.getLogger("retold")
    server = uvicorn.Server(
        uvicorn.Config(
            http_app(parts),
            log_config=None,
            access_log=False,
            server_header=False,
            lifespan="off",
            timeout_graceful_shutdown=GRACE,
        )
    )

    def end() -> None:
        stop.wait()
        parts.stopping.set()
        parts.followed.bell.end()
        server.should_exit = True

    threading.Thread(target=end, name="end", daemon=True).start()
    server.run(sockets=[listening])
