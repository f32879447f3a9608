"""Front ends of other origins: those that the settings name may use the API, and no others."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from streams.config import load
from streams.errors import ConfigError
from streams.server.http.cross_origin import READ, SENT
from tests.applications import shop
from tests.support.memory_server import MemoryServer
from tests.unit.test_server_errors import TOKEN, assert_problem

OURS, OTHER = "https://shop.example", "https://elsewhere.example"
EVENT = {"sku": "y", "quantity": 1, "price": 1}
ALLOWED = "access-control-allow-origin"
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MemoryServer]:
    with MemoryServer(shop.app(), tmp_path_factory.mktemp("state"), http_origins=f"{OURS}, http://localhost:5173") as server:
        yield server


def preflight(http: httpx.Client, origin: str) -> httpx.Response:
    """What a browser asks before it sends an event."""
    wanted = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization,idempotency-key,prefer"}
    return http.request("OPTIONS", "/events/stock.receive", headers={"Origin": origin, **wanted})


def test_a_page_of_a_named_origin_may_publish_and_read(server: MemoryServer) -> None:
    """The browser learns that it may, and which headers the page may see; problems are readable, too."""
    assert preflight(server.http, OURS).headers[ALLOWED] == OURS
    sent = server.http.post("/events/stock.receive", json=EVENT, headers={"Origin": OURS, "Sec-Fetch-Site": "cross-site"})
    read = server.http.get("/rows/stock", headers={"Origin": OURS})
    wrong = server.http.get("/rows/stick", headers={"Origin": OURS})
    assert [(it.status_code, it.headers[ALLOWED]) for it in (sent, read, wrong)] == [(202, OURS), (200, OURS), (404, OURS)]
    assert {"Location", "Retold-Position"} <= set(sent.headers["access-control-expose-headers"].split(", "))
    assert "origin" in read.headers["vary"].lower()


@pytest.mark.parametrize("origin", [OTHER, "null", f"{OURS}:444", "http://shop.example", f"{OURS}.elsewhere.example", OURS.upper()])
def test_a_page_of_another_origin_may_not(server: MemoryServer, origin: str) -> None:
    """However alike its name: it cannot read, and what it sends is refused."""
    assert ALLOWED not in preflight(server.http, origin).headers
    assert ALLOWED not in server.http.get("/rows/stock", headers={"Origin": origin}).headers
    headers = {"Origin": origin, "Sec-Fetch-Site": "cross-site"}
    assert_problem(server.http.post("/events/stock.receive", json=EVENT, headers=headers), 403, "a page of another site")


def test_a_cookie_never_counts_for_a_page_elsewhere(server: MemoryServer) -> None:
    """It is the console's: a page elsewhere shows a token."""
    headers = {"Origin": OURS, "Sec-Fetch-Site": "cross-site", "Cookie": "retold=x"}
    assert_problem(server.http.post("/events/stock.receive", json=EVENT, headers=headers), 403, "a page of another site")
    assert "access-control-allow-credentials" not in preflight(server.http, OURS).headers


def test_with_a_token_a_page_elsewhere_shows_it(tmp_path: Path) -> None:
    """What a browser asks first needs none; without one the page can read why it is refused."""
    with MemoryServer(shop.app(), tmp_path, TOKEN, http_origins=OURS) as server:
        assert preflight(server.http, OURS).status_code == 200
        refused = server.http.get("/rows/stock", headers={"Origin": OURS})
        assert (refused.status_code, refused.headers[ALLOWED]) == (401, OURS)
        headers = {"Origin": OURS, "Authorization": f"Bearer {TOKEN}", "Sec-Fetch-Site": "cross-site"}
        assert server.http.post("/events/stock.receive", json=EVENT, headers=headers).status_code == 202


def test_nobody_is_named_unless_somebody_is(tmp_path: Path) -> None:
    """No origin may use a server by default."""
    with MemoryServer(shop.app(), tmp_path) as server:
        assert preflight(server.http, OURS).status_code == 405
        assert ALLOWED not in server.http.get("/rows/stock", headers={"Origin": OURS}).headers


@pytest.mark.parametrize("text", ["*", "null", "shop.example", "https://shop.example/", "https://a,b", "ftp://a", "https://*.a.b"])
def test_what_is_no_origin_is_refused(tmp_path: Path, text: str) -> None:
    """One that a browser never writes would silently never match; a star would allow everyone."""
    with pytest.raises(ConfigError, match=r"origins such as https://shop\.example"):
        load({"RETOLD_HTTP_ORIGINS": text}, tmp_path)


def test_every_header_of_ours_is_allowed() -> None:
    """Those that the code names: a page elsewhere could else not read or send a new one."""
    code = "\n".join(path.read_text() for path in (ROOT / "streams/server/http").glob("*.py"))
    written = set(re.findall(r'"(Retold-[A-Z][A-Za-z-]+)"', code))
    assert (len(written) > 5, written - set(READ)) == (True, set())
    described = set(re.findall(r'header\("([A-Za-z-]+)"', code))
    assert (len(described) > 4, described - set(SENT)) == (True, set())


@pytest.mark.parametrize("origin", ["http://[", "https://evil.example", "null"])
def test_an_origin_that_is_not_ours_is_refused(server: MemoryServer, origin: str) -> None:
    """Also one that is no address: a fault of ours would be in the log for each."""
    refused = server.http.post("/events/stock.receive", json=EVENT, headers={"Origin": origin})
    assert refused.status_code == 403
