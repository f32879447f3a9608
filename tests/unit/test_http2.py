"""HTTP/2: the same answers, and the same bounds, with TLS and without; by a client that does no more than it is told."""

from __future__ import annotations

import json
import shutil
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import httpx
import pytest
from h2.events import DataReceived, Event, InformationalResponseReceived, ResponseReceived, StreamEnded, StreamReset
from h2.settings import SettingCodes
from hyperframe.frame import GoAwayFrame
from hypothesis import given
from hypothesis import strategies as st

from streams.server.connections import ConnectionLimits
from streams.server.http2.frame_scan import PREFACE, FrameScan
from streams.server.http2.http2_request import scope_of
from tests.applications import bank, shop
from tests.support.certificates import certificate, trusting
from tests.support.http2_client import Http2Answer, Http2Client
from tests.support.memory_server import MemoryServer
from tests.support.workers import until
from tests.unit.test_server_errors import ORDER

QUICK = ConnectionLimits(
    head_seconds=0.4, body_seconds=0.4, idle_seconds=1.0, taken_seconds=0.6, spare_seconds=0.3, look_seconds=0.05
)
STREAM = ("accept", "text/event-stream")
JSON = ("content-type", "application/json")
LIVE = "/live/account"
HEAD = ((":method", "POST"), (":path", "/events/account.open"), (":scheme", "http"), (":authority", "localhost"))
OPENED = {"account": "a1", "balance": 7}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[MemoryServer]:
    with MemoryServer(bank.app(), tmp_path, limits=QUICK, http2="1") as server:
        yield server


def address_of(server: MemoryServer) -> tuple[str, int]:
    host, port = server._listening.getsockname()[:2]
    return host, port


def client_of(server: MemoryServer, tls: ssl.SSLContext | None = None, **more: int) -> Http2Client:
    return Http2Client(address_of(server), tls, **more)


def refused(server: MemoryServer, why: str) -> int:
    return server.parts.connections.refused[why]


def same(one: httpx.Response, other: Http2Answer) -> None:
    """But for what tells time, and how a body is delimited."""
    apart = {"date", "server-timing", "transfer-encoding"}
    assert one.status_code == other.status
    assert {name: it for name, it in one.headers.items() if name not in apart} == {
        name: it for name, it in other.headers.items() if name not in apart
    }
    assert one.content == other.body


def test_answers_are_those_of_http_1(server: MemoryServer) -> None:
    """Bodies, headers and problems; both are spoken at one port."""
    with client_of(server) as client:
        for path in ("/", "/rows/account", "/rows/account/none", "/-/problems", "/openapi.json", "/rows?x=1", "/nothing"):
            same(server.http.get(path), client.got(path))
        same(server.http.head("/rows"), client.got("/rows", method="HEAD"))
        body = json.dumps(OPENED).encode()
        published = client.got("/events/account.open", JSON, ("prefer", "wait=5"), method="POST", body=body)
        assert (published.status, published.headers["location"]) == (200, "/events/account/0/0")
        same(server.http.get("/rows/account/a1"), client.got("/rows/account/a1"))
        etag = client.got("/rows/account/a1").headers["etag"]
        assert client.got("/rows/account/a1", ("if-none-match", etag)).status == 304


def test_a_token_is_asked_for_and_other_sites_are_refused(tmp_path: Path) -> None:
    """The guard sees the request that it sees over HTTP/1: the name of the host, the token, the cookie in parts, the origin."""
    with MemoryServer(bank.app(), tmp_path / "a", token="t" * 20, http2="1") as server, client_of(server) as client:
        assert client.got("/rows").status == 401
        assert client.got("/rows", ("authorization", "Bearer " + "t" * 20)).status == 200
        form = ("content-type", "application/x-www-form-urlencoded")
        answer = client.got("/-/login", form, method="POST", body=b"token=" + b"t" * 20)
        cookie = answer.headers["set-cookie"].partition(";")[0]
        assert client.got("/rows", ("cookie", "a=b"), ("cookie", cookie)).status == 200
    with MemoryServer(bank.app(), tmp_path / "b", http2="1") as server, client_of(server) as client:
        assert client.got("/rows", (":authority", "evil.example")).status == 421
        assert client.got("/events/account.open", JSON, ("origin", "http://evil.example"), method="POST", body=b"{}").status == 403
        assert client.got("/rows", (":path", "no-path")).status == 400
        assert client.got("/rows", ("x", "a\x01b")).status == 400


