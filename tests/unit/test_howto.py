"""The how-to pages are run: their Python, their excerpts and their requests."""

from __future__ import annotations

import functools
import re
import shutil
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.applications import shop
from tests.applications.shop.events import StockReceive
from tests.support.memory_server import MemoryServer
from tests.support.pages import run
from tests.support.ports import free_port

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docs" / "howto"
PAGES = [page for page in sorted(FOLDER.glob("*.md")) if page.name != "README.md"]
RUN = {"schemas.md": 285, "change-a-rule.md": 130, "roll-back.md": 80, "several-namespaces.md": 135}
"""Pages that tests/e2e/test_tutorial.py runs as a whole, with the most lines: they show files and outputs."""
FENCES = r"python|python excerpt \S+|console"
RUN_FENCES = r"(?:python|json) \S+(?: (?:append|line|function|excerpt))?|console(?: (?:background|restart))?"
ADDRESS, RPC_ADDRESS = "http://127.0.0.1:8080", "127.0.0.1:9090"
"""The server's, in the pages; here it is at a free port."""
every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


PROTO = ROOT / "streams/server/retold.proto"


@pytest.fixture
def server(tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    """With gRPC, and its file in the folder, for the page about it alone: it takes a while to load."""
    given = {}
    if request.node.callspec.params["page"].name == "grpc.md":
        given["grpc_port"] = str(free_port())
        shutil.copy(PROTO, tmp_path)
        monkeypatch.syspath_prepend(tmp_path)
    with MemoryServer(shop.app(), tmp_path / "state", answering=True, **given) as server:
        server.kafka.publish(StockReceive(sku="A1", quantity=5, price=300))
        yield server


def of_sockets(address: str) -> str:
    return address.replace("http", "ws", 1)


@every_page
def test_the_python_of_a_page_runs(page: Path, server: MemoryServer) -> None:
    """From the first block to the last, as a reader would paste it; what it asserts is so."""
    address, rpc = str(server.http.base_url).rstrip("/"), f"127.0.0.1:{server.config.grpc_port}"
    there = {ADDRESS: address, of_sockets(ADDRESS): of_sockets(address), RPC_ADDRESS: rpc}
    run(page, lambda block: functools.reduce(lambda text, it: text.replace(*it), there.items(), block))


@every_page
def test_an_excerpt_is_what_stands_in_its_file(page: Path) -> None:
    """Code that is shown is code that the tests of the applications run."""
    text = page.read_text(encoding="utf-8")
    for file, block in re.findall(r"(?ms)^```python excerpt (\S+)$\n(.*?)^```$", text):
        assert block in (ROOT / file).read_text(encoding="utf-8")
    fences = RUN_FENCES if page.name in RUN else FENCES
    assert re.findall(rf"(?m)^```(?!(?:{fences})$|$)\S*.*$", text) == []


@every_page
def test_what_a_page_asks_a_server_is_answered(page: Path, server: MemoryServer) -> None:
    """Every address in a `curl` line; of a stream the beginning."""
    text = page.read_text(encoding="utf-8")
    found = re.findall(rf"curl -s[N]? '?{ADDRESS}([^\s']*)(?:'? --json '([^']*)'|'? -H 'Accept: ([^']*)')?", text)
    for url, body, accept in found:
        given: dict[str, Any] = {"content": body, "headers": {"Content-Type": "application/json"}} if body else {}
        given |= {"headers": {"Accept": accept}} if accept else {}
        with server.http.stream("POST" if body else "GET", url, **given) as answer:
            assert (url, answer.status_code) == (url, httpx.codes.OK)
    assert len(re.findall(r"\bcurl ", text)) == len(re.findall(rf"curl -s[N]? '?{ADDRESS}", text))


@every_page
def test_a_page_says_what_to_do_about_trouble_and_what_its_limits_are(page: Path) -> None:
    """Every page ends with both, and none is long."""
    text = page.read_text(encoding="utf-8")
    assert re.search(r"(?m)^## (Troubleshooting|Check purity)$", text)
    assert re.search(r"(?m)^## Limits$", text)
    assert len(text.splitlines()) <= RUN.get(page.name, 120)


def test_every_page_is_listed() -> None:
    """In the list beside them."""
    text = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert [page.name for page in PAGES if f"]({page.name})" not in text] == []
