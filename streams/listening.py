"""Sockets that listen, on loopback unless there is a token that keeps others out; and by which name a client asks."""

from __future__ import annotations

import errno
import ipaddress
import re
import socket
from dataclasses import dataclass

from streams.errors import ConfigError

BACKLOG = 512
LOOPBACK = frozenset({"localhost", "127.0.0.1", "[::1]"})
"""Names of this machine, as the header Host has them."""
HOST = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::[0-9]{0,5})?")


class PortTaken(ConfigError):
    """Somebody else listens there."""


@dataclass(frozen=True)
class ListenAddress:
    """Where to listen, and by which settings. `what` listens there; without a token, everyone who reaches it could do `risk`."""

    host: str
    port: int
    host_setting: str
    port_setting: str
    token_settings: str
    what: str
    risk: str


def listen_at(at: ListenAddress, *, needs_token: bool) -> socket.socket:
    """Bind and listen. Raises PortTaken, or ConfigError: it cannot be bound, or others reach it and there is no token."""
    if not needs_token:
        refuse_strangers(at, at.host, at.host_setting)
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            at.host, at.port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP
        )[0]
        # With its protocol named, asyncio turns Nagle's algorithm off, which costs an answer 40 ms.
        listening = socket.socket(family, kind, protocol)
    except (OSError, UnicodeError) as error:  # UnicodeError: no name of a host
        raise _listen_error(at, error) from error
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(BACKLOG)
    except OSError as error:
        listening.close()
        raise _listen_error(at, error) from error
    return listening


def refuse_strangers(at: ListenAddress, host: str, where: str) -> None:
    """Raises ConfigError for a host that is not this machine alone. `where` says where it is from."""
    if not _is_loopback(host):
        raise ConfigError(
            f"{where} is {host!r}, which other machines reach, and there is no token: everyone could {at.risk}. "
            f"Set {at.token_settings}, or leave the host at 127.0.0.1"
        )


def url_of(listening: socket.socket, scheme: str = "http") -> str:
    host, port = listening.getsockname()[:2]
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


def host_name(header: str | None) -> str | None:
    """Of a header Host: name or address, in small letters and without the port; None if it is no `host[:port]` as a whole."""
    found = HOST.fullmatch((header or "").lower())
    return None if found is None else found[1]


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _listen_error(at: ListenAddress, error: OSError | UnicodeError) -> ConfigError:
    if isinstance(error, UnicodeError):
        return ConfigError(f"{at.host_setting} is {at.host!r}; an address of this machine, or its name, was expected")
    if error.errno == errno.EADDRINUSE:
        return PortTaken(
            f"the port {at.port} of {at.host} is in use, perhaps by another `retold {at.what}`: end that one, or set "
            f"{at.port_setting} to another port (0: any that is free)"
        )
    wrong = f"the {at.what} cannot listen at {at.host}, port {at.port} ({at.host_setting}, {at.port_setting})"
    return ConfigError(f"{wrong}: {error.strerror}")
