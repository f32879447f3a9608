"""What the connections of a server speak, over the same socket: HTTP/1, or HTTP/2 as well, with TLS or without."""

from __future__ import annotations

import asyncio
from importlib.util import find_spec
from typing import TYPE_CHECKING, NamedTuple

from streams.config import Config
from streams.errors import ConfigError
from streams.server.tls_files import HTTP_1, HTTP_2, TlsFiles, tls_of

if TYPE_CHECKING:  # they are imported late: a command that checks the settings of a server needs none of them
    from streams.server.connections import BoundedProtocol, Connections


class Speech(NamedTuple):
    tls: TlsFiles | None
    http2: bool


def speech_of(config: Config) -> Speech:
    """Raises ConfigError for files that cannot be used, and if the package for HTTP/2 is not there."""
    if config.http2 and find_spec("h2") is None:
        raise ConfigError(
            "HTTP/2 (http2, --http2) needs a package more: `pip install 'retold[http2]'`. Without it the server speaks HTTP/1"
        )
    return Speech(tls_of(config, HTTP_2 if config.http2 else HTTP_1), bool(config.http2))


def protocol_of(connections: Connections, speech: Speech) -> type[asyncio.Protocol]:
    """What uvicorn makes for each connection."""
    inner = _bounded(connections, speech.http2)
    if speech.tls is None:
        return inner
    from streams.server.tls_door import TlsDoor

    tls = speech.tls

    class DoorOfThisServer(TlsDoor):
        register, files, inside = connections, tls, inner

    return DoorOfThisServer


def _bounded(connections: Connections, http2: bool) -> type[BoundedProtocol]:
    from streams.server.connections import BoundedProtocol

    protocol = BoundedProtocol
    if http2:
        from streams.server.http2.either_protocol import EitherProtocol

        protocol = EitherProtocol

    class OfThisServer(protocol):  # type: ignore[valid-type, misc]  # it is chosen here
        register = connections

    return OfThisServer