def test_a_cookie_in_parts_is_one_cookie() -> None:
    """As RFC 9113 says: an application expects one header; and the name of the host is that of `:authority`."""
    cookies = [(b"cookie", b"a=1"), (b"cookie", b"b=2")]
    headers = [(b":method", b"GET"), (b":path", b"/a%20b?c"), (b":authority", b"x"), (b"host", b"x"), *cookies]
    scope = scope_of(headers, {})
    assert (scope["headers"], scope["path"]) == ([(b"host", b"x"), (b"cookie", b"a=1; b=2")], "/a b")


@pytest.mark.parametrize("protocols", [("h2",), ("h2", "http/1.1"), ("http/1.1",), ()])
def test_with_tls_its_client_chooses(tmp_path: Path, protocols: tuple[str, ...]) -> None:
    """Who does not ask for HTTP/2 gets HTTP/1, on the same port; the scheme is https, and stays on this machine's certificate."""
    files = certificate(tmp_path)
    given = {"http_tls_cert": str(files[0]), "http_tls_key": str(files[1])}
    with MemoryServer(bank.app(), tmp_path / "s", http2="1", **given) as server:
        tls = trusting(files[0], *protocols)
        if "h2" in protocols:
            with client_of(server, tls) as client:
                assert isinstance(client.socket, ssl.SSLSocket)
                assert client.socket.selected_alpn_protocol() == "h2"
                assert client.got("/rows").status == 200
        else:
            port = address_of(server)[1]
            with httpx.Client(verify=tls) as http:
                assert http.get(f"https://localhost:{port}/rows").http_version == "HTTP/1.1"


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl")
def test_curl_speaks_it(tmp_path: Path) -> None:
    """With TLS by agreement, without it by knowing; also where a body is larger than any window."""
    body = tmp_path / "body.json"
    body.write_text(json.dumps({**ORDER, "order": "o1", "customer": "c" * 900_000}))
    files = certificate(tmp_path)
    given = {"http_tls_cert": str(files[0]), "http_tls_key": str(files[1])}
    for words, more in ((("--http2-prior-knowledge",), {}), (("--cacert", str(files[0]), "--http2"), given)):
        with MemoryServer(shop.app(), tmp_path / str(len(words)), http2="1", **more) as server:
            url = f"{'https' if more else 'http'}://localhost:{address_of(server)[1]}"
            asked = ["curl", "-sS", "-4", *words, "-w", "\n%{http_version} %{http_code}"]
            sent = ["-H", "Content-Type: application/json", "--data-binary", f"@{body}", f"{url}/events/order.place"]
            for given, status in ((sent, 202), ([f"{url}/rows/order/o1"], 200)):
                done = subprocess.run([*asked, *given], capture_output=True, text=True, check=False)
                assert done.stdout.endswith(f"\n2 {status}"), (done.stdout[-100:], done.stderr)
            assert len(done.stdout) > 900_000


LONG = b"\0\x3e\0\1\4\0\0\0\1"
"""The beginning of a frame with a head of 15,872 bytes."""


def unfinished(client: Http2Client) -> bytes:
    """A head in parts, of which the last does not come."""
    client.h2.send_headers(client.h2.get_next_available_stream_id(), HEAD, end_stream=True)
    whole = client.h2.data_to_send()
    assert whole[4] & 4
    return whole[:4] + bytes([whole[4] & ~4]) + whole[5:]


@pytest.mark.parametrize("how", ["nothing", "preface", "settings", "half", "parts", "trickle", "beside a stream"])
def test_a_head_that_never_ends_is_cut(server: MemoryServer, how: str) -> None:
    """Whether its client is silent, sends a part, or goes on byte by byte."""
    began = time.monotonic()
    if how in ("nothing", "preface"):
        with socket.create_connection(address_of(server)) as raw:
            raw.sendall(b"PRI * HTTP" if how == "preface" else b"")
            raw.settimeout(10)
            with suppress(ConnectionError):
                while raw.recv(65_536):
                    pass
    else:
        with client_of(server) as client:
            list(client.events(0.1))
            if how == "beside a stream":
                client.data(client.ask(LIVE))
            unsaid = unfinished(client)
            if how == "beside a stream":  # a whole frame before it, in the same piece
                client.h2.ping(b"12345678")
                unsaid = client.h2.data_to_send() + unsaid
            client.socket.sendall({"half": unsaid[:12], "trickle": LONG, "settings": b""}.get(how, unsaid))
            while how == "trickle" and not client.is_over and time.monotonic() - began < 10:
                with suppress(OSError):
                    client.socket.sendall(b"x")
                list(client.events(0.05))
            list(client.events(10))
            assert client.is_over
    assert time.monotonic() - began < 5
    assert refused(server, "head") == 1


