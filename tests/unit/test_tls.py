"""TLS of the server's own: which files are refused, and that new ones are taken while it runs."""

from __future__ import annotations

import json
import socket
import ssl
import time
from pathlib import Path

import pytest
from websockets import Subprotocol
from websockets.sync.client import connect

from streams.errors import ConfigError
from streams.server.connections import ConnectionLimits
from streams.server.tls_files import tls_of
from tests.applications import bank, shop
from tests.support.certificates import certificate, trusting
from tests.support.http2_client import Http2Client
from tests.support.memory_server import MemoryServer
from tests.support.workers import settings, until
from tests.unit.test_server_errors import ORDER


def shown(server: MemoryServer) -> bytes | None:
    """The certificate that a new connection gets."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection(server._listening.getsockname()) as raw, context.wrap_socket(raw) as tls:
        return tls.getpeercert(binary_form=True)


def test_new_files_count_for_new_connections(tmp_path: Path) -> None:
    """Half of them, or what is none, changes nothing: they are just written."""
    cert, key = certificate(tmp_path)
    with MemoryServer(bank.app(), tmp_path / "s", http_tls_cert=str(cert), http_tls_key=str(key)) as server:
        first = shown(server)
        others = certificate(tmp_path, "other")
        cert.write_bytes(others[0].read_bytes())
        assert shown(server) == first
        key.write_bytes(others[1].read_bytes())
        second = shown(server)
        assert second not in (first, None)
        key.unlink()
        assert shown(server) == second
        assert server.http.get("/-/health").status_code == 200


@pytest.mark.parametrize(
    ("cert", "key", "sentence"),
    [
        ("server.pem", None, "http_tls_cert is set and http_tls_key is not"),
        (None, "server.key", "http_tls_key is set and http_tls_cert is not"),
        ("none.pem", "server.key", "No such file"),
        ("server.key", "server.pem", "they cannot be used"),
        ("server.pem", "other.key", "they cannot be used"),
        ("locked.pem", "locked.key", "a password"),
    ],
)
def test_files_that_cannot_be_used_are_refused_at_once(tmp_path: Path, cert: str | None, key: str | None, sentence: str) -> None:
    """With a sentence that names both; nobody is asked for a password."""
    certificate(tmp_path)
    certificate(tmp_path, "other")
    certificate(tmp_path, "locked", b"secret")
    given = {"http_tls_cert": cert, "http_tls_key": key}
    config = settings(tmp_path, "", **{name: str(tmp_path / it) for name, it in given.items() if it})
    with pytest.raises(ConfigError, match=sentence):
        tls_of(config)


def test_a_websocket_is_there_beside_http_2(tmp_path: Path) -> None:
    """Its client agrees on HTTP/1.1, at the same port."""
    cert, key = certificate(tmp_path)
    tls = {"http_tls_cert": str(cert), "http_tls_key": str(key)}
    with MemoryServer(bank.app(), tmp_path / "s", http2="1", **tls) as server:
        url = f"wss://localhost:{server._listening.getsockname()[1]}/ws"
        with connect(url, ssl=trusting(cert, "http/1.1"), subprotocols=[Subprotocol("retold.v1")], proxy=None) as client:
            client.send('{"op": "watch", "id": 1, "url": "/rows/account"}')
            assert json.loads(client.recv(10)) == {"id": 1, "status": 200}


@pytest.mark.parametrize("protocol", ["h2", "http/1.1"])
def test_a_client_that_does_not_take_its_answer_is_cut(tmp_path: Path, protocol: str) -> None:
    """Though what waits for it waits in two places, before and behind what encrypts it."""
    cert, key = certificate(tmp_path)
    tls = {"http_tls_cert": str(cert), "http_tls_key": str(key)}
    limits = ConnectionLimits(taken_seconds=0.5, look_seconds=0.05)
    with MemoryServer(shop.app(), tmp_path / "s", limits=limits, http2="1", **tls) as server:
        for n in range(8):
            big = {**ORDER, "order": f"o{n}", "customer": "c" * 700_000}
            assert server.http.post("/events/order.place", json=big).status_code == 202
        address, path = server._listening.getsockname(), "/live/order?_from=beginning"
        if protocol == "h2":
            with Http2Client(address, trusting(cert, "h2"), window=2**31 - 1) as client:
                client.h2.increment_flow_control_window(2**30)
                client.ask(path)
                until(lambda: server.parts.connections.refused["reader"] == 1, "it is not cut", seconds=20)
        else:
            raw = trusting(cert).wrap_socket(socket.create_connection(address), server_hostname="localhost")
            with raw:
                raw.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
                until(lambda: server.parts.connections.refused["reader"] == 1, "it is not cut", seconds=20)
        until(lambda: not server.parts.watching, "its stream goes on", seconds=20)


def test_an_end_that_its_client_does_not_confirm_holds_nothing_up(tmp_path: Path) -> None:
    """A server stops in seconds, though a client does not say goodbye."""
    cert, key = certificate(tmp_path)
    context = ssl.create_default_context(cafile=cert)
    with MemoryServer(bank.app(), tmp_path / "s", http_tls_cert=str(cert), http_tls_key=str(key)) as server:
        client = context.wrap_socket(socket.create_connection(server._listening.getsockname()), server_hostname="localhost")
        half = socket.create_connection(server._listening.getsockname())
        until(lambda: len(server.parts.connections) >= 2, "they are not connected")
        began = time.monotonic()
    with client, half:
        assert time.monotonic() - began < 4.5
