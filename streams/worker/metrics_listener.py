"""Answers Prometheus' scrapes of a worker, on the event loop of the process. What it cannot do never ends the worker.

It takes one request a connection, with bounds on size, time and number: there is nothing else to ask here.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Mapping
from http import HTTPStatus

import structlog

from streams.errors import ConfigError
from streams.listening import PortTaken, url_of
from streams.worker.metrics_access import Refusal

log = structlog.get_logger("retold.worker")
PATH = "/metrics"
MEDIA_TYPE, SENTENCE = "text/plain; version=0.0.4; charset=utf-8", "text/plain; charset=utf-8"
AGAIN = 10.0
"""s until a port that is taken is tried again: a worker that ends may still hold it."""
LARGEST, SECONDS, AT_ONCE = 16 * 1024, 5.0, 16
"""Bytes that the head of a request may have, s that a connection may take, and how many there may be."""


class MetricsListener:
    """`listen` binds the socket, and raises ConfigError; `text` gives the metrics. To be stopped on the loop that started it."""

    def __init__(
        self, listen: Callable[[], socket.socket], text: Callable[[], bytes], refusal: Refusal,
        again: float = AGAIN, seconds: float = SECONDS,
    ) -> None:  # fmt: skip
        self._listen, self._text, self._refusal = listen, text, refusal
        self._again, self._seconds = again, seconds
        self._server: asyncio.Server | None = None
        self._trying: asyncio.Task[None] | None = None
        self._open = 0
        self.url = ""
        """Where it listens; empty while it does not."""

    async def start(self) -> None:
        """Listen, or go on trying. Raises ConfigError for an address that will never be there."""
        if not await self._try():
            self._trying = asyncio.create_task(self._try_on())

    async def stop(self) -> None:
        if self._trying is not None:
            self._trying.cancel()
        if self._server is not None:
            self._server.close()
            self.url = ""

    async def _try_on(self) -> None:
        with contextlib.suppress(ConfigError):  # it could be bound before: nothing that a worker should end for
            while not self.url:
                await asyncio.sleep(self._again)
                await self._try(quiet=True)

    async def _try(self, *, quiet: bool = False) -> bool:
        try:
            listening = self._listen()
        except PortTaken as error:
            if not quiet:
                log.warning(
                    "this worker has no metrics yet; it handles events, and tries to listen again every 10 s", detail=str(error)
                )
            return False
        self._server = await asyncio.start_server(self._answer, sock=listening, limit=LARGEST)
        self.url = f"{url_of(listening)}{PATH}"
        log.info("metrics", url=self.url)
        return True

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open += 1
        try:
            if self._open <= AT_ONCE:
                async with asyncio.timeout(self._seconds):
                    writer.write(self._response(await reader.readuntil(b"\r\n\r\n")))
                    await writer.drain()
        except (TimeoutError, OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            writer.transport.abort()  # who asks so gets no answer
        except Exception:
            log.exception("a scrape of this worker's metrics failed, by a fault of retold's own; handling continues")
        finally:
            self._open -= 1
            writer.close()

    def _response(self, head: bytes) -> bytes:
        line, *lines = head.decode("latin-1").split("\r\n")
        method, _, rest = line.partition(" ")
        headers = {name.strip().lower(): value.strip() for name, _, value in (each.partition(":") for each in lines)}
        if (refused := self._refused(method, rest.partition(" ")[0].partition("?")[0], headers)) is not None:
            status, sentence = refused
            return _message(status, SENTENCE, f"{sentence}\n".encode(), empty=method == "HEAD")
        return _message(200, MEDIA_TYPE, self._text(), empty=method == "HEAD")

    def _refused(self, method: str, path: str, headers: Mapping[str, str]) -> tuple[int, str] | None:
        if (refused := self._refusal(headers)) is not None:
            return refused
        if path != PATH:
            return 404, f"a worker answers {PATH} alone"
        if method not in ("GET", "HEAD"):
            return 405, f"{PATH} takes GET alone"
        return None


def _message(status: int, kind: str, body: bytes, *, empty: bool) -> bytes:
    """`empty`: the same headers, without the body."""
    extra = {401: "WWW-Authenticate: Bearer\r\n", 405: "Allow: GET, HEAD\r\n"}.get(status, "")
    head = (
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n"
        f"Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\nConnection: close\r\n{extra}\r\n"
    )
    return head.encode("latin-1") + (b"" if empty else body)