def test_a_connection_between_two_requests_is_closed_after_a_while(server: MemoryServer) -> None:
    """Also if it is pinged meanwhile; and one with a stream is not."""
    with client_of(server) as client, client_of(server) as other:
        client.got("/-/health")
        number = other.ask(LIVE)
        began = time.monotonic()
        while not client.is_over and time.monotonic() - began < 10:
            with suppress(OSError):
                client.h2.ping(b"12345678")
                client.send()
            list(client.events(0.1))
        assert 0.5 < time.monotonic() - began < 5
        assert other.data(number)
        assert not other.is_over
    assert refused(server, "head") == 0


@pytest.mark.parametrize("path", ["/events/account.open", "/nothing"])
def test_a_body_that_never_ends_is_cut(server: MemoryServer, path: str) -> None:
    """However slowly it comes; where the answer did not wait for it, no more of it is taken. Other requests go on."""
    with client_of(server) as client:
        live = client.ask(LIVE)
        number = client.ask(path, JSON, method="POST", body=b"{", ends=False)
        began, found = time.monotonic(), list(client.events(0.05))
        while not any(isinstance(it, StreamReset) for it in found) and time.monotonic() - began < 10:
            client.h2.send_data(number, b" ")
            client.send()
            found += client.events(0.05)
        assert time.monotonic() - began < 5
        assert any(isinstance(it, StreamEnded) and it.stream_id == number for it in found)
        body = b"".join(it.data for it in found if isinstance(it, DataReceived) and it.stream_id == number)
        assert (b'"status":408' in body) == path.startswith("/events")
        server.http.post("/events/account.open", json=OPENED)
        assert client.data(live)
    assert refused(server, "body") == path.startswith("/events")


@pytest.mark.parametrize("how", ["refused", "taken back"])
def test_a_body_that_nobody_reads_leaves_room_for_others(server: MemoryServer, how: str) -> None:
    """However many there were: of requests that were answered without it, or whose client has taken them back."""
    with client_of(server) as client:
        for _ in range(10):
            if how == "refused":
                assert client.got("/nothing", JSON, method="POST", body=b" " * 16_000).status == 404
                continue
            number = client.h2.get_next_available_stream_id()
            client.h2.send_headers(number, [*HEAD, JSON])
            client.h2.send_data(number, b" " * 16_000)
            client.h2.reset_stream(number)
            assert client.got("/-/live").status == 200
        body = json.dumps(OPENED).encode()
        assert client.got("/events/account.open", JSON, method="POST", body=body + b" " * 10_000).status == 202


def trailers(client: Http2Client, number: int) -> None:
    """The end of a body that h2 itself does not compare with what was promised."""
    client.h2.send_headers(number, [("x-checked", "1")], end_stream=True)
    client.send()


@pytest.mark.parametrize("method", ["GET", "POST", "HEAD"])
def test_a_body_that_was_promised_and_does_not_come_is_missed(server: MemoryServer, method: str) -> None:
    """Also where nobody would read it; other requests go on."""
    with client_of(server) as client:
        answer = client.got("/rows", ("content-length", "5"), method=method)
        assert (answer.status, b"its content-length is 5" in answer.body) == (400, method != "HEAD")
        assert client.got("/rows", ("content-length", "0")).status == 200
    assert refused(server, "malformed") == 1


def test_an_event_whose_body_ends_too_soon_is_not_published(server: MemoryServer) -> None:
    """However well it reads; one that is as long as it was promised is, also if trailers end it."""
    body = json.dumps(OPENED).encode()
    with client_of(server) as client:
        for promised, status in ((len(body) + 1, 400), (len(body), 200)):
            asked = (JSON, ("prefer", "wait=5"), ("content-length", str(promised)))
            number = client.ask("/events/account.open", *asked, method="POST", body=body, ends=False)
            trailers(client, number)
            answer = client.answer(number)
            assert isinstance(answer, Http2Answer)
            assert answer.status == status
            assert (b"a1" in client.got("/rows/account").body) == (status == 200)
    assert refused(server, "malformed") == 1


