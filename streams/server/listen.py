"""The server's listening socket: bound first, so that a port in use is known before anything is read."""

from __future__ import annotations

import errno
import ipaddress
import socket

from streams.config import Config
from streams.errors import ConfigError

BACKLOG = 512


def listen(config: Config) -> socket.socket:
    """Bind and listen. Raises ConfigError for an address that cannot be bound, or that others reach if there is no token."""
    host, port = config.http_host, config.http_port
    _refuse_strangers(config, host, "RETOLD_HTTP_HOST")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP
        )[0]
        # With its protocol named, asyncio turns Nagle's algorithm off, which costs an answer 40 ms.
        listening = socket.socket(family, kind, protocol)
    except (OSError, UnicodeError) as error:  # UnicodeError: no name of a host
        raise ConfigError(_listen_error(host, port, error)) from error
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(BACKLOG)
    except OSError as error:
        listening.close()
        raise ConfigError(_listen_error(host, port, error)) from error
    return listening


def inherited(config: Config, number: int) -> socket.socket:
    """A listening socket inherited from the parent process, by its file descriptor. Raises ConfigError."""
    try:
        listening = socket.socket(fileno=number)
    except OSError as error:
        raise _no_listener(number) from error
    try:
        listens = listening.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
        if not listens or listening.family not in (socket.AF_INET, socket.AF_INET6):
            raise _no_listener(number)
        _refuse_strangers(config, listening.getsockname()[0], f"the address of --fd {number}")
    except ConfigError:
        listening.detach()  # the parent's; not closed here
        raise
    return listening


def _no_listener(number: int) -> ConfigError:
    return ConfigError(f"--fd is {number}; the number of an open TCP socket that listens was expected")


def _refuse_strangers(config: Config, host: str, what: str) -> None:
    if not config.needs_token and not _is_loopback(host):
        raise ConfigError(
            f"{what} is {host!r}, which other machines reach, and there is no token: everyone could read and "
            "publish. Set RETOLD_HTTP_TOKEN or RETOLD_HTTP_TOKENS, or leave the host at 127.0.0.1"
        )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _listen_error(host: str, port: int, error: OSError | UnicodeError) -> str:
    if isinstance(error, UnicodeError):
        return f"RETOLD_HTTP_HOST is {host!r}; an address of this machine, or its name, was expected"
    if error.errno == errno.EADDRINUSE:
        return (
            f"the port {port} of {host} is in use, perhaps by another `retold server`: end that one, or set "
            "RETOLD_HTTP_PORT to another port (0: any that is free)"
        )
    return f"the server cannot listen at {host}, port {port} (RETOLD_HTTP_HOST, RETOLD_HTTP_PORT): {error.strerror}"


def url_of(listening: socket.socket) -> str:
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
