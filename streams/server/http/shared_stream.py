"""A stream that all who ask for the same address share: what is new is read once and encoded once, for all of them.

No client has a queue. What was encoded hangs together as a chain, in which each client stands somewhere; what nobody stands before
any more is gone. So a slow client costs no more than what it has not taken, and is cut when that is too much for too long.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Hashable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple, Protocol

from anyio import CapacityLimiter

from streams.errors import UnsupportedSchema
from streams.server.http.pools import InThread, in_thread
from streams.server.http.problems import Problem
from streams.server.http.stream_text import StreamEvent, comment, text_of
from streams.server.readmodel.notifier import Notifier
from streams.server.readmodel.store_readers import StoreAway

log = logging.getLogger("retold.server")
LOOK_EVERY: Final = 0.5
"""s after which it is looked again at tokens, and whether anything is new, though nobody said so."""
ALIVE: Final = 15.0
"""s of silence after which the place is told, so that proxies keep the connection."""
BEHIND: Final = 256 * 1024
"""Bytes that a client may leave waiting for `PATIENCE`."""
PATIENCE: Final = 10.0
MOST_BEHIND: Final = 16 * 1024 * 1024
"""Bytes that may wait for a client however shortly, and while it takes what was there first: more of them are not kept."""
FIRST_IN: Final = 300.0
"""s in which it has to take that: until then the file is held as it was, and its journal grows."""
TOGETHER: Final = 64 * 1024
"""Bytes that are handed over at once, about: no more waits in the buffers of a slow client's connection."""
BEFORE_JOINING: Final = 1_000
"""Batches that are told at most before a client is let in."""
TOO_SLOW: Final = "what was sent was taken too slowly; come back at the last id"


class Begin(NamedTuple):
    """Where a client begins: `reset` is what it is told that comes back to a place that there is not any more."""

    how: Literal["now", "snapshot", "beginning", "place", "reset"]
    place: str = ""


class First(NamedTuple):
    """What a client gets before it shares the stream. With `then`, it does not share it yet, but asks again from there.

    Then it takes as long as it likes, since nothing is held for it.
    """

    pieces: Iterator[Sequence[StreamEvent]]
    then: Begin | None = None


class Batch(NamedTuple):
    """What is new, and the place behind it. With `reset`, all that was told counts no more: everybody begins anew."""

    events: Sequence[StreamEvent]
    place: str
    reset: bool = False


class News(NamedTuple):
    """A batch as it is sent, in pieces."""

    pieces: Sequence[bytes]
    place: str
    reset: bool


class Source(Protocol):
    """What a stream is made of. `advance` and `join` are called in a thread, never both at once, and raise Problem.

    Where they raise, it stands where it stood: what was read then is read again.
    """

    def is_behind(self) -> bool:
        """Whether there may be something new; asked by the event loop."""

    def is_far_behind(self) -> bool:
        """Whether there is more than should be told at once; asked by the event loop."""

    def advance(self) -> Batch: ...

    def join(self, begin: Begin, held: ExitStack) -> tuple[Batch, First]:
        """Go on to a moment, at which a client begins. `held` is closed when it has taken its `First`."""


@dataclass(eq=False, slots=True)
class Link:
    """`written`: the bytes of the stream up to the end of this one. `ends`: nothing follows for those who come here.

    With a `problem`, it ends by that, which each client is told with its own address.
    """

    text: bytes
    written: int
    ends: Literal["", "reset", "over"] = ""
    problem: Problem | None = None
    next: Link | None = None


class Threads(NamedTuple):
    """Where a source is called: to let a client in, and to go on."""

    join: InThread
    advance: InThread


@dataclass(frozen=True)
class Host:
    """What all streams of a server use. `refused` counts those that were cut."""

    notifier: Notifier
    stopping: threading.Event
    refused: Counter[str]


