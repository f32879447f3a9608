"""The server of gRPC: its port, its bounds, and the services that every client of gRPC looks for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import Any, Final

import grpc
from google.protobuf.message import DecodeError, Message
from grpc_health.v1 import health_pb2
from grpc_health.v1.health import SERVICE_NAME as HEALTH
from grpc_reflection.v1alpha import reflection_pb2
from grpc_reflection.v1alpha._async import ReflectionServicer
from grpc_reflection.v1alpha.reflection import SERVICE_NAME as REFLECTION
from starlette.types import ASGIApp

from streams.config import Config
from streams.errors import ConfigError
from streams.server.http.parts import ServerParts
from streams.server.http.problems import Problem
from streams.server.rpc import retold_pb2
from streams.server.rpc.rpc_certificate import RpcCertificate
from streams.server.rpc.rpc_errors import Context, abort, refusal
from streams.server.rpc.rpc_service import RetoldService

SERVICE: Final = retold_pb2.DESCRIPTOR.services_by_name["Retold"].full_name
BESIDE: Final = 4_096
"""Bytes of a message beside the event in it."""
METADATA: Final = 16 * 1024
STREAMS: Final = 100
"""Calls at once on one connection."""
PROMPT: Final = 0.05
"""s in which a message is there with the head of its call, but for large ones and bad lines."""
Late = Callable[[Context], AbstractAsyncContextManager[None]]
"""In what a call waits whose message is not there at once. It may end the call."""


def options_of(config: Config, parts: ServerParts) -> list[tuple[str, int]]:
    """What C-core bounds itself. It shares no port with another server, and finds out whether a client is still there.

    A connection is closed that has no call for a while: clients connect again by themselves.
    """
    limits = parts.connections.limits
    return [
        ("grpc.so_reuseport", int(parts.link is not None)),  # with the other processes of this server
        ("grpc.max_receive_message_length", 2 * config.max_event_bytes + BESIDE),  # so one that is too large is told by itself
        ("grpc.max_send_message_length", -1),
        ("grpc.max_metadata_size", METADATA),
        ("grpc.absolute_max_metadata_size", METADATA),
        ("grpc.max_concurrent_streams", STREAMS),
        ("grpc.max_allowed_incoming_connections", limits.connections),
        ("grpc.server_handshake_timeout_ms", round(limits.head_seconds * 1000)),
        ("grpc.max_connection_idle_ms", round(limits.idle_seconds * 1000)),
        ("grpc.keepalive_time_ms", round(limits.ping_seconds * 1000)),
        ("grpc.keepalive_timeout_ms", round(limits.ping_seconds * 1000)),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.ping_timeout_ms", round(limits.ping_seconds * 1000)),
        ("grpc.http2.max_pings_without_data", 0),
    ]


class RpcServer:
    """To be started and ended by one event loop, that of the API."""

    def __init__(self, app: ASGIApp, parts: ServerParts, port: int) -> None:
        self._app, self._parts, self._port = app, parts, port
        self._seconds = parts.connections.limits.body_seconds
        """In which a client has to send what it asks: calls are bounded in all."""
        self._strangers = 0

    async def start(self) -> None:
        """Raises ConfigError for an address that it cannot have."""
        config = self._parts.config
        server = grpc.aio.server(options=options_of(config, self._parts), maximum_concurrent_rpcs=config.http_connections)
        server.add_generic_rpc_handlers((self._service(), self._health(), self._reflection()))
        host = config.http_host
        address = f"{f'[{host}]' if ':' in host else host}:{self._port}"
        try:
            if config.http_tls_cert is None or config.http_tls_key is None:
                server.add_insecure_port(address)
            else:
                server.add_secure_port(address, RpcCertificate(config.http_tls_cert, config.http_tls_key).credentials())
        except (RuntimeError, OSError) as error:
            raise ConfigError(
                f"gRPC cannot listen at {address} (RETOLD_GRPC_PORT, --grpc-port): the port may be in use by another program"
            ) from error
        await server.start()
        self._server = server

    async def end(self, seconds: float) -> None:
        """No call is taken any more; those that are open have so long to end."""
        await self._server.stop(seconds)

    def _service(self) -> grpc.GenericRpcHandler:
        it, service, seconds = retold_pb2, RetoldService(self._app, self._parts), self._seconds
        return grpc.method_handlers_generic_handler(SERVICE, {
            "Publish": _unary(service.publish, it.PublishRequest, it.PublishReply, seconds, service.known),
            "PublishMany": _both(service.publish_many, it.PublishRequest, it.PublishReply),
            "Get": _unary(service.get, it.GetRequest, it.Row, seconds, service.known),
            "List": _unary(service.list, it.ListRequest, it.ListReply, seconds, service.known),
            "Watch": _stream(service.watch, it.WatchRequest, it.LoggedEvent, seconds, service.known),
            "WatchRows": _stream(service.watch_rows, it.WatchRowsRequest, it.RowChange, seconds, service.known),
        })  # fmt: skip

    @asynccontextmanager
    async def _stranger(self, context: Context) -> AsyncIterator[None]:
        """A call that waits and needs no token: a quarter of all calls may be such, so the others find room."""
        if self._strangers >= max(1, self._parts.config.http_connections // 4):
            detail = "too many calls wait that need no token: come again later"
            await abort(context, refusal(Problem(429, detail, kind="too-many-requests", headers={"Retry-After": "1"})))
        self._strangers += 1
        try:
            yield
        finally:
            self._strangers -= 1

    def _health(self) -> grpc.GenericRpcHandler:
        model = self._parts.model

        async def check(asked: health_pb2.HealthCheckRequest, context: Context) -> health_pb2.HealthCheckResponse:
            if asked.service not in ("", SERVICE):
                await context.abort(grpc.StatusCode.NOT_FOUND, f"there is no service {asked.service[:100]!r}; {SERVICE} is one")
            serves = (model.waits or model.behind) is None and "broker" not in model.faults
            state = health_pb2.HealthCheckResponse.SERVING if serves else health_pb2.HealthCheckResponse.NOT_SERVING
            return health_pb2.HealthCheckResponse(status=state)

        request, response = health_pb2.HealthCheckRequest, health_pb2.HealthCheckResponse
        method = _unary(check, request, response, self._seconds, self._stranger)
        return grpc.method_handlers_generic_handler(HEALTH, {"Check": method})

    def _reflection(self) -> grpc.GenericRpcHandler:
        """What there is to be called, for tools such as grpcurl: it tells `retold.proto`, and nothing of the application.

        Nobody needs a token for it, so nobody may hold it for longer than a body may take.
        """
        servicer, seconds = ReflectionServicer([SERVICE, HEALTH, REFLECTION]), self._seconds

        async def told(asked: AsyncIterator[Any], context: Context) -> AsyncIterator[Any]:
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds), self._stranger(context):
                    async for reply in servicer.ServerReflectionInfo(asked, context):
                        yield reply

        method = _both(told, reflection_pb2.ServerReflectionRequest, reflection_pb2.ServerReflectionResponse)
        return grpc.method_handlers_generic_handler(REFLECTION, {"ServerReflectionInfo": method})


def _unary(call: Callable[..., Any], request: type[Message], response: type[Message], seconds: float, late: Late) -> Any:
    """Taken as a stream, since a call whose message does not come would be held by gRPC for ever."""

    async def answer(asked: AsyncIterator[Message], context: Context) -> Any:
        return await call(await _first(asked, context, seconds, late), context)

    return grpc.stream_unary_rpc_method_handler(answer, request.FromString, response.SerializeToString)


def _stream(call: Callable[..., Any], request: type[Message], response: type[Message], seconds: float, late: Late) -> Any:
    async def answer(asked: AsyncIterator[Message], context: Context) -> None:
        await call(await _first(asked, context, seconds, late), context)

    return grpc.stream_stream_rpc_method_handler(answer, request.FromString, response.SerializeToString)


async def _first(asked: AsyncIterator[Message], context: Context, seconds: float, late: Late) -> Message:
    reading = asyncio.create_task(_next(asked))
    try:
        await asyncio.wait({reading}, timeout=PROMPT)
        if not reading.done():
            async with late(context):
                await asyncio.wait({reading}, timeout=seconds)
        if not reading.done():
            await abort(context, refusal(Problem(504, f"the message of the call was not complete after {seconds:g} s")))
        if (message := reading.result()) is None:
            await abort(context, refusal(Problem(400, "the call has no message; one was expected")))
        return message
    except DecodeError:
        await abort(context, refusal(Problem(400, "what was sent is no message of this call")))
    finally:
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)


async def _next(asked: AsyncIterator[Message]) -> Message | None:
    async for message in asked:
        return message
    return None


def _both(call: Callable[..., Any], request: type[Message], response: type[Message]) -> Any:
    return grpc.stream_stream_rpc_method_handler(call, request.FromString, response.SerializeToString)
