"""Addresses that are almost right, and methods that are wrong: each answer says what there is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.applications import shop
from tests.support.memory_server import MemoryServer
from tests.unit.test_server_errors import assert_problem


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MemoryServer]:
    folder: Path = tmp_path_factory.mktemp("server")
    with MemoryServer(shop.app(), folder) as server:
        yield server


@pytest.mark.parametrize(
    ("path", "meant"),
    [
        ("/-/health/", "/-/health"), ("/-/docs/", "/-/docs"), ("/-/login/", "/-/login"), ("/-/problems//", "/-/problems"),
        ("/openapi.json/", "/openapi.json"), ("/rows/", "/rows"), ("/-/nothing/", ""), ("/-/", ""),
    ],
)  # fmt: skip
def test_an_address_with_a_slash_too_much_names_the_right_one(server: MemoryServer, path: str, meant: str) -> None:
    """It leads nobody there, since the slash may be the end of a key; where nothing is meant, the list is named."""
    expected = f"did you mean {meant}?" if meant else "/openapi.json lists"
    assert_problem(server.http.get(path), 404, f"there is nothing at {path}; {expected}")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("POST", "/-/health", "GET, HEAD"), ("DELETE", "/-/docs", "GET, HEAD"), ("PUT", "/-/login", "GET, HEAD, POST"),
        ("GET", "/-/logout", "POST"), ("POST", "/-/static/retold.css", "GET, HEAD"), ("OPTIONS", "/-/metrics", "GET, HEAD"),
    ],
)  # fmt: skip
def test_a_method_that_is_not_there_names_those_that_are(server: MemoryServer, method: str, path: str, allowed: str) -> None:
    """Also of pages that the API knows nothing of."""
    got = server.http.request(method, path)
    assert_problem(got, 405, f"{method} is not possible at {path}; {allowed} is")
    assert got.headers["allow"] == allowed


@pytest.mark.parametrize("accept", ["*/*", "text/html", "application/json"])
def test_a_page_without_another_form_is_shown_to_everybody(server: MemoryServer, accept: str) -> None:
    """The reference is read with curl, too."""
    got = server.http.get("/-/docs", headers={"Accept": accept})
    assert (got.status_code, got.headers["content-type"]) == (200, "text/html; charset=utf-8")


def test_a_request_to_the_websocket_hears_that_it_is_one(server: MemoryServer) -> None:
    """And how the handshake is made."""
    got = server.http.get("/ws")
    assert_problem(got, 426, "/ws is a WebSocket; a handshake with the subprotocol retold.v1")
    assert got.headers["upgrade"] == "websocket"


@pytest.mark.parametrize("path", ["/app", "/app/", "/app/index.html"])
def test_a_server_without_a_front_end_says_how_it_gets_one(server: MemoryServer, path: str) -> None:
    """Whoever opens it expects one; the list of routes says nothing of it."""
    assert_problem(server.http.get(path), 404, f"there is nothing at {path}; ", "the setting `site`, or --site")
