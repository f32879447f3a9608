"""A server whose clients are slow, silent or many: they are cut, and everybody else is answered."""

from __future__ import annotations

import contextlib
import logging
import resource
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from streams.server.connections import ConnectionLimits, limits_of
from tests.applications import bank, shop
from tests.support.memory_server import MemoryServer
from tests.support.workers import settings, until
from tests.unit.test_server_errors import ORDER

QUICK = ConnectionLimits(
    head_seconds=0.4, body_seconds=0.4, idle_seconds=1.0, taken_seconds=0.6, spare_seconds=0.3, look_seconds=0.05
)
HEAD = b"POST /events/account.open HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[MemoryServer]:
    with MemoryServer(bank.app(), tmp_path, limits=QUICK) as server:
        yield server


def connected(server: MemoryServer) -> socket.socket:
    client = socket.create_connection(server._listening.getsockname())
    client.settimeout(20)
    return client


def heard(client: socket.socket) -> bytes:
    """What comes until the server closes."""
    found = b""
    with contextlib.suppress(ConnectionResetError, BrokenPipeError):
        while part := client.recv(65_536):
            found += part
    return found


def trickled(client: socket.socket, begin: bytes, piece: bytes) -> tuple[float, bytes]:
    """How many seconds a client can send a piece 20 times a second, and what it hears then."""
    began, client_hears = time.monotonic(), b""
    client.sendall(begin)
    client.settimeout(0.05)
    while time.monotonic() - began < 15:
        try:
            client.sendall(piece)
            if not (part := client.recv(65_536)):
                break
            client_hears += part
        except TimeoutError:
            continue
        except (ConnectionResetError, BrokenPipeError):
            break
    return time.monotonic() - began, client_hears


def refused(server: MemoryServer, why: str) -> int:
    return server.parts.connections.refused[why]


def test_the_bounds_are_those_of_the_documentation() -> None:
    """10 s for a head, 30 s for a body, 15 s between two requests, 2 000 connections, 64 of one address."""
    limits = ConnectionLimits()
    assert (limits.head_seconds, limits.head_bytes, limits.body_seconds, limits.idle_seconds) == (10, 32_768, 30, 15)
    assert (limits.connections, limits.per_peer, limits.taken_seconds) == (2_000, 64, 10)


def test_settings_change_the_bounds(tmp_path: Path) -> None:
    """Numbers of connections, and the proxies whose connections are many clients'."""
    config = settings(tmp_path, "", http_connections="7", http_connections_per_peer="3", http_proxies="10.0.0.1, ::1")
    assert limits_of(config) == ConnectionLimits(7, 3, frozenset({"10.0.0.1", "::1"}))


@pytest.mark.parametrize(
    ("begin", "piece"),
    [
        (b"", b""),
        (b"GE", b""),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\n", b"X: y\r\n"),
        (b"GET /", b"a"),
        (b"", b"\r\n"),
        (b"GET /-/health HTTP/1.1\r\nHost: localhost\r\n\r\n", b"\r\n"),
        (b"GET /-/health HTTP/1.1\r\nHost: localhost\r\n\r\nGET", b""),
    ],
)
def test_a_head_that_never_ends_is_cut(server: MemoryServer, begin: bytes, piece: bytes) -> None:
    """Whether its client is silent or sends it byte by byte, in the first request or a later one."""
    with connected(server) as client:
        seconds, said = trickled(client, begin, piece)
    assert seconds < 5
    assert b"408 Request Timeout" in said
    assert said.endswith(b"the head of a request was not complete after 0.4 s.\",\"instance\":\"\"}")
    assert refused(server, "head") == 1


def test_a_connection_between_two_requests_is_closed_after_a_while(server: MemoryServer) -> None:
    """Without a word, since nothing was asked; also if the body of a request came after its answer."""
    for begin in (
        b"GET /-/health HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /-/health HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n\r\n",
    ):
        with connected(server) as client:
            client.sendall(begin)
            assert client.recv(9) == b"HTTP/1.1 "
            if b"Length" in begin:
                client.sendall(b"body")
            began = time.monotonic()
            assert b"408" not in heard(client)
            assert time.monotonic() - began < 5


@pytest.mark.parametrize("length", [b"Content-Length: 1000\r\n\r\n{", b"Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n"])
@pytest.mark.parametrize("path", [b"/events/account.open", b"/-/nothing"])
def test_a_body_that_never_ends_is_cut(server: MemoryServer, length: bytes, path: bytes) -> None:
    """However slowly it comes, and also if the answer did not wait for it."""
    piece = b" " if b"Content" in length else b"1\r\n \r\n"
    with connected(server) as client:
        seconds, said = trickled(client, HEAD.replace(b"/events/account.open", path) + length, piece)
    assert seconds < 5
    assert b"408 Request Timeout" in said or b"404 Not Found" in said
    assert refused(server, "body") == 1


