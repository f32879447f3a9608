"""What clients of one stream share: each is told all, once, whenever it came and however slowly it takes it."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from contextlib import ExitStack
from functools import partial

import pytest
from anyio import CapacityLimiter

from streams.server.http import shared_stream
from streams.server.http.pools import in_thread
from streams.server.http.shared_stream import (
    Batch,
    Begin,
    First,
    Host,
    SharedStream,
    SharedStreams,
    StreamReader,
    Threads,
)
from streams.server.http.stream_text import StreamEvent, events_in
from streams.server.readmodel.notifier import Notifier


class Counting:
    """A source of numbers, given one by one; the place is the last one."""

    def __init__(self) -> None:
        self.given, self._told, self.size, self.most = 0, 0, 1, 1_000_000
        self.joined: list[int] = []
        """How many were told with each client that came."""

    def is_behind(self) -> bool:
        return self._told < self.given

    def is_far_behind(self) -> bool:
        return self.given - self._told > self.most

    def advance(self) -> Batch:
        """The next `most` of them."""
        upto = min(self.given, self._told + self.most)
        found = [self._event(number) for number in range(self._told + 1, upto + 1)]
        self._told = upto
        return Batch(found, str(self._told))

    def _event(self, number: int) -> StreamEvent:
        return LoopsEvent("put", b"%d" % number + b" " * self.size, str(number))

    def join(self, begin: Begin, held: ExitStack) -> tuple[Batch, First]:
        after = int(begin.place) if begin.how == "place" else self.given
        batch = self.advance()
        self.joined.append(len(batch.events))
        return batch, First(iter([[self._event(it) for it in range(after + 1, self.given + 1)]]))


class LoopsEvent(StreamEvent):
    """Its text is not made by an event loop, which has others to serve."""

    @property
    def text(self) -> bytes:
        with pytest.raises(RuntimeError, match="no running event loop"):
            asyncio.get_running_loop()
        return super().text


class Counted:
    """The stream of such numbers."""

    def __init__(self) -> None:
        self.source, self.notifier, self.stopping, self.refused = Counting(), Notifier(), threading.Event(), Counter[str]()
        self.shared = SharedStreams(Host(self.notifier, self.stopping, self.refused))
        self.limiter = CapacityLimiter(4)

    async def join(self, begin: Begin) -> StreamReader:
        return await self.stream().join(begin, lambda: True)

    def stream(self) -> SharedStream:
        there = partial(in_thread, self.limiter)
        return self.shared.of("numbers", lambda: self.source, Threads(there, there))

    async def give(self, count: int) -> None:
        self.source.given += count
        self.notifier.notify()
        await asyncio.sleep(0.05)


async def numbers(reader: StreamReader, limiter: CapacityLimiter, count: int) -> list[int]:
    found: list[int] = []
    async for text in reader.beginning(limiter):
        found += numbers_in(text)
    if len(found) < count:
        async for text in reader.follow():
            found += numbers_in(text)
            if len(found) >= count:
                break
    return found


def numbers_in(text: bytes) -> list[int]:
    return [int(it["data"]) for it in events_in(text) if "data" in it]


def test_a_client_that_joins_in_the_midst_misses_nothing() -> None:
    """However many come while the stream goes on, each has every number behind its place, once."""

    async def run() -> None:
        counted = Counted()
        async def client(place: int) -> list[int]:
            reader = await counted.join(Begin("place", str(place)))
            try:
                return await numbers(reader, counted.limiter, 200 - place)
            finally:
                reader.leave()

        clients = []
        for number in range(20):
            counted.source.given += 10
            counted.notifier.notify()
            clients.append(asyncio.create_task(client(number * 5)))
            await asyncio.sleep(0)
        for number, found in enumerate(await asyncio.wait_for(asyncio.gather(*clients), 30)):
            assert found == [*range(number * 5 + 1, 201)]
        await asyncio.sleep(0)
        assert len(counted.shared) == 0

    asyncio.run(run())


def test_who_takes_too_little_for_too_long_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a last comment, and counted; one that takes all goes on, and what the other left is not kept."""
    monkeypatch.setattr(shared_stream, "PATIENCE", 0.2)
    monkeypatch.setattr(shared_stream, "TOGETHER", 1)

    async def run() -> None:
        counted = Counted()
        counted.source.size = 100_000
        slow, quick = await counted.join(Begin("now")), await counted.join(Begin("now"))
        taking = asyncio.create_task(numbers(quick, counted.limiter, 12))
        said: list[bytes] = []
        for _ in range(12):
            await counted.give(1)
        async for text in slow.follow():
            said.append(text[:40])
            await asyncio.sleep(0.1)
        assert said[-1].startswith(b": cut: ")
        assert 1 < len(said) < 8
        assert await asyncio.wait_for(taking, 30) == [*range(1, 13)]
        assert counted.refused == {"behind": 1}
        slow.leave()
        quick.leave()

    asyncio.run(run())


