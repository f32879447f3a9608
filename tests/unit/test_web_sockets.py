"""Streams and events over one WebSocket."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from streams.server.connections import ConnectionLimits
from streams.server.http import shared_stream, web_sockets
from streams.server.http.watched_rows import WatchedRows
from tests.applications import shop
from tests.applications.shop.events import StockReceive
from tests.support.memory_server import MemoryServer
from tests.support.tokens import Entry, bearer, token_of, write_tokens
from tests.support.workers import until

PRINCIPALS: dict[str, Entry] = {"c7": {"read": ["rows/stock"], "publish": ["stock.receive"]}}
RECEIVE = {"sku": "x", "quantity": 1, "price": 2}


class Socket:
    """A client that speaks JSON."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection

    def send(self, **members: object) -> None:
        self.connection.send(json.dumps(members))

    def next(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.connection.recv(timeout=30))
        return found

    def asks(self, **members: object) -> dict[str, Any]:
        self.send(**members)
        return self.next()

    def closed(self) -> int:
        """With which code it is closed; what comes before that is passed over."""
        try:
            while True:
                self.connection.recv(timeout=30)
        except ConnectionClosed as closed:
            return closed.rcvd.code if closed.rcvd else 0


@contextmanager
def opened(server: MemoryServer, **given: Any) -> Iterator[Socket]:
    address = str(server.http.base_url).replace("http", "ws").rstrip("/")
    with connect(f"{address}/ws", subprotocols=["retold.v1"], proxy=None, **given) as connection:  # type: ignore[list-item]  # a Subprotocol is a str
        yield Socket(connection)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[MemoryServer]:
    with MemoryServer(shop.app(), tmp_path) as server:
        yield server