@pytest.mark.parametrize(
    "head",
    [
        b"GET /-/health HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 300_000,
        b"GET /-/health HTTP/1.1\r\nHost: localhost\r\n"
        + b"".join(b"X-%d: %s\r\n" % (n, b"x" * 8_000) for n in range(100)),
        b"GET /" + b"a" * 40_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
    ],
)
def test_a_head_that_is_too_large_is_refused(server: MemoryServer, head: bytes) -> None:
    """At 32 KiB, whether it is one header, many, or the address."""
    with connected(server) as client:
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):
            client.sendall(head)
        said = heard(client)
    assert said == b"" or said.startswith(b"HTTP/1.1 431 ")  # a reset may overtake the answer
    assert refused(server, "size") == 1


def test_a_client_that_does_not_take_its_answer_is_cut(tmp_path: Path) -> None:
    """Of a long answer, of a stream, and of answers to requests that it sends one after another."""
    with MemoryServer(shop.app(), tmp_path, limits=QUICK) as server:
        for n in range(12):  # more than the system takes for a client
            big = {**ORDER, "order": f"o{n}", "customer": "c" * 700_000}
            assert server.http.post("/events/order.place", json=big).status_code == 202
        for target in (b"/rows/order/o1", b"/live/order?_from=beginning"):
            before = refused(server, "reader")
            with socket.socket() as client:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
                client.connect(server._listening.getsockname())
                client.sendall(b"GET " + target + b" HTTP/1.1\r\nHost: localhost\r\n\r\n")
                client.sendall((b"GET /rows/order/o1 HTTP/1.1\r\nHost: localhost\r\n\r\n") * 30)
                until(lambda before=before: refused(server, "reader") > before, "it is not cut", seconds=15)
                until(lambda: not server.parts.watching, "its stream goes on", seconds=15)
        assert server.http.get("/-/health").status_code == 200