class SharedStreams:
    """The streams of a server by what they are of; used by one event loop."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._streams: dict[Hashable, SharedStream] = {}

    def of(self, key: Hashable, make: Callable[[], Source], in_threads: Threads, pace: float = 0.0) -> SharedStream:
        """The stream of this key, made if nobody watches it. `pace`: s between two looks."""
        found = self._streams.get(key)
        if found is None:
            found = self._streams[key] = SharedStream(make(), self._host, in_threads, pace, lambda it: self._forget(key, it))
        return found

    def __len__(self) -> int:
        return len(self._streams)

    def _forget(self, key: Hashable, stream: SharedStream) -> None:
        """Another one may have taken its place."""
        if self._streams.get(key) is stream:
            del self._streams[key]


class SharedStream:
    """`forget` is called when nobody watches any more."""

    def __init__(
        self, source: Source, host: Host, in_threads: Threads, pace: float, forget: Callable[[SharedStream], None]
    ) -> None:
        self._source, self._host, self._in_threads, self._pace, self._forget = source, host, in_threads, pace, forget
        self._turn = asyncio.Lock()
        self._readers: set[StreamReader] = set()
        self._joining = 0
        self._task: asyncio.Task[None] | None = None
        self._place, self._told, self._looked = "", time.monotonic(), 0.0
        self._problem: Problem | None = None
        self.tail = Link(b"", 0)

    async def join(self, begin: Begin, lasts: Callable[[], bool]) -> StreamReader:
        """A new client, to be left by it. Raises Problem. What was begun is ended also if the client goes away meanwhile."""
        self._joining += 1
        joined = asyncio.ensure_future(self._join(begin, lasts))
        try:
            return await asyncio.shield(joined)
        except asyncio.CancelledError:
            joined.add_done_callback(_leave)
            raise

    async def _join(self, begin: Begin, lasts: Callable[[], bool]) -> StreamReader:
        held = ExitStack()
        try:
            async with self._turn:
                for _ in range(BEFORE_JOINING):  # so that what is told with it is little
                    if not self._source.is_far_behind():
                        break
                    await self._advance()
                news, first = await self._in_threads.join(_joined, self._source, begin, held)
                self._publish(news)
                reader = StreamReader(self, first, held, lasts, self._host.refused)
                if first.then is None:
                    self._readers.add(reader)
        except BaseException:
            held.close()
            raise
        finally:
            self._joining -= 1
            self._end_if_left()
        if self._task is None and self._readers:
            self._task = asyncio.create_task(self._run())
        return reader

    def leave(self, reader: StreamReader) -> None:
        self._readers.discard(reader)
        self._end_if_left()

    def _end_if_left(self) -> None:
        if not self._readers and not self._joining:
            self._forget(self)

    async def _run(self) -> None:
        try:
            goes_on = True
            while goes_on and (self._readers or self._joining) and not self._host.stopping.is_set():
                goes_on = await self._step()
                self._look(time.monotonic())
        except Exception:
            log.exception("a stream ends by a fault of the server's own; its clients come back")
        finally:
            self._task = None
            self._forget(self)
            self._add(b"", "over")

    async def _step(self) -> bool:
        """Whether the stream goes on."""
        subscription = self._host.notifier.subscribe()
        if not self._source.is_behind():
            await subscription.wait(LOOK_EVERY)
            return True
        self._host.notifier.unsubscribe(subscription)
        try:
            async with self._turn:
                await self._advance()
        except Problem as problem:
            self._problem = problem
            return False
        except (StoreAway, sqlite3.Error, UnsupportedSchema):  # soon there is another file, or the schema is known
            await asyncio.sleep(LOOK_EVERY)
        await asyncio.sleep(self._pace)
        return True

    async def _advance(self) -> None:
        self._publish(await self._in_threads.advance(_advanced, self._source))

    def _publish(self, news: News) -> None:
        self._place = news.place
        for text in news.pieces:
            self._add(text, "")
        if news.reset:
            self._add(b"", "reset")
        for reader in self._readers:
            if self.tail.written - reader.written > MOST_BEHIND:  # also if it takes nothing, and so does not look itself
                reader.give_up()

    def _add(self, text: bytes, ends: Literal["", "reset", "over"]) -> None:
        self._told = time.monotonic()
        link = Link(text, self.tail.written + len(text), ends, self._problem if ends == "over" else None)
        self.tail.next = self.tail = link
        for reader in self._readers:
            reader.wake.set()

    def _look(self, now: float) -> None:
        if now - self._looked < LOOK_EVERY:
            return
        self._looked = now
        for reader in [*self._readers]:
            if not reader.lasts():
                reader.end()
        if now - self._told >= ALIVE:
            self._add(text_of([StreamEvent("", b"", self._place)]) if self._place else comment("still here"), "")


def _advanced(source: Source) -> News:
    return _news(source.advance())


def _joined(source: Source, begin: Begin, held: ExitStack) -> tuple[News, First]:
    batch, first = source.join(begin, held)
    return _news(batch), first


def _news(batch: Batch) -> News:
    """The texts are made in the thread, too: those of a thousand rows keep the event loop for some ms."""
    return News([*pieces_of(event.text for event in batch.events)], batch.place, batch.reset)


def _first_texts(pieces: Iterator[Sequence[StreamEvent]]) -> Sequence[bytes] | None:
    piece = next(pieces, None)
    return None if piece is None else [*pieces_of(event.text for event in piece)]


def pieces_of(texts: Iterable[bytes]) -> Iterator[bytes]:
    """The texts of events in pieces, each as large as is handed over at once; an event that is larger is one of its own."""
    some, size = list[bytes](), 0
    for text in texts:
        if some and size + len(text) > TOGETHER:
            yield b"".join(some)
            some, size = [], 0
        some.append(text)
        size += len(text)
    if some:
        yield b"".join(some)


class StreamReader:
    """A client of a shared stream: what there was `first`, and then what it follows. To be left."""

    def __init__(
        self, stream: SharedStream, first: First, held: ExitStack, lasts: Callable[[], bool], refused: Counter[str]
    ) -> None:
        self._stream, self.first, self.held, self.lasts, self._refused = stream, first, held, lasts, refused
        self._link, self._late = stream.tail if first.then is None else Link(b"", 0), 0.0
        self.wake, self.is_over, self.is_reset = asyncio.Event(), False, False
        self.problem: Problem | None = None
        self._is_given_up = False

    @property
    def written(self) -> int:
        """The bytes of the stream up to where it stands."""
        return self._link.written

    async def beginning(self, limiter: CapacityLimiter) -> AsyncIterator[bytes]:
        """Ends with its token, too: the stream itself looks at those alone that share it."""
        began = time.monotonic()
        while (texts := await in_thread(limiter, _first_texts, self.first.pieces)) is not None and not self.is_over:
            for text in texts:
                yield text
            if not self.lasts():
                self.is_over = True
                return
            if self.first.then is None and (self._is_given_up or time.monotonic() - began > FIRST_IN):
                yield self._cut("what there was first was taken too slowly; ask for less, with filters")
                return

    async def follow(self) -> AsyncIterator[bytes]:
        """Until there is nothing more for it."""
        while not self.is_over:
            if self._is_given_up:
                yield self._cut(TOO_SLOW)
                return
            if self._link.next is None:
                self.wake.clear()
                await self.wake.wait()
                continue
            text = self._take()
            if text:
                yield text
            if self._is_late(time.monotonic()):
                yield self._cut(TOO_SLOW)

    def give_up(self) -> None:
        """Too much waits for it, and is kept no longer; it is cut when it takes something again, or its connection is."""
        self._is_given_up, self._link = True, Link(b"", self._link.written)
        self.wake.set()

    def _take(self) -> bytes:
        parts, size = list[bytes](), 0
        while (following := self._link.next) is not None and not self.is_over:
            if parts and size + len(following.text) > TOGETHER:
                break
            self._link = following
            parts.append(self._link.text)
            size += len(self._link.text)
            self.is_reset, self.problem = self._link.ends == "reset", self._link.problem
            self.is_over = self._link.ends != ""
        return b"".join(parts)

    def _is_late(self, now: float) -> bool:
        if self._stream.tail.written - self._link.written <= BEHIND:
            self._late = 0.0
        elif not self._late:
            self._late = now
        return bool(self._late) and now - self._late > PATIENCE

    def _cut(self, why: str) -> bytes:
        self._refused["behind"] += 1
        self.is_over = True
        return comment(f"cut: {why}")

    def end(self) -> None:
        self.is_over = True
        self.wake.set()

    def leave(self) -> None:
        try:
            self.held.close()
        finally:
            self._stream.leave(self)


def _leave(joined: asyncio.Future[StreamReader]) -> None:
    """Of a client that went away while it joined."""
    if not joined.cancelled() and joined.exception() is None:
        joined.result().leave()