@pytest.mark.parametrize("key", [None, "k1"])
def test_events_of_one_connection_keep_their_order(server: MemoryServer, key: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where each is handed to a thread, as the first of a type is, and one with a key: they overtook each other there."""
    publish, prices, other = server.kafka.publish, list[int](), threading.Event()

    def slow(data: StockReceive, **given: Any) -> Any:
        if data.price > 1:
            other.set()
        else:
            other.wait(0.3)
        prices.append(data.price)
        return publish(data, **given)

    monkeypatch.setattr(server.kafka, "publish", slow)
    monkeypatch.setattr(server.kafka, "publish_at_once", lambda *_, **__: None)
    with opened(server) as client:
        for price in range(1, 9):
            own = None if key is None else f"{key}-{price}"
            client.send(op="publish", id=price, type="stock.receive", data={**RECEIVE, "price": price}, key=own, wait=10)
        assert {client.next()["status"] for _ in range(8)} == {200}
    assert prices == [*range(1, 9)]


def test_streams_and_events_over_one_connection(server: MemoryServer) -> None:
    """Each answer has the id of what it answers; a stream goes on where its client was."""
    with opened(server) as client:
        assert client.asks(op="watch", id=1, url="/rows/stock?_from=snapshot") == {"id": 1, "status": 200}
        ready = client.next()
        assert (ready["id"], ready["event"], ready["data"]) == (1, "ready", {"rows": 0})
        client.send(op="publish", id=2, type="stock.receive", data=RECEIVE, wait=10)
        found = {it["id"]: it for it in (client.next(), client.next())}
        assert (found[2]["status"], found[2]["body"]["outcome"]) == (200, "accepted")
        assert (found[1]["event"], found[1]["data"]) == ("put", server.http.get("/rows/stock/x").json())
        assert client.asks(op="stop", id=1) == {"id": 1, "status": 200}
        server.kafka.publish(StockReceive(sku="y", quantity=1, price=1))
        assert client.asks(op="watch", id=1, url="/rows/stock", after=found[1]["at"]) == {"id": 1, "status": 200}
        assert client.next()["data"]["key"] == "y"
    until(lambda: not server.parts.watching, "a stream is left")


@pytest.mark.parametrize(
    ("asked", "status", "said"),
    [
        ({"op": "watch", "url": "/rows/nowhere"}, 404, "no namespace"),
        ({"op": "watch", "url": "/rows/stock?_limit=5"}, 422, "a stream has none"),
        ({"op": "watch", "url": "/-/problems"}, 406, "is no stream"),
        ({"op": "watch", "url": "rows"}, 422, "a path was expected"),
        ({"op": "watch", "url": "/rows/stock\r\nX: y"}, 422, "a path was expected"),
        ({"op": "publish", "type": "stock.receive", "data": {"sku": "x"}}, 422, "quantity"),
        ({"op": "publish", "type": "stock.receive", "data": None}, 422, "null"),
        ({"op": "publish", "type": "order.plac", "data": {}}, 404, "handles no event"),
        ({"op": "publish", "type": "../rows", "data": {}}, 404, "nothing at /events/../rows"),
        ({"op": "stop"}, 404, "no stream with the id 7"),
        ({"op": "jump"}, 400, "watch, publish or stop"),
    ],
)
def test_what_cannot_be_is_a_problem_as_over_http(
    server: MemoryServer, asked: dict[str, Any], status: int, said: str
) -> None:
    """With its status and body, and the connection goes on."""
    with opened(server) as client:
        got = client.asks(id=7, **asked)
        assert (got["id"], got["status"], got["body"]["status"]) == (7, status, status)
        assert said in got["body"]["detail"]
        assert client.asks(op="watch", id=1, url="/rows/stock")["status"] == 200


@pytest.mark.parametrize(
    "text", ["", "x", "[]", "{}", '{"op": "watch"}', '{"op": "stop", "id": 1, "more": 2}', "[" * 5_000, '"\\ud800']
)
def test_what_is_no_request_is_said(server: MemoryServer, text: str) -> None:
    """And nothing else happens."""
    with opened(server) as client:
        client.connection.send(text)
        got = client.next()
        assert (got["id"], got["status"]) == (None, 400)
        assert client.asks(op="stop", id=1)["status"] == 404


def test_a_connection_has_a_hundred_streams(server: MemoryServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """One more, or one with an id that is taken, is refused; a stream that was stopped makes room."""
    monkeypatch.setattr(web_sockets, "MOST_WATCHES", 3)
    with opened(server) as client:
        for number in range(3):
            assert client.asks(op="watch", id=number, url=f"/rows/stock/{number}")["status"] == 200
        assert client.asks(op="watch", id=9, url="/rows/stock")["status"] == 429
        assert client.asks(op="stop", id=1)["status"] == 200
        assert client.asks(op="watch", id=2, url="/rows/stock")["status"] == 409
        assert client.asks(op="watch", id=9, url="/rows/stock")["status"] == 200


def test_keys_of_any_letters_are_told_apart(server: MemoryServer) -> None:
    """Two equal events with two keys are two: a key is not read as another of the same length."""
    with opened(server) as client:
        for number, key in enumerate(("日", "月", "月")):
            asked = {"op": "publish", "id": number, "type": "stock.receive", "data": RECEIVE, "key": key, "wait": 10}
            assert client.asks(**asked)["status"] == 200
    assert server.http.get("/rows/stock/x").json()["row"]["free"] == 2


def test_a_flood_of_events_is_answered_one_by_one(server: MemoryServer) -> None:
    """What is too much at once is refused, and nothing is lost in silence."""
    server.kafka.answers.clear()
    with opened(server) as client:
        for number in range(60):
            client.send(op="publish", id=number, type="stock.receive", data=RECEIVE)
        refused = [client.next() for _ in range(60 - web_sockets.MOST_AT_ONCE)]
        assert {it["status"] for it in refused} == {429}
        server.kafka.answers.set()
        rest = [client.next() for _ in range(web_sockets.MOST_AT_ONCE)]
        assert {it["status"] for it in rest} == {202}
        assert {it["id"] for it in (*refused, *rest)} == {*range(60)}


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "https://evil.example"}, 403), ({"Origin": "null"}, 403), ({"Origin": "http://["}, 403),
        ({"Host": "evil.example"}, 421),
        ({"Host": "evil.example", "Origin": "http://evil.example"}, 421),
    ],
)  # fmt: skip
def test_a_page_of_another_site_gets_no_connection(server: MemoryServer, headers: dict[str, str], status: int) -> None:
    """A browser says where it is from; also one whose name was bound to this machine."""
    if "Host" in headers:
        head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        assert raw_handshake(server, head).startswith(f"HTTP/1.1 {status} ".encode())
        return
    with pytest.raises(InvalidStatus) as refused, opened(server, additional_headers=headers):
        pass
    assert refused.value.response.status_code == status


def test_our_own_page_gets_one(server: MemoryServer) -> None:
    """Its origin is the host that it asks."""
    with opened(server, additional_headers={"Origin": str(server.http.base_url).rstrip("/")}) as client:
        assert client.asks(op="stop", id=1)["status"] == 404


def raw_handshake(server: MemoryServer, head: str, path: str = "/ws", protocol: str = "retold.v1") -> bytes:
    with raw(server) as client:
        client.sendall(request(head, path, protocol))
        return client.recv(4_096)


def request(head: str, path: str = "/ws", protocol: str = "retold.v1") -> bytes:
    return (
        f"GET {path} HTTP/1.1\r\n{head}Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        f"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: {protocol}\r\n\r\n"
    ).encode()


@contextmanager
def raw(server: MemoryServer, buffer: int = 0) -> Iterator[socket.socket]:
    client = socket.socket()
    client.settimeout(30)
    if buffer:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    client.connect(("127.0.0.1", server.http.base_url.port or 0))
    with client:
        yield client


@contextmanager
def watching_raw(folder: Path, *, seconds: float, buffer: int) -> Iterator[tuple[MemoryServer, socket.socket]]:
    """A server, and a client of its own that watches all stock. It must take something within `seconds`."""
    limits = ConnectionLimits(taken_seconds=seconds, look_seconds=0.1)
    with MemoryServer(shop.app(), folder, limits=limits) as server, raw(server, buffer=buffer) as client:
        client.sendall(request("Host: localhost\r\n"))
        assert client.recv(4_096).startswith(b"HTTP/1.1 101 ")
        text = b'{"op":"watch","id":1,"url":"/rows/stock?_from=snapshot"}'
        client.sendall(bytes([0x81, 0x80 | len(text), 0, 0, 0, 0]) + text)
        until(lambda: server.parts.watching, "nobody watches")
        yield server, client


def test_another_address_or_protocol_is_refused(server: MemoryServer, caplog: pytest.LogCaptureFixture) -> None:
    """Before the connection is made, and without a line in the log for whoever asks."""
    assert raw_handshake(server, "Host: localhost\r\n", path="/rows").startswith(b"HTTP/1.1 404 ")
    assert raw_handshake(server, "Host: localhost\r\n", protocol="other").startswith(b"HTTP/1.1 400 ")
    assert server.http.get("/-/live").status_code == 200  # by then what uvicorn says of it is said
    assert caplog.text == ""


def test_a_token_is_shown_first_and_counts_as_long_as_it_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the handshake or in the first message; without it the connection ends, also later, and its streams with it."""
    monkeypatch.setattr(web_sockets, "HELLO", 1.0)
    tokens = write_tokens(tmp_path / "tokens.toml", PRINCIPALS)
    with MemoryServer(shop.app(), tmp_path / "state", http_tokens=str(tokens)) as server:
        for first in ({"op": "hello", "token": "rtd_wrong"}, {"op": "watch", "id": 1, "url": "/rows/stock"}, None):
            with opened(server) as stranger:
                if first is not None:
                    stranger.send(**first)
                assert stranger.closed() == 1008
        with opened(server, additional_headers=bearer("c7")) as client:
            assert client.asks(op="watch", id=1, url="/rows/stock")["status"] == 200
        with opened(server) as client:
            assert client.asks(op="hello", id=0, token=token_of("c7"))["status"] == 200
            assert client.asks(op="watch", id=1, url="/rows/order")["body"]["right"] == "read rows/order"
            assert client.asks(op="watch", id=2, url="/rows/stock")["status"] == 200
            write_tokens(tokens, {})
            assert client.closed() == 1008
        until(lambda: not server.parts.watching, "a stream is left")


@pytest.mark.parametrize("ends", ["stop", "close"])
def test_a_stream_that_ends_while_its_rows_are_read_leaves_nothing(
    server: MemoryServer, monkeypatch: pytest.MonkeyPatch, ends: str
) -> None:
    """What the thread reads is closed once it has read: neither its place among those that begin, nor the stream is kept."""
    reading, go_on, put = threading.Event(), threading.Event(), WatchedRows._put

    def slowly(self: WatchedRows, *given: Any) -> Any:
        reading.set()
        assert go_on.wait(30)
        return put(self, *given)

    server.kafka.publish(StockReceive(sku="x", quantity=1, price=1))
    monkeypatch.setattr(WatchedRows, "_put", slowly)
    with opened(server) as client:
        assert client.asks(op="watch", id=1, url="/rows/stock?_from=snapshot")["status"] == 200
        assert reading.wait(30)
        timer = threading.Timer(0.5, go_on.set)
        timer.start()
        if ends == "stop":
            told = client.asks(op="stop", id=1)
            while told.get("event") == "put":  # it may have been read already
                told = client.next()
            assert told == {"id": 1, "status": 200}
    timer.join()
    until(lambda: not server.parts.watching and len(server.parts.shared_streams) == 0, "a stream is left", seconds=20)
    assert server.parts.pools.results_at_once.borrowed_tokens == 0


def test_what_is_no_text_ends_the_connection(server: MemoryServer) -> None:
    """With the code that says so, as for a message that is too long."""
    with opened(server) as client:
        client.connection.socket.sendall(bytes([0x81, 0x82, 0, 0, 0, 0, 0xFF, 0xFE]))
        assert client.closed() == 1007
    with opened(server) as client:
        client.connection.send("x" * (server.config.max_event_bytes + 2_000))
        assert client.closed() == 1009


def test_half_a_frame_does_not_hold_a_connection(tmp_path: Path) -> None:
    """It cannot answer a ping in the midst of a frame."""
    with (
        MemoryServer(shop.app(), tmp_path, limits=ConnectionLimits(ping_seconds=0.4)) as server,
        raw(server) as client,
    ):
        client.sendall(request("Host: localhost\r\n"))
        assert client.recv(4_096).startswith(b"HTTP/1.1 101 ")
        client.sendall(bytes([0x81, 0xFE, 0x10, 0x00, 0, 0, 0, 0]) + b"half")
        began = time.monotonic()
        while client.recv(4_096):
            pass
        assert time.monotonic() - began < 20


def test_a_connection_is_counted_as_long_as_it_is_open(server: MemoryServer) -> None:
    """As one of those that a server takes, and of those of its address."""
    connections = server.parts.connections
    before = len(connections)
    with opened(server) as client:
        assert client.asks(op="stop", id=1)["status"] == 404
        assert len(connections) == before + 1
    until(lambda: len(connections) == before, "it is counted still", seconds=5)  # a request's connection ends after 15


def test_who_never_reads_is_cut(tmp_path: Path) -> None:
    """Its streams end, and nothing of them is kept."""
    with watching_raw(tmp_path, seconds=0.5, buffer=4_096) as (server, _):
        number = 0
        while server.parts.watching and number < 1_000:  # what systems keep of it for a client has some MB
            number += 1
            server.kafka.put_row("stock", f"{number}-{'k' * 30_000}", shop.StockRow(free=1, price=1), number)
        until(lambda: not server.parts.watching, "its stream goes on")
        assert server.parts.connections.refused["reader"] == 1


def test_who_takes_what_comes_is_not_cut(tmp_path: Path) -> None:
    """Though something waits all the time, as of a snapshot that takes longer than a client may take nothing."""
    with watching_raw(tmp_path, seconds=2.0, buffer=65_536) as (server, client):
        number, taken, over = 0, 0, time.monotonic() + 5
        while time.monotonic() < over:
            for _ in range(4 if 30_000 * number - taken < 4_000_000 else 0):  # 120 kB, of which half is taken: the rest waits
                number += 1
                server.kafka.put_row("stock", f"{number}-{'k' * 30_000}", shop.StockRow(free=1, price=1), number)
            for _ in range(2):
                taken += len(client.recv(32_768))
        assert taken > 1_000_000
        assert server.parts.connections.refused["reader"] == 0
        assert server.parts.watching


def test_who_is_too_slow_hears_where_to_go_on(server: MemoryServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last message has the places of its streams, and the code says to try again."""
    monkeypatch.setattr(shared_stream, "BEHIND", -1)
    monkeypatch.setattr(shared_stream, "PATIENCE", 0.0)
    with opened(server) as client:
        assert client.asks(op="watch", id=5, url="/rows/stock")["status"] == 200
        server.kafka.publish(StockReceive(sku="x", quantity=1, price=1))
        server.kafka.publish(StockReceive(sku="x", quantity=1, price=1))
        told = client.next()
        while "places" not in told:
            place, told = told.get("at", ""), client.next()
        assert told == {"places": {"5": place}}
        assert client.closed() == 1013