def test_a_head_that_is_too_large_is_refused(tmp_path: Path) -> None:
    """At 32 KiB with an answer; far beyond it, or packed so that it is small on its way, with the connection."""
    with MemoryServer(bank.app(), tmp_path, http2="1") as server:
        with client_of(server) as client:
            assert client.got("/rows", *(("x", "y" * 8_000) for _ in range(5))).status == 431
            assert client.got("/-/health").status == 200
        for headers in ([(f"x{n}", "y" * 8_000) for n in range(60)], [("x", "y" * 4_000)] * 100):
            before = refused(server, "size")
            with client_of(server) as client:
                assert client.answer(client.ask("/rows", *headers)) == "closed"
            assert refused(server, "size") == before + 1
        with client_of(server) as client:
            list(client.events(0.1))
            client.socket.sendall(unfinished(client) + (b"\0\x3f\0\x09\0\0\0\0\1" + b"\0" * 0x3F00) * 6)
            list(client.events(5))
            assert client.is_over
        assert refused(server, "size") == before + 2


def test_more_requests_than_were_agreed_on_are_refused(tmp_path: Path) -> None:
    """Each by itself; those before them go on. Once one has ended, another is taken."""
    with MemoryServer(bank.app(), tmp_path, http2="1") as server, client_of(server) as client:
        list(client.events(0.2))
        assert client.h2.remote_settings.max_concurrent_streams == 100
        client.h2.remote_settings.max_concurrent_streams = 1_000
        client.h2.remote_settings.acknowledge()
        numbers = [client.ask(LIVE) for _ in range(130)]
        refused = set[int]()
        for event in client.events(20):
            refused |= {event.stream_id} if isinstance(event, StreamReset) else set()
            if len(refused) == 10:
                break
        assert refused == {*numbers[120:]}
        until(lambda: len(server.parts.watching) == 120, "they do not watch")
        client.h2.reset_stream(numbers[0])
        client.send()
        until(lambda: len(server.parts.watching) == 119, "it is not freed")
        assert client.got("/-/health").status == 200


def test_who_asks_before_it_sends_is_told_to_go_on(server: MemoryServer) -> None:
    """With 100, if the body is wanted; else with the answer."""
    with client_of(server) as client:
        asked = (JSON, ("expect", "100-continue"), ("prefer", "wait=5"))
        number = client.ask("/events/account.open", *asked, method="POST", ends=False)
        assert any(isinstance(it, InformationalResponseReceived) for it in first_of(client, number))
        client.h2.send_data(number, json.dumps(OPENED).encode(), end_stream=True)
        client.send()
        answer = client.answer(number)
        assert isinstance(answer, Http2Answer)
        assert answer.status == 200
        other = client.ask("/nothing", *asked, method="POST", ends=False)
        found = client.answer(other)
        assert isinstance(found, Http2Answer)
        assert found.status == 404


def first_of(client: Http2Client, number: int) -> list[Event]:
    """What comes first of an answer."""
    kinds = (InformationalResponseReceived, ResponseReceived)
    return [next(it for it in client.events() if isinstance(it, kinds) and it.stream_id == number)]


@given(frames=st.lists(st.tuples(st.sampled_from([0, 1, 8, 9]), st.integers(0, 40), st.booleans()), max_size=8), data=st.data())
def test_it_is_known_whether_a_frame_is_whole(frames: list[tuple[int, int, bool]], data: st.DataObject) -> None:
    """However the bytes are cut into pieces: after the last byte of a frame it is, unless its head goes on."""
    whole, ends, in_head = PREFACE, {len(PREFACE)}, False
    for kind, size, ends_head in frames:
        whole += size.to_bytes(3) + bytes([kind, 4 * ends_head]) + b"\0\0\0\1" + b"x" * size
        in_head = not ends_head if kind in (1, 9) else in_head
        ends |= set() if in_head else {len(whole)}
    scan, at = FrameScan(), 0
    while at < len(whole):
        step = data.draw(st.integers(1, 60))
        scan.take(whole[at : at + step])
        at = min(at + step, len(whole))
        assert scan.is_whole == (at in ends)
    assert scan.finished == len(ends)


@pytest.mark.parametrize("how", ["pings", "settings", "resets", "nothing"])
def test_a_flood_of_frames_that_ask_nothing_is_cut(server: MemoryServer, how: str) -> None:
    """And requests that are taken back at once count as such."""
    with client_of(server) as client, suppress(OSError):
        for _ in range(3_000):
            if how == "pings":
                client.h2.ping(b"12345678")
            elif how == "settings":
                client.h2.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 65_535})
            elif how == "resets":
                client.h2.reset_stream(client.ask("/-/live"))
            else:
                client.h2.send_headers(1, HEAD)
                client.socket.sendall(client.h2.data_to_send() + b"\0\0\0\0\0\0\0\0\1" * 3_000)
                break
            client.send()
        list(client.events(10))
        assert client.is_over
    until(lambda: refused(server, "flood") == 1, "it is not cut")
    until(lambda: len(server.parts.connections) <= 1, "it is still there")


