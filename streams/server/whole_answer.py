"""Writes an answer that is whole at once: uvicorn writes head and body one after the other, and its client wakes twice."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import HEADER_RE, HEADER_VALUE_RE, STATUS_LINE, RequestResponseCycle

LENGTH: Final = b"content-length"
OF_CONNECTION: Final = frozenset({b"connection", b"transfer-encoding"})
"""Headers by which uvicorn decides how to go on."""


class WholeAnswer:
    """What a request's application sends with, in place of uvicorn's `send`, to which it leaves all but a plain and whole answer.

    A head that says how long its body is waits for the first piece of that, which its application sends right after it.
    """

    def __init__(self, cycle: RequestResponseCycle) -> None:
        self._cycle, self._send = cycle, cycle.send
        self._head: Any = None

    async def send(self, message: Any) -> None:
        if self._head is None and message["type"] == "http.response.start" and any(it[0] == LENGTH for it in message["headers"]):
            self._head = message
            return
        head, self._head = self._head, None
        if head is not None:
            if not message.get("more_body", False) and self._written(head["status"], head["headers"], message.get("body", b"")):
                return
            await self._send(head)
        await self._send(message)

    def _written(self, status: int, headers: Sequence[tuple[bytes, bytes]], body: bytes) -> bool:
        """False, and nothing was written: it is not plain, or there is something wrong with it."""
        cycle = self._cycle
        if cycle.response_started or cycle.disconnected or cycle.flow.write_paused or not cycle.keep_alive or cycle.access_log:
            return False
        lines = [(name.lower(), value) for name, value in (*cycle.default_headers, *headers)]
        names, values = zip(*lines, strict=True)
        if [value for name, value in lines if name == LENGTH] != [b"%d" % len(body)] or not OF_CONNECTION.isdisjoint(names):
            return False
        if cycle.scope["method"] == "HEAD" or HEADER_RE.search(b"".join(names)) or HEADER_VALUE_RE.search(b"".join(values)):
            return False
        cycle.response_started = cycle.response_complete = True
        cycle.waiting_for_100_continue = False
        text = b"".join([b"%b: %b\r\n" % line for line in lines])
        cycle.transport.write(b"%b%b\r\n%b" % (STATUS_LINE[status], text, body))
        cycle.message_event.set()
        cycle.on_response()
        return True
