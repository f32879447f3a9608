"""The service `retold.v1.Retold`: each call is a request to the API inside this process, as those of a WebSocket are."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Final
from urllib.parse import quote, urlencode

import grpc
import msgspec
from google.protobuf.message import DecodeError, Message
from starlette.types import ASGIApp

from streams.namespace import EVENT_TYPE
from streams.server.connections import ConnectionLimits
from streams.server.http.parts import ServerParts
from streams.server.http.problems import Problem
from streams.server.http.socket_requests import InnerResponse, SocketRequests
from streams.server.http.write import unknown_event
from streams.server.rpc.retold_pb2 import (
    GetRequest,
    ListReply,
    ListRequest,
    PublishReply,
    PublishRequest,
    Row,
    WatchRequest,
    WatchRowsRequest,
)
from streams.server.rpc.rpc_errors import Context, abort, failure_of, refusal
from streams.server.rpc.rpc_groups import EventGroups, may_wait, published_together
from streams.server.rpc.rpc_messages import change_of, list_of, logged_of, reply_of, row_of

TABLE: Final = re.compile(r"(?:rows|projections)/[a-z][a-z0-9_]{0,62}")
NAMESPACE: Final = re.compile(r"[a-z][a-z0-9_]{0,62}")
MOST_PARAMETERS: Final = 100
MORE: Final = frozenset({"_count", "_facet"})
"""Parameters for which the answer of a list has more than rows."""
ENDED: Final = Problem(503, "the stream has ended: go on from its last place", headers={"Retry-After": "1"})
NO_TOKEN: Final = Problem(401, "the token does not count any more")
SLOW: Final = Problem(429, "what is sent is taken too slowly: go on from the last place", kind="too-many-requests")
SSE = Mapping[str, bytes]


class TooSlow(OSError):
    """A client that does not take what it is sent."""


class Gone(OSError):
    """A client that has gone while it was sent something: gRPC has a fault of its own for that, also in a call that ends so."""


class RetoldService:
    """Its methods are those of the service."""

    def __init__(self, app: ASGIApp, parts: ServerParts) -> None:
        self._app, self._parts, self._limits = app, parts, parts.connections.limits
        self._types = frozenset(parts.app.event_types())
        self._refused = parts.connections.refused

    @asynccontextmanager
    async def known(self, context: Context) -> AsyncIterator[None]:
        """Whoever waits in this has shown a token that counts, if one is needed."""
        if (known := await self._requests(context).who()).status == 401:
            await abort(context, known)
        yield

    async def publish(self, asked: PublishRequest, context: Context) -> PublishReply:
        answer = await self._published(self._requests(context), asked)
        reply = reply_of(answer)
        if answer.status >= 300:
            await abort(context, answer, reply)
        return reply

    async def publish_many(self, asked: AsyncIterator[PublishRequest], context: Context) -> AsyncIterator[PublishReply]:
        """In their order, several at once if they come faster than they are published. Who is not known waits for nothing."""
        requests, groups = self._requests(context), EventGroups(self._types, self._parts.config.max_event_bytes)
        if (known := await requests.who()).status >= 300:
            await abort(context, known)
        reading = asyncio.create_task(groups.read(asked))
        try:
            async for group in groups.groups():
                answer, replies = await self._published_group(requests, group)
                if answer.status == 401:  # nothing that follows would count
                    await abort(context, answer)
                for reply in replies:
                    yield reply
            await reading  # it has ended
        except DecodeError:
            await abort(context, refusal(Problem(400, "an event is no message of this service; nothing from it on was published")))
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)

    async def get(self, asked: GetRequest, context: Context) -> Row:
        if not asked.key:
            await abort(context, refusal(Problem(422, "no key is empty; a key was expected", field="key")))
        return row_of(await self._asked(context, await _url(context, asked.table, asked.key, asked.query)))

    async def list(self, asked: ListRequest, context: Context) -> ListReply:
        answer = await self._asked(context, await _url(context, asked.table, "", asked.query))
        return list_of(answer, whole=not MORE.isdisjoint(asked.query))

    async def watch(self, asked: WatchRequest, context: Context) -> None:
        if asked.namespace and not NAMESPACE.fullmatch(asked.namespace):
            detail = f"namespace is {asked.namespace[:100]!r}; the name of one was expected"
            await abort(context, refusal(Problem(422, detail, field="namespace")))
        path = "/events" + (f"/{asked.namespace}" if asked.namespace else "")
        await self._follow(context, f"{path}?{urlencode(asked.query)}", asked.after, logged_of)

    async def watch_rows(self, asked: WatchRowsRequest, context: Context) -> None:
        await self._follow(context, await _url(context, asked.table, asked.key, asked.query), asked.after, change_of)

    async def _published_group(
        self, requests: SocketRequests, group: Sequence[PublishRequest]
    ) -> tuple[InnerResponse, Sequence[PublishReply]]:
        if len(group) > 1:
            return await published_together(requests, group, _waiting(group[0]))
        answer = await self._published(requests, group[0])
        reply = reply_of(answer)
        if answer.status >= 300:
            reply.failure.CopyFrom(failure_of(answer))
        return answer, [reply]

    async def _published(self, requests: SocketRequests, asked: PublishRequest) -> InnerResponse:
        """A type that is no name could be another address: it is not asked for, but who asks has to be known all the same."""
        is_name = EVENT_TYPE.fullmatch(asked.type) is not None
        if is_name and may_wait(asked):
            return await _publish_named(requests, asked)
        if (known := await requests.who()).status >= 300:
            return known
        if not is_name:
            return refusal(Problem(404, unknown_event(self._parts, asked.type)))
        detail = f"wait_seconds is {asked.wait_seconds:g}; expected a number of seconds from 0 on, of which 60 are waited at most"
        return refusal(Problem(422, detail, field="wait_seconds"))

    def _requests(self, context: Context) -> SocketRequests:
        """With the token that the client shows. It is asked by a name of this machine: a browser does not speak gRPC."""
        shown = [(b"host", b"localhost")]
        for name, value in context.invocation_metadata() or ():
            if name == "authorization":
                shown.append((b"authorization", value.encode("latin-1", "replace") if isinstance(value, str) else value))
        scope = {"asgi": {"version": "3.0"}, "scheme": "http", "server": None, "client": None}
        return SocketRequests(self._app, scope, shown)

    async def _asked(self, context: Context, url: str) -> InnerResponse:
        """What the API answers, in JSON. A problem ends the call."""
        answer = await self._requests(context).ask("GET", url, [(b"accept", b"application/json")])
        if answer.status >= 300:
            await abort(context, answer)
        if not answer.headers.get("content-type", "").startswith("application/json"):
            await abort(context, refusal(Problem(422, "the answer is JSON here; leave the form out", field="_form")))
        return answer

    async def _follow(self, context: Context, url: str, after: str, told: Callable[[SSE], Message]) -> None:
        """Until the stream ends; why it did is told as an error, since a stream has no end of its own."""
        writer = StreamWriter(context, self._limits, told)
        answer = await self._requests(context).watch(url, after or None, writer.begin, writer.tell)
        if writer.is_gone:
            return
        if writer.problem is not None:
            await abort(context, writer.problem)
        if writer.is_slow:
            self._refused["reader"] += 1
            await abort(context, refusal(SLOW))
        if answer.status != 200:
            await abort(context, answer)
        await abort(context, refusal(ENDED if answer.state["lasts"]() else NO_TOKEN))


class StreamWriter:
    """Sends the events of a stream to its client. `problem` is that of a stream that had begun."""

    def __init__(self, context: Context, limits: ConnectionLimits, told: Callable[[SSE], Message]) -> None:
        self._context, self._limits, self._told = context, limits, told
        self.problem: InnerResponse | None = None
        self.is_slow = self.is_gone = False

    async def begin(self) -> None:
        await self._unless_gone(self._context.send_initial_metadata(()))

    async def tell(self, event: SSE) -> None:
        if "comment" in event:
            self.is_slow = self.is_slow or event["comment"].startswith(b"cut")
        elif event.get("event") == b"problem":
            self.problem = _problem(event["data"])
        elif event.keys() & {"data", "id"}:
            await self._write(self._told(event))

    async def _write(self, message: Message) -> None:
        """As long as a client of HTTP has for so many bytes."""
        seconds = self._limits.taken_seconds * (1 + message.ByteSize() // self._limits.taken_bytes)
        try:
            await asyncio.wait_for(self._unless_gone(self._context.write(message)), seconds)
        except TimeoutError:
            self.is_slow = True
            raise TooSlow from None

    async def _unless_gone(self, sending: Awaitable[None]) -> None:
        try:
            await sending
        except grpc.aio.BaseError:
            self.is_gone = True
            raise Gone from None


def _problem(data: bytes) -> InnerResponse:
    found = msgspec.json.decode(data)
    return InnerResponse(found["status"], data, {})


def _waiting(asked: PublishRequest) -> list[tuple[bytes, bytes]]:
    return [(b"prefer", b"wait=%.3f" % min(asked.wait_seconds, 60.0))] if asked.wait_seconds > 0 else []


async def _publish_named(requests: SocketRequests, asked: PublishRequest) -> InnerResponse:
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(asked.data)), *_waiting(asked)]
    if asked.idempotency_key:
        headers.append((b"idempotency-key", asked.idempotency_key.encode()))
    if asked.HasField("expected_version"):
        version = asked.expected_version
        headers.append((b"if-match", b'"%d"' % version) if version else (b"if-none-match", b"*"))
    return await requests.ask("POST", f"/events/{quote(asked.type, safe='')}", headers, asked.data)


async def _url(context: Context, table: str, key: str, query: Mapping[str, str]) -> str:
    """Of a table or a projection, or of a row of it."""
    if not TABLE.fullmatch(table):
        detail = f"table is {table[:100]!r}; one such as rows/order or projections/orders_per_day was expected"
        await abort(context, refusal(Problem(422, detail, field="table")))
    if len(query) > MOST_PARAMETERS:
        detail = f"query has {len(query)} parameters; at most {MOST_PARAMETERS} are taken"
        await abort(context, refusal(Problem(422, detail, field="query")))
    path = f"/{table}" + (f"/{quote(key, safe='')}" if key else "")
    return f"{path}?{urlencode(query)}" if query else path
