"""Runs a server in this process, on a listening socket."""

from __future__ import annotations

import logging
import socket
import threading

import uvicorn

from streams.kafka.clients import Clients
from streams.server.http.application import http_app
from streams.server.http.parts import ServerParts
from streams.server.readmodel.follower import TopicFollower
from streams.server.readmodel.state_counts import StateObserver

GRACE = 5
"""s that open requests may still take when the server stops."""


def serve(parts: ServerParts, clients: Clients, listening: socket.socket, stop: threading.Event) -> None:
    """Follow the topics and serve until `stop`. Open requests are finished; waiting requests and streams are ended."""
    following = TopicFollower(clients, parts.config.prefix, parts.codec, parts.model)
    looking = StateObserver(clients, parts.config.prefix, parts.model.partitions, parts.states)
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


def answer(parts: ServerParts, listening: socket.socket, stop: threading.Event) -> None:
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
        parts.model.notifier.end()
        server.should_exit = True

    threading.Thread(target=end, name="end", daemon=True).start()
    server.run(sockets=[listening])
