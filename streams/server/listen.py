"""The server's listening socket: bound first, so that a port in use is known before anything is read."""

from __future__ import annotations

import socket

from streams.config import Config
from streams.errors import ConfigError
from streams.listening import ListenAddress, listen_at, refuse_strangers


def listen(config: Config) -> socket.socket:
    """Bind and listen. Raises ConfigError for an address that cannot be bound, or that others reach if there is no token."""
    return listen_at(_address(config), needs_token=config.needs_token)


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
        if not config.needs_token:
            refuse_strangers(_address(config), listening.getsockname()[0], f"the address of --fd {number}")
    except ConfigError:
        listening.detach()  # the parent's; not closed here
        raise
    return listening


def _no_listener(number: int) -> ConfigError:
    return ConfigError(f"--fd is {number}; the number of an open TCP socket that listens was expected")


def _address(config: Config) -> ListenAddress:
    return ListenAddress(
        config.http_host, config.http_port, "RETOLD_HTTP_HOST", "RETOLD_HTTP_PORT", "RETOLD_HTTP_TOKEN or RETOLD_HTTP_TOKENS",
        "server", "read and publish",
    )  # fmt: skip


def scheme_of(config: Config) -> str:
    return "http" if config.http_tls_cert is None else "https"
