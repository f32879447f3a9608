"""A connection until TLS is agreed on: counted from its first byte, and cut if that takes long."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

from uvicorn.config import Config as ServerConfig
from uvicorn.protocols.utils import get_remote_addr
from uvicorn.server import ServerState

from streams.server.connections import BoundedProtocol, Connections
from streams.server.tls_files import TlsFiles

FAREWELL: Final = 2.0
"""s in which a client has to say that it has heard the end of TLS."""


class TlsDoor(asyncio.Protocol):
    """Made by uvicorn for each connection; once TLS is agreed on, what `inside` makes takes over.

    With TLS on its listening socket, asyncio would tell nobody of a connection before that, and suffer each for 60 s.
    """

    register: Connections
    files: TlsFiles
    inside: type[BoundedProtocol]

    def __init__(
        self, config: ServerConfig, server_state: ServerState, app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:  # fmt: skip
        self._make: Callable[[], BoundedProtocol] = lambda: self.inside(config, server_state, app_state, _loop)
        self._connections = server_state.connections
        self.loop = _loop or asyncio.get_running_loop()
        self.peer, self.since, self.is_idle = "", self.loop.time(), True
        self._early, self._is_lost, self._is_cut, self._is_spare = b"", False, False, False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        self._transport = transport
        client = get_remote_addr(transport)
        self.peer = client[0] if client else ""
        self._connections.add(self)  # type: ignore[arg-type]  # all that uvicorn needs of it is `shutdown`
        self._is_spare = self.register.admit(self) is not None
        if not self.is_closing:
            self._agreeing = self.loop.create_task(self._agree())

    async def _agree(self) -> None:
        seconds = 2 * self.register.limits.head_seconds  # `look` comes first
        try:
            inner = await self.loop.start_tls(
                self._transport, self, self.files.context(), server_side=True, ssl_handshake_timeout=seconds,
                ssl_shutdown_timeout=FAREWELL,
            )  # fmt: skip
        except OSError:  # also what OpenSSL says
            inner = None
        self._forget()
        if inner is None or self._is_lost:
            self.register.refused["tls"] += not self._is_cut
            self._transport.abort()
            return
        protocol = self._make()
        protocol.beneath = self._transport
        inner.set_protocol(protocol)
        protocol.connection_made(inner)
        if self._early:
            inner.get_protocol().data_received(self._early)  # type: ignore[attr-defined]  # another one may have taken over

    def data_received(self, data: bytes) -> None:
        """What a client has sent together with its last word about TLS."""
        self._early += data

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio gives it
        self._is_lost = True
        self._forget()

    def _forget(self) -> None:
        self.register.forget(self)
        self._connections.discard(self)

    @property
    def is_closing(self) -> bool:
        return self._transport.is_closing()

    def abort(self, why: str) -> None:
        self.register.refused[why] += 1
        self.shutdown()

    def shutdown(self) -> None:
        self._is_cut = True
        self._forget()
        self._transport.abort()

    def look(self, now: float) -> None:
        limits = self.register.limits
        if now - self.since > (limits.spare_seconds if self._is_spare else limits.head_seconds):
            self.abort("head")
