"""What clients of one stream share: each is told all, once, whenever it came and however slowly it takes it."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, nullcontext
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
import pytest
from anyio import CapacityLimiter
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.codec import codec_of
from streams.query_parameters import read_query
from streams.server.http import shared_stream, watched_rows
from streams.server.http.pools import in_thread
from streams.server.http.shared_stream import Batch, Begin, First, Host, SharedStreams, StreamReader
from streams.server.http.stream_text import StreamEvent, events_in
from streams.server.http.watched_rows import AskedRows, WatchedRows, continues_from, tick_of
from streams.server.readmodel import change_log
from streams.server.readmodel.change_log import ChangeEnd
from streams.server.readmodel.model import ReadModel
from streams.server.readmodel.notifier import Notifier
from streams.server.readmodel.row_writer import UnreadableRow
from streams.server.readmodel.store_moment import StoreMoment
from tests.applications import shop
from tests.applications.shop.events import StockRow
from tests.support.memory_server import MemoryKafka

CHANGE = st.tuples(st.sampled_from("abcdef"), st.sampled_from([None, 1, 2, 3, "unreadable"]))
OTHER = st.sampled_from(["now", "snapshot", "back", "take", "look"])


class FollowedRows:
    """A client: the rows that it was told, and the keys of those that do not read. It takes nothing until it is told to."""

    def __init__(self, rows: dict[str, Any], unreadable: Iterable[str], *, is_known: bool) -> None:
        """`is_known`: the stream knows which rows it has."""
        self.rows, self.unreadable, self.place, self._is_known = dict(rows), {*unreadable}, "", is_known
        self._waiting: list[tuple[Iterator[Sequence[StreamEvent]], ExitStack]] = []

    def gets(self, pieces: Iterator[Sequence[StreamEvent]], held: ExitStack) -> None:
        self._waiting.append((pieces, held))

    def take(self) -> None:
        while self._waiting:
            self.take_first()

    def take_first(self) -> None:
        pieces, held = self._waiting.pop(0)
        for piece in pieces:
            for event in piece:
                self._apply(event)
        held.close()

    def _apply(self, event: StreamEvent) -> None:
        data = msgspec.json.decode(event.data or b"{}")
        if event.name == "reset":
            self.rows, self.unreadable = {}, set()
        elif event.name == "gone":
            assert data["key"] in {*self.rows, *self.unreadable} or not self._is_known, "it never had that row"
            self._forget(data["key"])
        elif event.name == "unreadable":
            assert data["problem"] == "no such schema"
            self._forget(data["key"])
            self.unreadable.add(data["key"])
        elif event.name == "put":
            assert self.rows.get(data["key"]) != data, "it was told twice"
            self._forget(data["key"])
            self.rows[data["key"]] = data
        self.place = event.place or self.place

    def _forget(self, key: str) -> None:
        self.rows.pop(key, None)
        self.unreadable.discard(key)


class WatchedStock:
    """Rows of a table in a file, and all who watch them."""

    def __init__(self, folder: Path, query: str, *, restricted: bool) -> None:
        app = shop.app()
        self._model = ReadModel(app, codec_of(app))
        self.kafka = MemoryKafka(app, self._model, folder)
        pairs = [it.partition("=")[::2] for it in query.split("&") if it]
        asked = read_query(pairs, StockRow, "stock")
        self._asked = AskedRows(
            "stock", self._model.tables["stock"], StockRow, asked, None, True, restricted and bool(query), lambda _: None,
            lambda _: nullcontext(),
        )
        self.source, self.clients, self._version = WatchedRows(self._model, self._asked), list[FollowedRows](), 0

    def put(self, key: str, free: int | str | None) -> None:
        self._version += 1
        row = StockRow(free=free, price=1) if isinstance(free, int) else None if free is None else UnreadableRow("no such schema")
        self.kafka.put_row("stock", key, row, self._version)

    def join(self, begin: Begin, rows: dict[str, Any], unreadable: Iterable[str] = ()) -> FollowedRows:
        client = FollowedRows(rows, unreadable, is_known=begin.how != "place" and bool(self._asked.query.filters))
        self._begin(client, begin)
        self.clients.append(client)
        return client

    def _begin(self, client: FollowedRows, begin: Begin) -> None:
        held = ExitStack()
        batch, first = self.source.join(begin, held)
        self._spread(batch)
        client.gets(first.pieces, held)

    def look(self) -> None:
        if self.clients and self.source.is_behind():
            self._spread(self.source.advance())

    def _spread(self, batch: Batch) -> None:
        for each in self.clients:
            if batch.reset:
                self._begin(each, Begin("reset"))
            else:
                each.gets(iter([batch.events]), ExitStack())

    def listed(self) -> dict[str, Any]:
        with self._model.moment() as moment:
            page = moment.rows_of(self._asked.table, self._model.columns["stock"]).page(self._asked.query)
        return {key: {"key": key, "version": at, "row": msgspec.json.decode(body)} for key, at, body in page.rows}

    def lacking(self) -> set[str]:
        """The keys of rows that do not read, as far as who watches may know."""
        with self._model.moment() as moment:
            return set() if self._asked.restricted else {key for key, _ in moment.unreadable(self._asked.table, 100)[1]}

    def do(self, step: Any) -> None:
        known = next((it for it in self.clients if it.place), None)
        if isinstance(step, tuple):
            self.put(*step)
        elif step == "look":
            self.look()
        elif step == "take":
            for each in self.clients:
                each.take()
        elif step == "back" and known is not None:
            self.join(Begin("place", known.place), known.rows, known.unreadable)
        elif step == "now":
            self.join(Begin("now"), self.listed(), self.lacking())
        else:
            self.join(Begin("snapshot"), {})


@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.one_of(CHANGE, OTHER), min_size=10, max_size=40), st.sampled_from(["", "free__gte=2"]), st.booleans(),
    st.integers(1, 9), st.sampled_from([1, watched_rows.LARGE]),
)  # fmt: skip
def test_each_client_has_the_rows_of_the_query(steps: list[Any], query: str, restricted: bool, kept: int, large: int) -> None:
    """Whenever it came, and with whatever it came back: in the end it has the rows that a list has, each told once.

    It knows which rows do not read, too. So it is if one row is told at a time.
    """
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(change_log, "KEPT", kept)
        patch.setattr(change_log, "PIECE", 1)
        patch.setattr(watched_rows, "LARGE", large)
        watched = WatchedStock(Path(folder), query, restricted=restricted)
        try:
            for step in steps:
                watched.do(step)
            watched.join(Begin("snapshot"), {})
            for each in watched.clients:
                each.take()
                assert (each.rows, each.unreadable) == (watched.listed(), watched.lacking())
        finally:
            watched.kafka.store.close()


@pytest.mark.parametrize("begin", ["snapshot", "place"])
def test_what_was_there_first_has_the_place_of_its_moment(tmp_path: Path, begin: Any) -> None:
    """Also if the stream has gone on before it is read: who broke off behind it and came back would miss what came between."""
    watched = WatchedStock(tmp_path, "", restricted=False)
    try:
        before = watched.join(Begin("now"), {})
        before.take()
        watched.put("a", 1)
        client = watched.join(Begin(begin, before.place), {})
        watched.put("b", 2)
        watched.look()
        client.take_first()
        again = watched.join(Begin("place", client.place), client.rows)
        again.take()
        assert again.rows == watched.listed()
    finally:
        watched.kafka.store.close()


def test_who_comes_back_is_told_some_rows_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However much has changed meanwhile: it may be a hundred thousand rows, for each of many clients."""
    monkeypatch.setattr(watched_rows, "AT_ONCE", 2)
    watched, held = WatchedStock(tmp_path, "", restricted=False), ExitStack()
    try:
        begun = watched.join(Begin("now"), {})
        begun.take()
        for key in "abcde":
            watched.put(key, 1)
        _, first = watched.source.join(Begin("place", begun.place), held)
        assert [[event.name for event in piece] for piece in first.pieces] == [["put"] * 2, ["put"] * 2, ["put"], [""]]
    finally:
        held.close()
        watched.kafka.store.close()


