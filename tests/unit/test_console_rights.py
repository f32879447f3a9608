"""What the pages of the console show to a principal that may not do everything."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urljoin, urlsplit

import httpx
import pytest

from streams.server.pages.page_table import NAVIGATION
from tests.applications import shop
from tests.applications.shop.events import Line, OrderPlace, PaymentCharge
from tests.support.html_page import HtmlPage
from tests.support.memory_server import MemoryServer
from tests.support.tokens import Entry, token_of, write_tokens
from tests.unit.test_console import BROWSER, page_of

PRINCIPALS: dict[str, Entry] = {
    "web": {"read": ["rows/order"], "publish": ["order.place"]},
    "c7": {"read": ["rows/*", "events/order"], "only": {"order": "customer=c7"}},
    "auditor": {"read": ["*"]},
    "operator": {"operate": ["order"]},
    "probe": {"admin": True},
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MemoryServer]:
    folder = tmp_path_factory.mktemp("state")
    tokens = write_tokens(folder / "tokens.toml", PRINCIPALS)
    with MemoryServer(shop.app(), folder / "state", http_tokens=str(tokens), answering=True) as server:
        for number, customer in ((1, "c7"), (2, "c8")):
            lines = (Line(sku="x", quantity=1),)
            server.kafka.publish(OrderPlace(order=f"o{number}", customer=customer, lines=lines))
        server.kafka.publish(PaymentCharge(order="o0", amount=5))
        yield server


@contextmanager
def browser_of(server: MemoryServer, name: str) -> Iterator[httpx.Client]:
    """Logged in with the token of this principal."""
    with httpx.Client(base_url=server.http.base_url, headers=BROWSER) as found:
        got = found.post("/-/login", data={"token": token_of(name), "next": "/"})
        assert got.headers["location"] == "/"
        yield found


def seen(browser: httpx.Client, url: str, status: int = 200) -> HtmlPage:
    got = browser.get(url)
    assert got.status_code == status, (url, got.text)
    return page_of(got)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("web", "Flow Rows API"),
        ("c7", "Flow Rows Events Waiting Live API"),
        ("auditor", "Flow Rows Projections Events Waiting Live API"),
        ("operator", "Flow Parked API"),
        ("probe", "Flow Status API"),
    ],
)
def test_a_page_links_to_what_the_token_may_see(server: MemoryServer, name: str, shown: str) -> None:
    """All else would be a page that refuses; it says who is logged in."""
    with browser_of(server, name) as browser:
        page = seen(browser, "/")
        urls = {link.name: link.url for link in NAVIGATION}
        assert [it for it in urls if urls[it] in page.links()] == shown.split()
        assert name in page.text


@pytest.mark.parametrize("name", PRINCIPALS)
def test_no_link_leads_to_a_page_that_refuses(server: MemoryServer, name: str) -> None:
    """From the first page on, as far as there are links; but those to the addresses of the API."""
    with browser_of(server, name) as browser:
        left, known, refused = ["/"], {"/"}, list[tuple[str, str]]()
        while left and len(known) < 120:
            at = left.pop()
            page = page_of(browser.get(at))
            for link in page.links():
                url = urljoin(at, link)
                if urlsplit(url).netloc or "_form=" in url or url in known or url.startswith("#"):
                    continue
                known.add(url)
                got = browser.get(url)
                if got.status_code == 403:
                    refused.append((at, url))
                elif "html" in got.headers["content-type"]:
                    left.append(url)
        assert refused == []


def test_a_page_that_may_not_be_seen_names_the_right(server: MemoryServer) -> None:
    """In words, with what the token may do, and the pages that it may see."""
    with browser_of(server, "web") as browser:
        for url, right in (
            ("/parked", "operate"), ("/-/status", "admin"), ("/events", "read events/"), ("/rows/stock", "read rows/stock"),
            ("/projections/charges", "read projections/charges"), ("/live", "read events/"),
        ):  # fmt: skip
            page = seen(browser, url, 403)
            assert f"web may publish and read, but not this: the right `{right}" in page.text
            assert "/rows" in page.links()
        got = browser.post("/what-if", data={"remove": "order-0:1"})
        assert (got.status_code, "read *" in page_of(got).text) == (403, True)


def test_pages_count_and_offer_what_the_token_may_see(server: MemoryServer) -> None:
    """Neither rows nor namespaces of others are counted or offered."""
    with browser_of(server, "c7") as browser:
        page = seen(browser, "/rows/order")
        assert ("o1" in page.text, "o2" in page.text, "? rows" in page.text) == (True, False, True)
        one = seen(browser, "/rows/order/o1")
        assert "read *" in one.text
        assert not [it for it in one.forms if "_as_of" in it.fields]
        assert "has no row 'o2'" in seen(browser, "/rows/order/o2", 404).text
        assert "stock" not in str(seen(browser, "/events").tags)
    with browser_of(server, "auditor") as browser:
        assert [it for it in seen(browser, "/rows/order/o1").forms if "_as_of" in it.fields]


def test_a_cookie_has_the_rights_of_its_token(server: MemoryServer) -> None:
    """Also for a program that shows it."""
    with browser_of(server, "web") as browser:
        json = {"Accept": "application/json"}
        assert browser.get("/rows/order", headers=json).status_code == 200
        assert browser.get("/rows/stock", headers=json).status_code == 403


def test_the_page_of_the_api_is_the_same_for_all(server: MemoryServer) -> None:
    """Its events come from the OpenAPI, which every token may read, and so does what they lead to."""
    pages = []
    for name in ("auditor", "web", "probe"):
        with browser_of(server, name) as browser:
            text = seen(browser, "/-/docs").text
            pages.append(text[text.index("order.cancel") :])
    assert pages[1:] == pages[:1] * 2
