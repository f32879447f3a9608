"""A connection of which nobody knows yet whether it will speak HTTP/1 or HTTP/2."""

from __future__ import annotations

import asyncio

from streams.server.connections import BoundedProtocol
from streams.server.http2.frame_scan import PREFACE
from streams.server.http2.http2_protocol import Http2Protocol


class EitherProtocol(BoundedProtocol):
    """HTTP/2 if its client has agreed to it (with TLS), or begins with it (without, as a proxy does); else HTTP/1."""

    _early: bytes | None = b""
    """What may be the beginning of HTTP/2; None: it is known."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        tls = transport.get_extra_info("ssl_object")
        if tls is not None:
            self._early = None
            if tls.selected_alpn_protocol() == "h2":
                self._go_over(b"")

    def data_received(self, data: bytes) -> None:
        if self._early is not None:
            data = self._early + data
            if len(data) < len(PREFACE) and PREFACE.startswith(data):
                self._early = data
                return
            self._early = None
            if data.startswith(PREFACE):
                self._go_over(data)
                return
        super().data_received(data)

    def _go_over(self, data: bytes) -> None:
        after = Http2Protocol(self)
        self.register.exchange(self, after)
        self.connections.discard(self)
        self.transport.set_protocol(after)
        after.begin(data)
