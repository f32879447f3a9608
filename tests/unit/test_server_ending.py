"""What became of an event has the row's version and position; a server that ends and a client that leaves are distinguished."""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from streams.schemas.schema_ids import id_of
from tests.applications import bank, probe
from tests.applications.bank.events import AccountRow
from tests.support.memory_server import MemoryServer
from tests.support.workers import until
from tests.unit.test_server_errors import assert_problem

WAIT = {"Prefer": "wait=30"}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[MemoryServer]:
    with MemoryServer(bank.app(), tmp_path) as server:
        yield server


def opened(server: MemoryServer, account: str = "a1", **headers: str) -> httpx.Response:
    body = {"account": account, "balance": 10}
    return server.http.post("/events/account.open", json=body, headers={**WAIT, **headers})


def tag(version: int) -> str:
    return f'"{version}.{id_of(AccountRow.schemas[-1])}"'


def test_the_etag_of_an_outcome_is_the_rows_version(server: MemoryServer) -> None:
    """Also of a repeated request, whose event is not the row's last one any more."""
    key = {"Idempotency-Key": "k1"}
    assert opened(server, **key).headers["etag"] == tag(1)
    credit = {"account": "a1", "transfer": "t", "amount": 5}
    assert server.http.post("/events/account.credit", json=credit, headers=WAIT).headers["etag"] == tag(2)
    again = opened(server, **key)
    assert (again.headers["etag"], again.headers["retold-position"]) == (tag(2), "account-0:1")
    assert server.http.get("/rows/account/a1", headers={"If-None-Match": again.headers["etag"]}).status_code == 304


def test_without_a_row_an_outcome_has_no_etag(tmp_path: Path) -> None:
    """The event has removed it; the answer has its position."""
    with MemoryServer(probe.app(), tmp_path) as server:
        server.http.post("/events/probe.do", json={"name": "k"})
        got = server.http.post("/events/probe.do", json={"name": "k", "how": "delete"}, headers=WAIT)
        assert (got.status_code, got.headers["retold-position"]) == (200, "probe-0:2")
        assert "etag" not in got.headers


def test_a_rejection_has_its_position(server: MemoryServer) -> None:
    """409 and 412 are in the log: who got one reads what led to it, at any server."""
    opened(server)
    again, stale = opened(server), opened(server, **{"If-Match": '"9"'})
    assert (again.status_code, again.headers["retold-position"]) == (409, "account-0:2")
    assert (stale.status_code, stale.headers["retold-position"]) == (412, "account-0:3")


def ending(server: MemoryServer, method: str, url: str, account: str) -> httpx.Response:
    """What a request that waits for long hears when the server ends."""
    body = {"json": {"account": account, "balance": 1}} if method == "POST" else {}
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(server.http.request, method, url, headers=WAIT, timeout=60, **body)
        until(lambda: len(server.model.notifier._subscriptions) > 0, "it does not wait")
        began = time.monotonic()
        server._stop.set()
        got = asked.result()
    assert time.monotonic() - began < 15  # half of what it would have waited for
    return got


def test_who_waits_for_an_outcome_hears_that_the_server_ends(server: MemoryServer) -> None:
    """503 at once, with the address of the event, which is published."""
    server.kafka.held = True
    got = ending(server, "POST", "/events/account.open", "a1")
    body = assert_problem(got, 503, "this server is stopping", "is published")
    assert (got.headers["location"], got.headers["retry-after"]) == ("/events/account/0/0", "1")
    assert body["receipt"]["key"] == "a1"


def test_who_waits_for_a_position_hears_that_the_server_ends(server: MemoryServer) -> None:
    """503 at once, and when to ask again."""
    got = ending(server, "GET", "/rows/account?_min_position=account-0:99", "")
    assert_problem(got, 503, "this server is stopping", "account-0:99", field="_min_position")
    assert got.headers["retry-after"] == "1"


def test_a_client_that_leaves_within_its_body_is_no_fault_of_ours(
    server: MemoryServer, caplog: pytest.LogCaptureFixture
) -> None:
    """It is counted as one that left, and nothing is logged."""
    head = b"POST /events/account.open HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    with caplog.at_level(logging.WARNING), socket.create_connection(server._listening.getsockname()) as client:
        client.sendall(head + b'Content-Length: 1000\r\n\r\n{"account":')
        client.close()
        until(lambda: 'route="/events/account.open"' in server.http.get("/-/metrics").text, "it is not counted")
    counted = [line for line in server.http.get("/-/metrics").text.splitlines() if "requests_total{" in line]
    assert [line.partition("status=")[2] for line in counted if '"POST"' in line] == ['"0"} 1.0']
    assert caplog.records == []