def test_a_large_commit_is_told_piece_by_piece(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that not all of it is in memory: as many rows at a time as are large together, until nothing is left."""
    monkeypatch.setattr(watched_rows, "LARGE", 150)
    watched = WatchedStock(tmp_path, "", restricted=False)
    try:
        client = watched.join(Begin("now"), {})
        for number in range(50):
            watched.put(f"k{number:02}", number)
        sizes = list[int]()
        while watched.source.is_behind():
            batch = watched.source.advance()
            sizes.append(sum(len(event.data) for event in batch.events))
            client.gets(iter([batch.events]), ExitStack())
        client.take()
        assert client.rows == watched.listed()
        assert (len(sizes) > 10, max(sizes) < 300) == (True, True)
    finally:
        watched.kafka.store.close()


def test_rows_that_could_not_be_told_are_told_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the file could not be read in the midst, also those before it: that a row is gone would never be told."""
    monkeypatch.setattr(watched_rows, "AT_ONCE", 1)
    watched, among = WatchedStock(tmp_path, "free__gte=2", restricted=False), StoreMoment.rows_among
    try:
        watched.put("a", 3)
        client = watched.join(Begin("snapshot"), {})
        watched.put("a", 1)
        watched.put("b", 3)

        def fail(moment: StoreMoment, table: str, of: type[Any], keys: Sequence[str], conditions: Sequence[Any]) -> Any:
            if "b" in keys:
                raise sqlite3.OperationalError("disk I/O error")
            return among(moment, table, of, keys, conditions)

        monkeypatch.setattr(StoreMoment, "rows_among", fail)
        with pytest.raises(sqlite3.OperationalError):
            watched.look()
        monkeypatch.setattr(StoreMoment, "rows_among", among)
        watched.look()
        client.take()
        assert client.rows == watched.listed()
    finally:
        watched.kafka.store.close()


@pytest.mark.parametrize(
    ("now", "continues"),
    [(("a", 3, 0), True), (("a", 9, 3), True), (("b", 3, 0), False), (("a", 2, 0), False), (("a", 9, 4), False)],
)
def test_changes_continue_in_one_generation(now: tuple[str, int, int], continues: bool) -> None:
    """Not in that of rows that were made again, however many changes they have; nor if some were dropped."""
    before = ChangeEnd("a", 3, 0)
    assert continues_from(ChangeEnd(*now), before) == continues
    assert tick_of(before.place, ChangeEnd(*now)) == (3 if continues else None)


class Counting:
    """A source of numbers, given one by one; the place is the last one."""

    def __init__(self) -> None:
        self.given, self._told, self.size = 0, 0, 1

    def is_behind(self) -> bool:
        return self._told < self.given

    def advance(self) -> Batch:
        found = [self._event(number) for number in range(self._told + 1, self.given + 1)]
        self._told = self.given
        return Batch(found, str(self._told))

    def _event(self, number: int) -> StreamEvent:
        return StreamEvent("put", b"%d" % number + b" " * self.size, str(number))

    def join(self, begin: Begin, held: ExitStack) -> tuple[Batch, First]:
        after = int(begin.place) if begin.how == "place" else self.given
        return self.advance(), First(iter([[self._event(it) for it in range(after + 1, self.given + 1)]]))


class Counted:
    """The stream of such numbers."""

    def __init__(self) -> None:
        self.source, self.notifier, self.stopping, self.refused = Counting(), Notifier(), threading.Event(), Counter[str]()
        self.shared = SharedStreams(Host(self.notifier, self.stopping, self.refused))
        self.limiter = CapacityLimiter(4)

    async def join(self, begin: Begin) -> StreamReader:
        return await self.shared.of("numbers", lambda: self.source, partial(in_thread, self.limiter)).join(begin, lambda: True)

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
        stream = counted.shared.of("numbers", lambda: counted.source, partial(in_thread, counted.limiter))
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
