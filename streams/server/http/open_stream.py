"""The answer that is a stream: what there was first, then what comes, until its client, its token or the server goes away."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import ExitStack
from typing import Final

from anyio import CapacityLimiter, fail_after
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from streams.server.http.access_checks import principal_of
from streams.server.http.parts import ServerParts
from streams.server.http.problems import RETRY_AFTER, Problem
from streams.server.http.shared_stream import Begin, SharedStream, StreamReader
from streams.server.http.stream_text import HEADERS, MEDIA_TYPE, RETRY, STREAMED, StreamEvent, text_of
from streams.server.http.watchers import Watcher, refuse_more_streams
from streams.server.readmodel.row_json import to_json

TURN: Final = 30.0
"""s that a client waits until it may read what is there first, since others do."""
SHARED = Callable[[], SharedStream]


async def open_stream(
    request: Request, parts: ServerParts, shared: SHARED, begin: Begin, headers: Mapping[str, str]
) -> Response:
    """`shared` gives the stream that others may watch, too. Raises Problem."""
    refuse_more_streams(parts, principal_of(request))
    client = OpenStream(request, parts, shared)
    try:
        await client.join(begin)
    except BaseException:
        client.close()
        raise
    return StreamAnswer(client, {**HEADERS, **headers})


class OpenStream:
    """One client. To be closed."""

    def __init__(self, request: Request, parts: ServerParts, shared: SHARED) -> None:
        self._parts, self._shared, self._lasts, self._path = parts, shared, request.state.lasts, request.url.path
        self._watcher = Watcher(principal_of(request))
        self._reader: StreamReader | None = None
        self._turn = ExitStack()
        parts.watching.add(self._watcher)

    async def join(self, begin: Begin) -> StreamReader:
        self._leave()
        if begin.how != "now":
            await self._take_turn(self._parts.pools.results_at_once)
        self._reader = await self._shared().join(begin, self._lasts)
        if self._reader.first.then is not None:  # nothing is held for it, however slowly it reads
            self._turn.close()
        return self._reader

    async def _take_turn(self, turns: CapacityLimiter) -> None:
        """Who reads what is there holds a moment of the file."""
        mine = object()
        try:
            with fail_after(TURN):
                await turns.acquire_on_behalf_of(mine)
        except TimeoutError:
            raise Problem(503, "too many streams begin at once; come again", headers=RETRY_AFTER) from None
        self._turn.callback(turns.release_on_behalf_of, mine)

    async def lines(self) -> AsyncIterator[bytes]:
        yield RETRY
        try:
            reader = self._reader
            while reader is not None:
                async for text in self._of(reader):
                    yield text
                begin = Begin("reset") if reader.is_reset else reader.first.then
                goes_on = self._lasts() and not self._parts.stopping.is_set()
                reader = await self.join(begin) if begin is not None and goes_on else None
        except Problem as problem:  # of a stream that had begun
            yield self._told(problem)

    def _told(self, problem: Problem) -> bytes:
        return text_of([StreamEvent("problem", to_json(problem.body(self._path)))])

    async def _of(self, reader: StreamReader) -> AsyncIterator[bytes]:
        async for text in reader.beginning(self._parts.pools.results):
            yield text
        reader.held.close()
        self._turn.close()
        if reader.first.then is None:
            async for text in reader.follow():
                yield text
            if reader.problem is not None:
                yield self._told(reader.problem)

    def _leave(self) -> None:
        reader, self._reader = self._reader, None
        with self._turn:
            if reader is not None:
                reader.leave()

    def close(self) -> None:
        try:
            self._leave()
        finally:
            self._parts.watching.discard(self._watcher)


class StreamAnswer(StreamingResponse):
    """Closes its client however it ends."""

    def __init__(self, client: OpenStream, headers: Mapping[str, str]) -> None:
        super().__init__(client.lines(), headers=headers, media_type=MEDIA_TYPE)
        self._client = client

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope[STREAMED] = True
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._client.close()
