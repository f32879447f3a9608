"""A server in this process: the address is taken first, so that a port in use is known before anything is read."""

from __future__ import annotations

import errno
import ipaddress
import logging
import socket
import threading

import uvicorn

from streams.config import Config
from streams.errors import ConfigError
from streams.kafka.clients import Clients
from streams.server.assemble import http_app
from streams.server.follow import Following
from streams.server.parts import Parts

GRACE = 5
"""s that requests may still take when the server ends."""
BACKLOG = 512


def listen(config: Config) -> socket.socket:
    """Raises ConfigError: no token for an address that others reach, or an address that cannot be had."""
    host, port = config.http_host, config.http_port
    if config.http_token is None and not _is_loopback(host):
        raise ConfigError(
            f"RETOLD_HTTP_HOST is {host!r}, which other machines reach, and there is no token: everyone could read and "
            "publish. Set RETOLD_HTTP_TOKEN, or leave the host at 127.0.0.1"
        )
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP
        )[0]
        # With its protocol named, asyncio turns Nagle's algorithm off, which costs an answer 40 ms.
        listening = socket.socket(family, kind, protocol)
    except OSError as error:
        raise ConfigError(_told(host, port, error)) from error
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(BACKLOG)
    except OSError as error:
        listening.close()
        raise ConfigError(_told(host, port, error)) from error
    return listening


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _told(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return (
            f"the port {port} of {host} is in use, perhaps by another `retold server`: end that one, or set "
            "RETOLD_HTTP_PORT to another port (0: any that is free)"
        )
    return f"the server cannot listen at {host}, port {port} (RETOLD_HTTP_HOST, RETOLD_HTTP_PORT): {error.strerror}"


def url_of(listening: socket.socket) -> str:
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def serve(parts: Parts, clients: Clients, listening: socket.socket, stop: threading.Event) -> None:
    """Follows and answers until `stop`. Requests that are under way are finished, streams are let go."""
    following = Following(clients, parts.config.prefix, parts.codec, parts.followed)
    follower = threading.Thread(target=following.run, args=(parts.stopping,), name="follow")
    follower.start()
    try:
        answer(parts, listening, stop)
    finally:
        parts.stopping.set()
        follower.join()


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
        server.should_exit = True

    threading.Thread(target=end, name="end", daemon=True).start()
    server.run(sockets=[listening])
