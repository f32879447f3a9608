"""A connection that speaks HTTP/2: counted, bounded and ended as those of HTTP/1 are."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Final

from h2.errors import ErrorCodes
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    RemoteSettingsChanged,
    RequestReceived,
    StreamEnded,
    StreamReset,
    WindowUpdated,
)
from h2.exceptions import DenialOfServiceError, ProtocolError
from starlette.types import ASGIApp

from streams.server.connections import BoundedProtocol, Full, waiting_in
from streams.server.http.problems import Problem
from streams.server.http2.frame_scan import FrameScan
from streams.server.http2.http2_link import MOST_STREAMS, Http2Link
from streams.server.http2.http2_request import head_size, scope_of
from streams.server.http2.http2_stream import Http2Stream
from streams.server.slow_reader import SlowReader

MOST_IDLE_FRAMES: Final = 1_000
"""Frames that ask nothing (pings, settings, requests that are reset), beyond those that answers account for."""
SPARED: Final = 2
"""Such frames that are accounted for by each frame of an answer, and by each request."""
ENDING: Final = 20
"""Requests that were answered, or reset, and whose application has not ended yet: their client does not count them."""
LONGEST_HEAD: Final = 2
"""Times the bytes that a head may have: so many of one are taken before its end is there, to be answered."""


class Http2Protocol(asyncio.Protocol):
    """Takes over from `before`, which has just been connected. `since` is when its last request ended."""

    def __init__(self, before: BoundedProtocol) -> None:
        self.register, self.peer, self.since, self.loop = before.register, before.peer, before.since, before.loop
        self._limits, self._app, self._server_state = before.register.limits, before.app, before.server_state
        self._transport, self._beneath, self._is_spare = before.transport, before.beneath, before.is_spare
        self._common = {"server": before.server, "client": before.client, "scheme": before.scheme}
        self._link = Http2Link(before.transport, before.loop, self._limits.head_bytes)
        self._streams: dict[int, Http2Stream] = {}
        self._reader = SlowReader(self._limits.taken_seconds, self._limits.taken_bytes)
        self._has_asked = self._ends = self._is_ended = False
        self._scan = FrameScan()
        self._part: tuple[int, float] | None = None
        """How many frames had come whole, and since when the next one is not."""
        self._idle_frames = 0

    def begin(self, data: bytes) -> None:
        """With what its client has said already."""
        self._server_state.connections.add(self)  # type: ignore[arg-type]  # all that uvicorn needs of it is `shutdown`
        self._link.begin()
        if data:
            self.data_received(data)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio gives it
        self._server_state.connections.discard(self)
        self.register.forget(self)
        self._leave()

    def data_received(self, data: bytes) -> None:
        if self._is_ended:
            return
        try:
            events = self._link.received(data)
        except ProtocolError as error:
            too_large = isinstance(error, DenialOfServiceError)
            self._end("size" if too_large else "malformed", "the connection is not HTTP/2 as this server reads it")
            return
        self._note_part(data)
        for event in events:
            self._take(event)
        self._link.flush()

    def _note_part(self, data: bytes) -> None:
        scan = self._scan
        scan.take(data)
        if scan.is_whole:
            self._part = None
        elif self._part is None or self._part[0] != scan.finished:
            self._part = scan.finished, self.loop.time()
        if scan.head > LONGEST_HEAD * self._limits.head_bytes:
            self._end("size", f"a head has more than {self._limits.head_bytes} bytes")

    def _take(self, event: Event) -> None:
        if self._is_ended:
            return
        self._idle_frames = max(0, self._idle_frames - SPARED * self._link.take_sent())
        match event:
            case RequestReceived():
                self._idle_frames = max(0, self._idle_frames - SPARED)
                self._open(event)
            case DataReceived() | StreamEnded() | StreamReset():
                self._take_of(self._streams.get(event.stream_id), event)
            case ConnectionTerminated():
                self._ends = True
                self._end_if_left()
            case _:
                self._idle_frames += 1
                if isinstance(event, WindowUpdated | RemoteSettingsChanged):
                    self._wake()
        if self._idle_frames > MOST_IDLE_FRAMES:
            self._end("flood", "too many frames ask nothing", ErrorCodes.ENHANCE_YOUR_CALM)

    def _take_of(self, stream: Http2Stream | None, event: DataReceived | StreamEnded | StreamReset) -> None:
        """`stream` is None if it was answered."""
        if isinstance(event, DataReceived):
            self._idle_frames += not event.data
            if stream is not None:
                stream.take(event.data, event.flow_controlled_length)
            else:
                self._link.taken(event.stream_id, event.flow_controlled_length)
        elif isinstance(event, StreamReset):
            self._idle_frames += SPARED + 1  # its request was worth nothing, and cost something
            if stream is not None:
                stream.leave()
        elif stream is not None:
            self.register.refused["malformed"] += not stream.take_end()

    def _open(self, event: RequestReceived) -> None:
        number, headers = event.stream_id, [(bytes(name), bytes(value)) for name, value in event.headers]
        if self._ends or len(self._streams) >= MOST_STREAMS + ENDING:
            self._link.reset(number, ErrorCodes.REFUSED_STREAM)
            return
        self._has_asked = True
        sentence = self.register.take_request(self.peer)
        app: ASGIApp = self._app if sentence is None else Full(self._app, sentence, self.register.refused)
        try:
            if head_size(headers) > self._limits.head_bytes:
                self.register.refused["size"] += 1
                raise Problem(431, f"the request line and the headers have more than {self._limits.head_bytes} bytes")
            scope = scope_of(headers, self._common)
        except Problem as problem:
            self.register.refused["malformed"] += problem.status == 400
            app, scope = problem.response(""), {**self._common, "method": "GET", "path": "", "type": "http"}
        stream = Http2Stream(self._link, number, scope, self._limits, self._server_state.default_headers)
        self._streams[number] = stream
        task = self.loop.create_task(stream.run(app))
        self._server_state.tasks.add(task)
        task.add_done_callback(partial(self._ended, number))

    def _ended(self, number: int, task: asyncio.Task[None]) -> None:
        self._server_state.tasks.discard(task)
        self._server_state.total_requests += 1
        self.register.end_request(self.peer)
        del self._streams[number]
        self.since = self.loop.time()
        self._ends = self._ends or self._is_spare
        self._end_if_left()

    def _end_if_left(self) -> None:
        if self._ends and not self._streams and not self._is_ended:
            self._end("", "")

    def _end(self, why: str, sentence: str, code: ErrorCodes = ErrorCodes.PROTOCOL_ERROR) -> None:
        """Says why, and closes."""
        if why:
            self.register.refused[why] += 1
        self._is_ended = True
        self._link.end(code if why else ErrorCodes.NO_ERROR, sentence)
        self._leave()

    def _leave(self) -> None:
        for stream in self._streams.values():
            stream.leave()

    def _wake(self) -> None:
        for stream in self._streams.values():
            stream.wake.set()

    def shutdown(self) -> None:
        """The server stops: what is asked is answered."""
        self._ends = True
        if self._streams:
            self._link.announce_end()
        else:
            self._end_if_left()

    def pause_writing(self) -> None:
        """Nor is anything read then: answers to pings would gather."""
        self._link.paused = True
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        self._link.paused = False
        self._transport.resume_reading()
        self._reader.has_taken()
        self._wake()

    @property
    def is_idle(self) -> bool:
        return not self._streams

    @property
    def is_closing(self) -> bool:
        return self._transport.is_closing()

    def abort(self, why: str) -> None:
        self.register.refused[why] += 1
        self.register.forget(self)
        self._is_ended = True
        self._transport.abort()
        self._leave()

    def look(self, now: float) -> None:
        waiting = waiting_in(self._transport, self._beneath)
        left = 0 if self._link.has_room else sum(each.waiting for each in self._streams.values())
        if self._reader.is_stuck(waiting + left, self._link.written - waiting, now):
            self.abort("reader")
        elif not self._is_ended:
            for stream in [*self._streams.values()]:
                if why := stream.look(now):
                    self.register.refused[why] += 1
            self._link.flush()
            self._look_for_head(now)

    def _look_for_head(self, now: float) -> None:
        limits = self._limits
        if self._part is not None:
            sends_body = any(each.waits_for_body for each in self._streams.values())
            patience, since = limits.body_seconds if sends_body else limits.head_seconds, self._part[1]
        elif not self._streams:
            patience, since = limits.idle_seconds if self._has_asked else limits.head_seconds, self.since
            patience = limits.spare_seconds if self._is_spare else patience
        else:
            return
        if now - since > patience:
            idle = self._has_asked and self._part is None
            self._end("" if idle else "head", f"the head of a request was not complete after {patience:g} s")
