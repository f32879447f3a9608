"""Answers that are written at once are those that uvicorn writes in two pieces."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from streams.server.whole_answer import WholeAnswer

BODY = b'{"a":1}'
PLAIN = [(b"content-length", b"7"), (b"content-type", b"application/json")]
Messages = list[dict[str, Any]]


class Written(asyncio.Transport):
    """A connection that keeps what is written to it."""

    def __init__(self) -> None:
        super().__init__()
        self.pieces: list[bytes] = []
        self.closed = False

    def write(self, data: Any) -> None:
        self.pieces.append(bytes(data))

    def close(self) -> None:
        self.closed = True


def answer(headers: list[tuple[bytes, bytes]] = PLAIN, *bodies: bytes, status: int = 200) -> Messages:
    pieces = bodies or (BODY,)
    last = len(pieces) - 1
    return [
        {"type": "http.response.start", "status": status, "headers": headers},
        *({"type": "http.response.body", "body": it, "more_body": at < last} for at, it in enumerate(pieces)),
    ]


def sent(messages: Messages, *, whole: bool, method: str = "GET", **given: Any) -> tuple[Written, list[Any]]:
    """What is written, and how it ended."""

    async def run() -> tuple[Written, list[Any]]:
        transport, ended = Written(), list[Any]()
        cycle = RequestResponseCycle(**{  # type: ignore[arg-type]  # of a dict mypy knows no names
            "scope": {"type": "http", "method": method}, "transport": transport, "flow": FlowControl(transport),
            "logger": logging.getLogger("t"), "access_logger": logging.getLogger("t"), "access_log": False,
            "default_headers": [(b"date", b"today")], "message_event": asyncio.Event(), "expect_100_continue": False,
            "keep_alive": True, "on_response": lambda: ended.append("complete"), **given,
        })  # fmt: skip
        send = WholeAnswer(cycle).send if whole else cycle.send
        try:
            for message in messages:
                await send(message)
        except RuntimeError as error:
            ended.append(str(error))
        state = cycle.response_started, cycle.response_complete, cycle.keep_alive, cycle.message_event.is_set(), transport.closed
        return transport, [*ended, state]

    return asyncio.run(run())


@pytest.mark.parametrize("given", [{}, {"method": "HEAD"}, {"keep_alive": False}, {"expect_100_continue": True}], ids=str)
@pytest.mark.parametrize("messages", [
    answer(), answer(status=404), answer([(b"Content-Length", b"7"), (b"X", b"a\tb")]), answer([]), answer([], status=204),
    answer(PLAIN, b'{"a"', b":1}"), answer([], b'{"a"', b":1}"), answer([*PLAIN, (b"connection", b"close")]),
    answer([*PLAIN, (b"transfer-encoding", b"chunked")]), answer([*PLAIN, (b"x", b"a\r\nb: c")]), answer([*PLAIN, (b"x y", b"a")]),
    answer([*PLAIN, *PLAIN]), answer(PLAIN, b"short"), answer(PLAIN, b"longer than that"), answer()[1:], [*answer(), *answer()],
])  # fmt: skip
def test_the_bytes_are_those_of_uvicorn(messages: Messages, given: dict[str, Any]) -> None:
    """Also of a wrong answer, which is refused with the same words, and of one in pieces."""
    ours, ended = sent(messages, whole=True, **given)
    theirs, expected = sent(messages, whole=False, **given)
    assert (b"".join(ours.pieces), ended) == (b"".join(theirs.pieces), expected)


def test_a_whole_answer_is_written_once() -> None:
    """What comes in pieces is not: its head does not wait for all of them."""
    assert len(sent(answer(), whole=True)[0].pieces) == 1
    assert len(sent(answer(), whole=False)[0].pieces) == 2
    begun, _ = sent(answer([], b"a", b"b")[:1], whole=True)
    assert len(begun.pieces) == 1
