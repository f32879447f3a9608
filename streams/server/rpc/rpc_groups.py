"""Events that come one after the other, published several at once: those that came while others were published."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Container, Mapping, Sequence
from typing import Any, Final

import msgspec

from streams.errors import UNREADABLE_JSON
from streams.server.http.problems import sentence
from streams.server.http.socket_requests import InnerResponse, SocketRequests
from streams.server.rpc.retold_pb2 import Failure, PublishReply, PublishRequest
from streams.server.rpc.rpc_errors import code_of, failure_of

MOST: Final = 100
"""Events that are read before those are published that came first, and that are published at once."""
MOST_BYTES: Final = 4 * 1024 * 1024
"""Of messages as a whole: a client may put as much into a type or a key as into data."""
BATCH: Final = "/events?_bad=skip"


class EventGroups:
    """The events of one stream. Only as many are read as there is room for; the rest waits at the client.

    `types` are those that the application handles, and `largest` the bytes that data may have: what a batch says of others is not
    what one event is told.
    """

    def __init__(self, types: Container[str], largest: int) -> None:
        self._types, self._largest = types, largest
        self._waiting = deque[PublishRequest]()
        self._bytes, self._has_ended = 0, False
        self._came, self._room = asyncio.Event(), asyncio.Event()

    async def read(self, asked: AsyncIterator[PublishRequest]) -> None:
        try:
            async for each in asked:
                self._waiting.append(each)
                self._bytes += each.ByteSize()
                self._came.set()
                while len(self._waiting) >= MOST or self._bytes >= MOST_BYTES:
                    self._room.clear()
                    await self._room.wait()
        finally:
            self._has_ended = True
            self._came.set()

    async def groups(self) -> AsyncIterator[list[PublishRequest]]:
        """In their order: one event if no other has come, or if it is to be published by itself; at most what a batch takes."""
        while self._waiting or not self._has_ended:
            if not self._waiting:
                self._came.clear()
                await self._came.wait()
                continue
            group = [self._take()]
            size = group[0].ByteSize()
            if self._is_plain(group[0]):
                while self._waiting and self._goes_with(group[0], size):
                    group.append(self._take())
                    size += group[-1].ByteSize()
            self._room.set()
            yield group

    def _goes_with(self, first: PublishRequest, size: int) -> bool:
        """Whether the next one may be published with a group of so many bytes that begins with `first`."""
        its = self._waiting[0]
        return size + its.ByteSize() <= MOST_BYTES and its.wait_seconds == first.wait_seconds and self._is_plain(its)

    def _is_plain(self, asked: PublishRequest) -> bool:
        return asked.type in self._types and len(asked.data) <= self._largest and is_plain(asked)

    def _take(self) -> PublishRequest:
        taken = self._waiting.popleft()
        self._bytes -= taken.ByteSize()
        return taken


def may_wait(asked: PublishRequest) -> bool:
    """Whether its `wait_seconds` are some: neither negative nor NaN."""
    return asked.wait_seconds >= 0


def is_plain(asked: PublishRequest) -> bool:
    """Whether a line of a batch can say all of it."""
    if asked.idempotency_key or asked.HasField("expected_version") or b"\n" in asked.data or b"\r" in asked.data:
        return False
    if not may_wait(asked):
        return False
    try:
        msgspec.json.decode(asked.data, type=dict[str, msgspec.Raw])
    except UNREADABLE_JSON:
        return False
    return True


async def published_together(
    requests: SocketRequests, group: Sequence[PublishRequest], headers: Sequence[tuple[bytes, bytes]]
) -> tuple[InnerResponse, list[PublishReply]]:
    """The answer, and a reply for each event. `headers` say for how long to wait."""
    lines = [msgspec.json.encode({"type": each.type, "data": msgspec.Raw(each.data)}) for each in group]
    answer = await requests.ask("POST", BATCH, [(b"content-type", b"application/x-ndjson"), *headers], b"\n".join(lines))
    if answer.status >= 300:
        return answer, [PublishReply(failure=failure_of(answer)) for _ in group]
    return answer, [_reply(msgspec.json.decode(line)) for line in answer.body.splitlines()]


def _reply(result: Mapping[str, Any]) -> PublishReply:
    reply = PublishReply()
    if "offset" in result:
        reply = PublishReply(
            type=result["type"], key=result["key"], id=result["id"], namespace=result["namespace"],
            partition=result["partition"], offset=result["offset"], outcome=result.get("outcome") or "",
            reason=result.get("reason") or "", duplicate=bool(result.get("duplicate")),
        )  # fmt: skip
        if result.get("sequence") is not None:
            reply.position = f"{reply.namespace}-{reply.partition}:{result['sequence']}"
    if result["status"] >= 300:
        code, told = code_of(result["status"]).value[0], sentence(result.get("detail", ""))
        failure = Failure(code=code, message=told, type=result.get("problem", ""), field=result.get("field", ""))
        reply.failure.CopyFrom(failure)
    return reply
