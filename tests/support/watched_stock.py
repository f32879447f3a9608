"""Rows of a table in a file, streams of them, and clients of these that have in the end what a list has."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, nullcontext
from pathlib import Path
from typing import Any

import msgspec

from streams.codec import codec_of
from streams.query_parameters import read_query
from streams.server.http.changed_rows import WatchedTables
from streams.server.http.shared_stream import Batch, Begin
from streams.server.http.stream_text import StreamEvent
from streams.server.http.watched_rows import AskedRows, WatchedRows
from streams.server.readmodel.model import ReadModel
from streams.server.readmodel.row_writer import UnreadableRow
from tests.applications import shop
from tests.applications.shop.events import StockRow
from tests.support.memory_server import MemoryKafka


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
    """Rows of a table in a file, and all who watch them at one address; `beside` it there may be others."""

    def __init__(self, folder: Path, query: str, *, restricted: bool = False, beside: WatchedStock | None = None) -> None:
        app = shop.app()
        self.model = ReadModel(app, codec_of(app)) if beside is None else beside.model
        self.kafka = MemoryKafka(app, self.model, folder) if beside is None else beside.kafka
        self.tables = WatchedTables(self.model) if beside is None else beside.tables
        pairs = [it.partition("=")[::2] for it in query.split("&") if it]
        asked = read_query(pairs, StockRow, "stock")
        self._asked = AskedRows(
            "stock", self.model.tables["stock"], StockRow, asked, None, True, restricted and bool(query), lambda _: None,
            lambda _: nullcontext(),
        )
        self.source = WatchedRows(self.model, self._asked, self.tables.of("stock"))
        self.clients, self._version = list[FollowedRows](), 0

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

    def look_to_the_end(self) -> list[StreamEvent]:
        """What is told."""
        found = list[StreamEvent]()
        while self.source.is_behind():
            batch = self.source.advance()
            self._spread(batch)
            found += batch.events
        return found

    def _spread(self, batch: Batch) -> None:
        for each in self.clients:
            if batch.reset:
                self._begin(each, Begin("reset"))
            else:
                each.gets(iter([batch.events]), ExitStack())

    def listed(self) -> dict[str, Any]:
        with self.model.moment() as moment:
            page = moment.rows_of(self._asked.table, self.model.columns["stock"]).page(self._asked.query)
        return {key: {"key": key, "version": at, "row": msgspec.json.decode(body)} for key, at, body in page.rows}

    def lacking(self) -> set[str]:
        """The keys of rows that do not read, as far as who watches may know."""
        with self.model.moment() as moment:
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
