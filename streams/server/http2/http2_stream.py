"""One request over HTTP/2 and its answer, as an ASGI application has them."""

from __future__ import annotations

import asyncio
import logging
from typing import Final, Literal

from h2.errors import ErrorCodes
from starlette.types import ASGIApp, Message, Scope

from streams.server.connections import ConnectionLimits
from streams.server.http.problems import Problem
from streams.server.http2.http2_link import LEAST_WINDOW, Headers, Http2Link
from streams.server.http2.http2_request import promised_by
from streams.server.slow_reader import SlowReader

log = logging.getLogger("retold.server")
OF_HTTP_1: Final = frozenset({b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade"})
"""Headers that are about a connection, which HTTP/2 does not have."""


class Http2Stream:
    """`is_over`: nothing is sent any more, since all was, or since the client is gone. `waiting`: bytes that it has not taken."""

    def __init__(self, link: Http2Link, number: int, scope: Scope, limits: ConnectionLimits, defaults: Headers) -> None:
        self.scope, self.is_over, self.waiting = scope, False, 0
        self._link, self._number, self._limits, self._defaults = link, number, limits, defaults
        self._since = asyncio.get_running_loop().time()
        self._body, self._is_read, self._unread = bytearray(), False, 0
        self._has_begun, self._sent = False, 0
        self._promised, self._came = promised_by(scope.get("headers", ())), 0
        self._waits_to_send = (b"expect", b"100-continue") in scope.get("headers", ())
        self._reader = SlowReader(limits.taken_seconds, limits.taken_bytes)
        self._message, self.wake = asyncio.Event(), asyncio.Event()

    async def run(self, app: ASGIApp) -> None:
        """Until the application has answered, or given up."""
        try:
            if not self.is_over:
                await app(self.scope, self.receive, self.send)
        except Exception:
            log.exception("a fault of retold's own")
            self.refuse(Problem(500, "this is a fault of the server's own; its log says more"))
        finally:
            self._reset(ErrorCodes.INTERNAL_ERROR)  # of an answer that was not sent whole, such as when the server ends

    def take(self, data: bytes, counted: int) -> None:
        """A part of the body. `counted` are its bytes as flow control counts them, with what pads them."""
        if self.is_over:
            self._link.taken(self._number, counted)
            return
        self._body += data
        self._came += len(data)
        self._unread += counted
        self._message.set()

    def take_end(self) -> bool:
        """Nothing more comes of the body. False: its head promised another length, and the request is refused for that.

        h2 compares them where a body ends with a part of it, but not where it ends with the head, nor with trailers.
        """
        self._is_read = True
        self._message.set()
        if self.is_over or self._promised in (None, self._came):
            return True
        self.refuse(Problem(400, f"the body has {self._came} bytes, and its content-length is {self._promised}"))
        self._reset(ErrorCodes.PROTOCOL_ERROR)
        return False

    async def receive(self) -> Message:
        """A part of the body at least; once all of it was given, that the client is gone, or the answer sent."""
        if self._waits_to_send and not (self._unread or self._is_read or self.is_over):
            self._link.send_head(self._number, [(b":status", b"100")])
        self._waits_to_send = False
        if not self.is_over:
            await self._message.wait()
            self._message.clear()
        if self.is_over:
            return {"type": "http.disconnect"}
        if self._unread:
            self._link.taken(self._number, self._unread)
        body, self._body, self._unread = bytes(self._body), bytearray(), 0
        return {"type": "http.request", "body": body, "more_body": not self._is_read}

    async def send(self, message: Message) -> None:
        if self.is_over:
            return
        if message["type"] == "http.response.start":
            self._begin(message["status"], message["headers"])
        else:
            await self._send_body(message.get("body", b""), ends=not message.get("more_body", False))

    def _begin(self, status: int, headers: Headers) -> None:
        self._has_begun = True
        told = [(name.lower(), value) for name, value in headers]
        shown = [header for header in told if header[0] not in OF_HTTP_1]
        self._link.send_head(self._number, [(b":status", b"%d" % status), *self._defaults, *shown])

    async def _send_body(self, data: bytes, *, ends: bool) -> None:
        data = b"" if self.scope["method"] == "HEAD" else data
        at = 0
        while at < len(data) and not self.is_over:
            room = self._link.room(self._number)
            if room <= 0:
                self.waiting = len(data) - at
                self.wake.clear()
                await self.wake.wait()
                continue
            piece = data[at : at + room]
            at += len(piece)
            self._sent += len(piece)
            self._link.send_body(self._number, piece, ends=ends and at == len(data))
        self.waiting = 0
        if ends and not self.is_over:
            if not data:
                self._link.send_body(self._number, b"", ends=True)
            self._complete()

    def _complete(self) -> None:
        """All is sent. What still comes of the body is not wanted."""
        if not self._is_read:
            self._link.reset(self._number, ErrorCodes.NO_ERROR)
        self.leave()

    def leave(self) -> None:
        """Its client is gone, or all is sent: whoever waits hears it. What nobody has read makes room for other requests."""
        self.is_over = True
        unread, self._unread = self._unread, 0
        self._link.taken(self._number, unread)
        self._body.clear()
        self._message.set()
        self.wake.set()

    def refuse(self, problem: Problem) -> None:
        """Answers in the application's place, if it has not begun to."""
        if self.is_over or self._has_begun:
            return
        answer = problem.response(self.scope["path"])
        self._begin(answer.status_code, answer.raw_headers)
        body = b"" if self.scope["method"] == "HEAD" else bytes(answer.body)
        if not body or self._link.room(self._number) >= len(body):
            self._link.send_body(self._number, body, ends=True)
            self._complete()

    def _reset(self, code: ErrorCodes) -> None:
        if not self.is_over:
            self._link.reset(self._number, code)
            self.leave()

    @property
    def waits_for_body(self) -> bool:
        return not (self._is_read or self.is_over)

    def look(self, now: float) -> Literal["body", "reader", ""]:
        """Ends it if its client takes too long, and says why."""
        if self._link.has_room and self._reader.is_stuck(self.waiting, self._sent, now):
            self._reset(ErrorCodes.CANCEL)
            return "reader"
        if self._unread > LEAST_WINDOW // 2:  # time in which the application does not read is not the client's
            self._since = now
        if self.waits_for_body and now - self._since > self._limits.body_seconds:
            self.refuse(Problem(408, f"the body was not complete after {self._limits.body_seconds:g} s"))
            self._reset(ErrorCodes.CANCEL)
            return "body"
        return ""