def test_a_client_that_takes_its_answer_slowly_gets_all_of_it(tmp_path: Path) -> None:
    """It is not how long it takes that counts, but whether it takes anything."""
    limits = ConnectionLimits(taken_seconds=0.5, look_seconds=0.05, taken_bytes=1_024)
    with MemoryServer(shop.app(), tmp_path, limits=limits) as server:
        big = {**ORDER, "order": "o1", "customer": "c" * 900_000}
        assert server.http.post("/events/order.place", json=big).status_code == 202
        with socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
            client.connect(server._listening.getsockname())
            client.sendall(b"GET /rows/order/o1 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            found, began = 0, time.monotonic()
            while part := client.recv(4_096):
                found += len(part)
                time.sleep(
                    0.01 if time.monotonic() - began < 2 else 0
                )  # slow for four times as long as silence is suffered
        assert found > 900_000
        assert refused(server, "reader") == 0


def test_silent_connections_make_room_for_requests(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """At the limit, who waits longest without a request goes first; one log line says that the limit is reached."""
    limits = ConnectionLimits(connections=20, per_peer=1_000)
    with MemoryServer(bank.app(), tmp_path, limits=limits) as server, ExitStack() as stack:
        with caplog.at_level(logging.WARNING):
            for _ in range(300):
                stack.enter_context(connected(server))
            for _ in range(5):
                assert httpx.get(f"{server.http.base_url}/rows/account").status_code == 200
        assert len(server.parts.connections) <= 20
        assert refused(server, "connections") >= 280
    assert [record.getMessage() for record in caplog.records] == [
        "the server has 20 connections and takes no more (RETOLD_HTTP_CONNECTIONS, `ulimit -n`)"
    ]


def watchers(server: MemoryServer, stack: ExitStack, count: int) -> None:
    """Clients that are answered for ever."""
    for _ in range(count):
        client = stack.enter_context(connected(server))
        client.sendall(b"GET /live/account HTTP/1.1\r\nHost: localhost\r\n\r\n")
    until(lambda: len(server.parts.watching) == count, "they do not watch")


def test_a_client_that_sends_no_more_gets_its_answers(server: MemoryServer) -> None:
    """It has shut down its side after one request or several, as `nc -N` does; each is answered, and the connection ends."""
    opens = [b'{"account":"%s","balance":1}' % name for name in (b"a1", b"a2")]
    requests = [HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body for body in opens]
    for sent in (requests[:1], requests):
        with connected(server) as client:
            client.sendall(b"".join(sent))
            client.shutdown(socket.SHUT_WR)
            assert heard(client).count(b"HTTP/1.1 202 Accepted") == len(sent)


OPENS = HEAD + b'Content-Length: 28\r\n\r\n{"account":"a1","balance":1}'


@pytest.mark.parametrize(
    "behind",
    [
        b"}}} no request\r\n\r\n",
        HEAD + b"X: " + b"x" * 40_000 + b"\r\n\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\nno size\r\n",
    ],
)
def test_what_is_refused_is_not_the_answer_to_what_came_before(server: MemoryServer, behind: bytes) -> None:
    """Its event is accepted, and it hears that; behind the last answer the connection ends. Also if nothing more is sent."""
    for ends in (False, True):
        with connected(server) as client:
            client.sendall(OPENS + OPENS + behind)
            if ends:
                client.shutdown(socket.SHUT_WR)
            heads = [line for line in heard(client).split(b"\r\n") if b"HTTP/1.1 " in line]
            assert [head.endswith(b"202 Accepted") for head in heads] == [True, True], heads


def test_a_head_that_never_ends_is_not_the_answer_to_what_came_before(server: MemoryServer) -> None:
    """The one before waits for longer than a head may take."""
    with connected(server) as client:
        client.sendall(b"GET /rows/account?_min_position=account-0:9 HTTP/1.1\r\nHost: localhost\r\n\r\nGET /rows HTTP/1.1\r\nX: ")
        found = heard(client)
        assert found.startswith(b"HTTP/1.1 503 ")
        assert (found.count(b"HTTP/1.1 "), b"not-reached" in found) == (1, True), found
        assert refused(server, "head") == 1


def test_a_client_that_sends_no_more_is_not_answered_for_ever(tmp_path: Path) -> None:
    """It may be gone, and a stream would go on until its next word to nobody."""
    with MemoryServer(bank.app(), tmp_path, limits=replace(QUICK, unheard_seconds=0.3)) as server, ExitStack() as stack:
        client = stack.enter_context(connected(server))
        client.sendall(b"GET /live/account HTTP/1.1\r\nHost: localhost\r\n\r\n")
        until(lambda: len(server.parts.watching) == 1, "it does not watch")
        client.shutdown(socket.SHUT_WR)
        until(lambda: not server.parts.watching, "it is watched for nobody")



@pytest.mark.parametrize("one_address", [True, False])
def test_health_is_answered_when_every_connection_is_in_use(tmp_path: Path, one_address: bool) -> None:
    """Others hear 503 and which setting it is; silent ones do not use up what is kept for those who look after a server."""
    limits = ConnectionLimits(*((1_000, 10) if one_address else (10, 1_000)), look_seconds=0.05, spare_seconds=1.0)
    with MemoryServer(bank.app(), tmp_path, limits=limits) as server, ExitStack() as stack:
        server.http.close()  # its connection would be one of them
        watchers(server, stack, 10)
        for _ in range(200):
            stack.enter_context(connected(server))
        url = f"http://127.0.0.1:{server._listening.getsockname()[1]}"
        for _ in range(5):
            assert httpx.get(f"{url}/-/health").json()["status"] == "ready"
        got = httpx.get(f"{url}/rows/account")
        assert (got.status_code, got.headers["connection"], got.headers["retry-after"]) == (503, "close", "1")
        assert ("RETOLD_HTTP_CONNECTIONS_PER_PEER" if one_address else "RETOLD_HTTP_CONNECTIONS,") in got.json()[
            "detail"
        ]
        assert len(server.parts.watching) == 10
        stack.close()
        until(lambda: httpx.get(f"{url}/rows/account").status_code == 200, "there is no room again")


def test_a_proxys_connections_are_those_of_many(tmp_path: Path) -> None:
    """RETOLD_HTTP_PROXIES names it."""
    limits = ConnectionLimits(per_peer=2, proxies=frozenset({"127.0.0.1"}))
    with MemoryServer(bank.app(), tmp_path, limits=limits) as server, ExitStack() as stack:
        watchers(server, stack, 10)
        assert httpx.get(f"{server.http.base_url}/rows/account").status_code == 200


def test_connections_stay_below_the_descriptor_limit(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A flood leaves the process descriptors for Kafka, and two lines in the log, not a traceback for each connection."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limits = ConnectionLimits(per_peer=100_000)
    with (
        caplog.at_level(logging.WARNING),
        MemoryServer(bank.app(), tmp_path, limits=limits) as server,
        ExitStack() as stack,
    ):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        server.parts.connections._most = 50
        for _ in range(1_000):
            stack.enter_context(connected(server))
        assert httpx.get(f"{server.http.base_url}/-/health").status_code == 200
        assert len(server.parts.connections) <= 50 + 16
    assert len(caplog.records) == 1


def test_a_connection_that_is_accepted_as_the_server_stops_is_cut(server: MemoryServer) -> None:
    """Those before it were told to end by then, and the server would wait for it in vain."""
    with connected(server) as client:
        client.sendall(b"GET /-/health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        assert heard(client).startswith(b"HTTP/1.1 200")
    server.parts.connections.stop()
    with connected(server) as late:
        assert heard(late) == b""
    assert server.parts.connections.refused["stopping"] == 1
