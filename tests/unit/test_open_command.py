"""`retold open`, with a browser that only notes what it is to show."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.applications import shop
from tests.support.certificates import certificate
from tests.support.memory_server import MemoryServer
from tests.support.processes import retold

NOTHING_THERE = 3


@pytest.fixture
def shown(tmp_path: Path) -> Path:
    """The file in which the browser notes addresses."""
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" >> {tmp_path}/shown\n')
    browser.chmod(0o755)
    return tmp_path / "shown"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[MemoryServer]:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "index.html").write_text("<h1>Orders</h1>")
    with MemoryServer(shop.app(), tmp_path / "state", site=str(tmp_path / "site")) as server:
        yield server


def opened(shown: Path, port: int, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
    browser = f"{shown.with_name('browser')} %s"
    return retold("open", *words, env={**os.environ, "RETOLD_HTTP_PORT": str(port), "BROWSER": browser, **more})


def test_it_opens_the_console_and_the_front_end(server: MemoryServer, shown: Path) -> None:
    """And prints the address, for who has no browser here."""
    port, address = server.http.base_url.port or 0, str(server.http.base_url).rstrip("/")
    for words, url in (((), f"{address}/"), (("--site",), f"{address}/app/")):
        done = opened(shown, port, *words)
        assert (done.returncode, done.stdout.strip()) == (0, url), done.stderr
    assert shown.read_text().split() == [f"{address}/", f"{address}/app/"]


def test_with_tls_it_opens_that_address(tmp_path: Path, shown: Path) -> None:
    """Whatever certificate the server has: the browser looks at that."""
    cert, key = certificate(tmp_path)
    tls = {"http_tls_cert": str(cert), "http_tls_key": str(key)}
    with MemoryServer(shop.app(), tmp_path / "state", **tls) as server:
        port = server.http.base_url.port or 0
        named = {f"RETOLD_{name.upper()}": it for name, it in tls.items()}
        done = opened(shown, port, **named)
    assert (done.returncode, done.stdout.strip()) == (0, f"https://127.0.0.1:{port}/"), done.stderr


def test_without_a_server_it_says_how_to_start_one(server: MemoryServer, shown: Path, tmp_path: Path) -> None:
    """Also where a server has no front end; no browser is started."""
    done = opened(shown, 1)
    assert (done.returncode, "no server of retold answers at http://127.0.0.1:1." in done.stderr) == (NOTHING_THERE, True)
    with MemoryServer(shop.app(), tmp_path / "other") as bare:
        done = opened(shown, bare.http.base_url.port or 0, "--site")
    assert (done.returncode, "has no front end: set RETOLD_SITE" in done.stderr) == (NOTHING_THERE, True)
    assert not shown.exists()