def big_shop(server: MemoryServer) -> None:
    for n in range(4):
        big = {**ORDER, "order": f"o{n}", "customer": "c" * 700_000}
        assert server.http.post("/events/order.place", json=big).status_code == 202


def test_a_client_that_does_not_take_its_answer_is_cut(tmp_path: Path) -> None:
    """The one request, if it leaves that waiting and takes others; all, if it takes nothing."""
    with MemoryServer(shop.app(), tmp_path, limits=QUICK, http2="1") as server:
        big_shop(server)
        for path in ("/rows/order/o1", "/live/order?_from=beginning"):
            with client_of(server, window=1_000) as client:
                client.takes = False
                number = client.ask(path)
                assert client.answer(number) == "reset"
                client.takes = True
                assert client.got("/-/health").status == 200
            until(lambda: not server.parts.watching, "its stream goes on", seconds=15)
            with client_of(server, window=2**31 - 1) as client:
                client.h2.increment_flow_control_window(2**30)
                before = refused(server, "reader")
                for _ in range(20):
                    client.ask(path)
                until(lambda before=before: refused(server, "reader") > before, "it is not cut", seconds=15)
                until(lambda: not server.parts.watching, "its stream goes on", seconds=15)
        assert server.http.get("/-/health").status_code == 200


def test_a_client_that_takes_its_answer_slowly_gets_all_of_it(tmp_path: Path) -> None:
    """Also of several at once that share what it takes."""
    limits = ConnectionLimits(taken_seconds=0.5, look_seconds=0.05, taken_bytes=1_024)
    with MemoryServer(shop.app(), tmp_path, limits=limits, http2="1") as server:
        big_shop(server)
        with client_of(server, window=20_000) as client:
            numbers, found, began = [client.ask(f"/rows/order/o{n}") for n in range(3)], dict[int, int](), time.monotonic()
            ended = set[int]()
            while len(ended) < len(numbers) and time.monotonic() - began < 60:
                for event in client.events(0.2):
                    if isinstance(event, DataReceived):
                        found[event.stream_id] = found.get(event.stream_id, 0) + len(event.data)
                        time.sleep(0.02 if time.monotonic() - began < 2 else 0)
                    ended |= {event.stream_id} if isinstance(event, StreamEnded) else set()
                    if len(ended) == len(numbers):
                        break
        assert [found[number] > 700_000 for number in numbers] == [True, True, True]
        assert refused(server, "reader") == 0


def test_a_stream_that_is_reset_is_freed(server: MemoryServer) -> None:
    """As is that of a connection that ends; the others of its connection go on."""
    with client_of(server) as client:
        first, second = client.ask(LIVE), client.ask("/rows/account", STREAM)
        until(lambda: len(server.parts.watching) == 2, "they do not watch")
        client.h2.reset_stream(first)
        client.send()
        until(lambda: len(server.parts.watching) == 1, "it is not freed")
        assert server.http.post("/events/account.open", json=OPENED).status_code == 202
        while b"a1" not in client.data(second):
            pass
    until(lambda: not server.parts.watching, "it is not freed")


def test_a_client_that_asks_nothing_more_gets_its_answers(server: MemoryServer) -> None:
    """Also to what it goes on sending; a request that comes later is refused, and after the last answer the connection ends."""
    goodbye = GoAwayFrame(stream_id=0, last_stream_id=0).serialize()
    with client_of(server) as client:
        stream = client.ask(LIVE, STREAM)
        assert client.data(stream)
        number = client.ask("/events/account.open", JSON, method="POST", ends=False)
        client.socket.sendall(goodbye)
        client.h2.send_data(number, json.dumps(OPENED).encode(), end_stream=True)
        client.send()
        answer = client.answer(number)
        assert isinstance(answer, Http2Answer)
        assert answer.status == 202
        assert client.answer(client.ask("/-/live")) == "reset"
        client.h2.reset_stream(stream)
        client.send()
        assert (client.answer(0), client.why) == ("closed", "")
    assert refused(server, "malformed") == 0


