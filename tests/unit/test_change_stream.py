"""The stream that says that something has changed."""

from __future__ import annotations

from pathlib import Path

import httpx

from streams.server.access.principal import with_every_right
from streams.server.http.watchers import MOST_STREAMS, Watcher
from tests.applications import shop
from tests.applications.shop.events import StockReceive
from tests.support.memory_server import MemoryServer
from tests.support.workers import until


def test_it_says_when_something_changes(tmp_path: Path) -> None:
    """Once at the beginning, and again after an event was handled; the positions are those of the logs."""
    with MemoryServer(shop.app(), tmp_path) as server, server.http.stream("GET", "/live") as got:
        assert got.headers["content-type"].startswith("text/event-stream")
        data = (line for line in got.iter_lines() if line.startswith("data: "))
        assert '"stock-0:0"' in next(data)
        server.kafka.publish(StockReceive(sku="x", quantity=1, price=1))
        assert any('"stock-0:1"' in line for line in data)


def test_it_counts_as_a_stream(tmp_path: Path) -> None:
    """There is a bound for all of them, one that is left is forgotten, and it takes no HEAD."""
    with MemoryServer(shop.app(), tmp_path) as server:
        with server.http.stream("GET", "/live"):
            until(lambda: len(server.parts.watching) == 1, "the stream is not counted")
        until(lambda: not server.parts.watching, "the stream is counted still")
        assert server.http.head("/live").status_code == 405
        server.parts.watching.update(Watcher(with_every_right("x")) for _ in range(MOST_STREAMS))
        got: httpx.Response = server.http.get("/live")
        assert got.status_code == 503
