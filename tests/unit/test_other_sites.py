"""What a page of another site makes a browser send is refused: a form needs nobody's permission to be posted."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.applications import shop
from tests.support.memory_server import MemoryServer
from tests.unit.test_server_errors import assert_problem

EVENT = {"sku": "y", "quantity": 1, "price": 1}
TOKEN = "correct-horse-battery"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MemoryServer]:
    with MemoryServer(shop.app(), tmp_path_factory.mktemp("state"), answering=True) as server:
        yield server


def own_origin(server: MemoryServer) -> str:
    return str(server.http.base_url).rstrip("/")


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"},
        {"Origin": "https://elsewhere.example"}, {"Origin": "null"}, {"Origin": "http://127.0.0.1:1"},
    ],
)  # fmt: skip
@pytest.mark.parametrize("url", ["/events/stock.receive", "/what-if", "/parked/stock/0/1/retry"])
def test_what_another_site_sends_is_refused(server: MemoryServer, url: str, headers: dict[str, str]) -> None:
    """As JSON and as a form; nothing is published."""
    assert_problem(server.http.post(url, json=EVENT, headers=headers), 403, "a page of another site")
    assert_problem(server.http.post(url, data=EVENT, headers=headers), 403, "a page of another site")
    assert server.kafka.published == []


def test_what_the_browser_says_of_the_site_counts_more_than_the_origin(server: MemoryServer) -> None:
    """A browser that says both has compared them with more care."""
    headers = {"Sec-Fetch-Site": "cross-site", "Origin": own_origin(server)}
    assert server.http.post("/events/stock.receive", json=EVENT, headers=headers).status_code == 403


def test_own_pages_and_programs_are_not_refused(server: MemoryServer) -> None:
    """Nor is what a person types, and whatever only reads."""
    for headers in ({"Sec-Fetch-Site": "same-origin"}, {"Sec-Fetch-Site": "none"}, {"Origin": own_origin(server)}, {}):
        assert server.http.post("/what-if", json={}, headers=headers).status_code == 422, headers
    assert server.http.get("/rows/stock", headers={"Sec-Fetch-Site": "cross-site"}).status_code == 200


def test_a_token_that_is_shown_is_no_browsers_own(tmp_path: Path) -> None:
    """No page of another site can make a browser show a token that it does not have; with a cookie beside it, it does not count."""
    with MemoryServer(shop.app(), tmp_path, TOKEN, answering=True) as server:
        headers = {"Authorization": f"Bearer {TOKEN}", "Sec-Fetch-Site": "cross-site"}
        assert server.http.post("/what-if", json={}, headers=headers).status_code == 422
        assert server.http.post("/what-if", json={}, headers={**headers, "Cookie": "a=b"}).status_code == 403