def test_streams_end_when_the_server_stops(tmp_path: Path) -> None:
    """Each is ended as one that is whole, and the connection is closed; no request is lost that waits."""
    with MemoryServer(bank.app(), tmp_path, http2="1") as server:
        client = client_of(server)
        number = client.ask(LIVE)
        assert client.data(number)
        began = time.monotonic()
    with client:
        assert time.monotonic() - began < 4
        found = [*client.events(5)]
        assert any(isinstance(it, StreamEnded) and it.stream_id == number for it in found)
        assert client.is_over


def test_silent_connections_make_room_for_requests(tmp_path: Path) -> None:
    """Also those that have agreed on HTTP/2, or do not go on to agree on TLS."""
    files = certificate(tmp_path)
    limits = ConnectionLimits(connections=20, per_peer=1_000)
    given = {"http_tls_cert": str(files[0]), "http_tls_key": str(files[1])}
    with MemoryServer(bank.app(), tmp_path / "s", limits=limits, http2="1", **given) as server, ExitStack() as stack:
        tls = trusting(files[0], "h2")
        for _ in range(10):
            stack.enter_context(client_of(server, tls))
        for _ in range(300):
            stack.enter_context(socket.create_connection(address_of(server)))
        for _ in range(5):
            with client_of(server, tls) as client:
                assert client.got("/rows/account").status == 200
        assert len(server.parts.connections) <= 20
        assert refused(server, "connections") >= 280


def test_who_does_not_agree_on_tls_is_cut(tmp_path: Path) -> None:
    """In the time of a head; what is no TLS at all at once."""
    files = certificate(tmp_path)
    given = {"http_tls_cert": str(files[0]), "http_tls_key": str(files[1])}
    with MemoryServer(bank.app(), tmp_path / "s", limits=QUICK, http2="1", **given) as server:
        for begin, why in ((b"", "head"), (b"\x16\x03\x01\x02\x00\x01", "head"), (b"GET / HTTP/1.1\r\n\r\n", "tls")):
            before, began = refused(server, why), time.monotonic()
            with socket.create_connection(address_of(server)) as raw, suppress(ConnectionError):
                raw.settimeout(10)
                raw.sendall(begin)
                while raw.recv(65_536):
                    pass
            assert time.monotonic() - began < 5
            until(lambda why=why, before=before: refused(server, why) == before + 1, f"{begin!r} is not counted")
        until(lambda: len(server.parts.connections) <= 1, "they are still there")


def test_all_requests_together_are_bounded(tmp_path: Path) -> None:
    """As connections are: beyond it 503, but for those who look after a server. One address has half of them at most."""
    limits = ConnectionLimits(connections=20, per_peer=1_000)
    with MemoryServer(bank.app(), tmp_path, limits=limits, http2="1") as server, client_of(server) as client:
        for _ in range(10):
            client.ask(LIVE)
        until(lambda: len(server.parts.watching) == 10, "they do not watch")
        answer = client.got("/rows")
        assert (answer.status, answer.headers["retry-after"]) == (503, "1")
        assert b"one address has 10 requests" in answer.body
        assert client.got("/-/health").status == 200


@pytest.mark.parametrize("spoken", ["h2", "tls"])
def test_a_connection_too_many_hears_so(tmp_path: Path, spoken: str) -> None:
    """In the protocol that it speaks."""
    files = certificate(tmp_path)
    given = {"http_tls_cert": str(files[0]), "http_tls_key": str(files[1])} if spoken == "tls" else {}
    tls = trusting(files[0], "h2") if spoken == "tls" else None
    limits = ConnectionLimits(per_peer=3, spare_seconds=600.0)
    with MemoryServer(bank.app(), tmp_path / "s", limits=limits, http2="1", **given) as server, ExitStack() as stack:
        server.http.close()
        for _ in range(3):
            client = stack.enter_context(client_of(server, tls))
            client.data(client.ask(LIVE))
        with client_of(server, tls) as client:
            assert client.got("/rows").status == 503
            list(client.events(10))
            assert client.is_over
        with client_of(server, tls) as client:
            assert client.got("/-/health").status == 200


def test_without_the_package_it_says_what_to_install() -> None:
    """Before anything is started; a server without HTTP/2 needs none."""
    program = "import sys; sys.modules['h2'] = None; from streams.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", program, "server", "--http2"], capture_output=True, text=True, check=False)
    assert (done.returncode, "pip install 'retold[http2]'" in done.stderr) == (3, True), done.stderr
    program = "import sys; sys.modules['h2'] = None; import streams.server.serve; print('there')"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout == "there\n"