def kept_for(reader: StreamReader) -> int:
    """Bytes that wait for it."""
    found, link = 0, reader._link
    while link.next is not None:
        link = link.next
        found += len(link.text)
    return found


def test_no_more_is_kept_for_a_slow_client_than_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """However much comes within a moment, also if it takes nothing at all: then it is cut, with a last comment, and counted."""
    monkeypatch.setattr(shared_stream, "MOST_BEHIND", 300_000)

    async def run() -> None:
        counted = Counted()
        counted.source.size = 50_000
        stuck, begun, quick = [await counted.join(Begin(how)) for how in ("now", "snapshot", "now")]
        taking = asyncio.create_task(numbers(quick, counted.limiter, 40))
        most = 0
        for _ in range(40):
            await counted.give(1)
            most = max(most, kept_for(stuck), kept_for(begun))
        assert 200_000 < most <= 300_000
        assert kept_for(stuck) == kept_for(begun) == 0
        assert await asyncio.wait_for(taking, 30) == [*range(1, 41)]
        assert [text[:40] async for text in stuck.follow()] == [b": cut: what was sent was taken too slowly"[:40]]
        said = [text async for text in begun.beginning(counted.limiter)]
        assert (said[-1][:6], counted.refused) == (b": cut:", {"behind": 2})
        for each in (stuck, begun, quick):
            each.leave()

    asyncio.run(run())


def test_who_comes_in_the_midst_of_a_large_change_comes_after_it() -> None:
    """It is told to the others in pieces, and not whole with the one who comes: that would be in memory, and hold the file."""

    async def run() -> None:
        counted = Counted()
        first = await counted.join(Begin("now"))
        counted.source.most = 10
        counted.source.given = 1_000
        second = await counted.join(Begin("now"))
        assert max(counted.source.joined) <= 10
        assert await asyncio.wait_for(numbers(first, counted.limiter, 1_000), 30) == [*range(1, 1_001)]
        assert kept_for(second) == 0
        first.leave()
        second.leave()

    asyncio.run(run())


def test_a_client_is_handed_a_large_change_in_pieces() -> None:
    """However large what is told at once, or is there first: its connection's buffers hold one piece, of whole events."""

    async def run() -> None:
        counted = Counted()
        counted.source.size = 5_000
        reader = await counted.join(Begin("now"))
        async for _ in reader.beginning(counted.limiter):
            pass
        await counted.give(200)
        late = await counted.join(Begin("place", "0"))
        begun = [text async for text in late.beginning(counted.limiter)]
        assert (max(map(len, begun)) <= shared_stream.TOGETHER, numbers_in(b"".join(begun))) == (True, [*range(1, 201)])
        late.leave()
        found = list[int]()
        async for text in reader.follow():
            assert len(text) <= shared_stream.TOGETHER
            found += numbers_in(text)
            if len(found) == 200:
                break
        assert found == [*range(1, 201)]
        reader.leave()

    asyncio.run(run())


def test_who_takes_too_long_for_what_was_there_first_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """Since the file is held for it as it was; one that reads alone may take its time."""
    monkeypatch.setattr(shared_stream, "FIRST_IN", -1.0)

    async def run() -> None:
        counted = Counted()
        counted.source.given = 3
        slow = await counted.join(Begin("place", "0"))
        said = [text async for text in slow.beginning(counted.limiter)]
        assert (numbers_in(said[0]), said[-1][:6], slow.is_over) == ([1, 2, 3], b": cut:", True)
        assert counted.refused == {"behind": 1}
        stream = counted.stream()
        slow.leave()
        alone = StreamReader(stream, First(iter([[], []]), Begin("now")), ExitStack(), lambda: True, counted.refused)
        assert [text async for text in alone.beginning(counted.limiter)] == []

    asyncio.run(run())


def test_a_client_that_leaves_while_it_joins_leaves_nothing() -> None:
    """The others are told what was read for it."""

    async def run() -> None:
        counted = Counted()
        other = await counted.join(Begin("now"))
        for number in range(5):
            counted.source.given += 1
            joining = asyncio.create_task(counted.join(Begin("now")))
            await asyncio.sleep(0 if number % 2 else 0.001)
            if not joining.cancel():
                joining.result().leave()
        assert await asyncio.wait_for(numbers(other, counted.limiter, 5), 30) == [1, 2, 3, 4, 5]
        other.leave()
        await asyncio.sleep(0.1)
        assert len(counted.shared) == 0

    asyncio.run(run())


def test_a_server_that_stops_ends_its_streams() -> None:
    """Soon, though nothing happens."""

    async def run() -> None:
        counted = Counted()
        reader = await counted.join(Begin("now"))
        counted.stopping.set()
        counted.notifier.end()
        assert await asyncio.wait_for(numbers(reader, counted.limiter, 1), 30) == []

    asyncio.run(run())
