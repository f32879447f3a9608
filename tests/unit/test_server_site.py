"""The files of a front end at /app/: whole, safe, and without a token."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from streams.config import load
from streams.errors import ConfigError
from streams.server.site_folder import check_site
from tests.applications import shop
from tests.support.memory_server import MemoryServer
from tests.unit.test_server_errors import TOKEN, assert_problem

BROWSER = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("outside") / "site"
    found.mkdir()
    (found / "index.html").write_text("<h1>Orders</h1>")
    (found / "app.js").write_text("start()")
    (found / ".env").write_text("a password")
    (found.parent / "secret.txt").write_text("a password")
    (found / "link.txt").symlink_to(found.parent / "secret.txt")
    return found


@pytest.fixture(scope="module")
def server(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MemoryServer]:
    with MemoryServer(shop.app(), tmp_path_factory.mktemp("state"), site=str(folder)) as server:
        yield server


def test_a_browser_gets_the_files(server: MemoryServer) -> None:
    """With their types; without the slash it is led to where relative addresses fit."""
    led = server.http.get("/app", headers=BROWSER)
    assert (led.status_code, led.headers["location"]) == (308, "/app/")
    first, script = server.http.get("/app/", headers=BROWSER), server.http.get("/app/app.js")
    assert (first.text, first.headers["content-type"]) == ("<h1>Orders</h1>", "text/html; charset=utf-8")
    assert (script.text, script.headers["content-type"].partition(";")[0]) == ("start()", "text/javascript")


def test_a_file_is_asked_for_again_and_loads_nothing_from_elsewhere(server: MemoryServer) -> None:
    """What has not changed is a 304; both forbid scripts, frames and forms of other sites."""
    first = server.http.get("/app/")
    again = server.http.get("/app/", headers={"If-None-Match": first.headers["etag"]})
    assert (first.status_code, again.status_code) == (200, 304)
    for answer in (first, again):
        assert answer.headers["cache-control"] == "no-cache"
        assert answer.headers["x-content-type-options"] == "nosniff"
        policy = answer.headers["content-security-policy"]
        assert [part in policy for part in ("default-src 'self'", "frame-ancestors 'none'", "form-action 'self'")] == [True] * 3


def asked_as_written(server: MemoryServer, path: str) -> bytes:
    """The whole answer to a path that no client would send as it is."""
    with socket.create_connection((server.http.base_url.host, server.http.base_url.port or 0), 10) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode())
        return b"".join(iter(lambda: connection.recv(65_536), b""))


@pytest.mark.parametrize(
    "path",
    [
        "/app/../secret.txt", "/app/..%2fsecret.txt", "/app/%2e%2e/secret.txt", "/app//etc/passwd", "/app/%00", "/app/.env",
        "/app/x/../.env", "/app/link.txt", f"/app/{'x' * 5000}",
    ],
)  # fmt: skip
def test_nothing_else_is_served(server: MemoryServer, path: str) -> None:
    """Neither a file outside of the folder, however it is named, nor a hidden one."""
    answer = asked_as_written(server, path)
    assert (answer.split(b" ")[1], b"a password" in answer) == (b"404", False)


def test_what_is_not_there_is_a_problem(server: MemoryServer) -> None:
    """As everywhere; and the files cannot be changed."""
    assert_problem(server.http.get("/app/other.js"), 404, "there is nothing at /app/other.js")
    assert_problem(server.http.post("/app/app.js"), 405, "POST is not possible")


def test_a_browser_that_asks_for_an_icon_gets_no_error(server: MemoryServer, folder: Path, tmp_path: Path) -> None:
    """It does so unasked: there is none, or the one of the front end; neither needs a token, and nothing else is done there."""
    assert (server.http.get("/favicon.ico").status_code, server.http.get("/favicon.ico").content) == (204, b"")
    assert_problem(server.http.post("/favicon.ico"), 405, "POST is not possible")
    with MemoryServer(shop.app(), tmp_path / "without", TOKEN) as other:
        assert other.http.get("/favicon.ico").status_code == 204
    (folder / "favicon.ico").write_bytes(b"an icon")
    led = server.http.get("/favicon.ico", headers=BROWSER)
    assert (led.status_code, server.http.get(led.headers["location"]).content) == (307, b"an icon")
    (folder / "favicon.ico").unlink()


def test_the_files_are_seen_without_a_token_and_nothing_else_is(folder: Path, tmp_path: Path) -> None:
    """Also by a path that only begins as theirs do; and not at all where there is no front end."""
    with MemoryServer(shop.app(), tmp_path / "with", TOKEN, site=str(folder)) as server:
        assert [server.http.get(path).status_code for path in ("/app/", "/app/app.js", "/rows", "/apple")] == [200, 200, 401, 401]
        assert b" 404 " in asked_as_written(server, "/app/../rows").partition(b"\r\n")[0]
        assert b" 404 " in asked_as_written(server, "/app/..%2frows").partition(b"\r\n")[0]
    with MemoryServer(shop.app(), tmp_path / "without") as server:
        assert [server.http.get(path).status_code for path in ("/app", "/app/")] == [404, 404]


def test_a_folder_without_a_first_page_is_a_sentence(tmp_path: Path) -> None:
    """Before anything starts."""
    config = replace(load({}, tmp_path), site=tmp_path / "there" / "is" / "none")
    with pytest.raises(ConfigError, match=r"there/is/none', and there is no index\.html in it"):
        check_site(config)
