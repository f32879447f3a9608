"""Logging in to the console: a browser shows the token once, and then a cookie."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.config import load
from streams.server.access.principal import with_every_right
from streams.server.access.principals import Principals
from streams.server.http.console_cookie import SECONDS, cookie_holder, cookie_value
from streams.server.pages.login import local_path
from tests.applications import shop
from tests.support.html_page import HtmlPage
from tests.support.memory_server import MemoryServer
from tests.unit.test_console import BROWSER, page_of
from tests.unit.test_server_errors import assert_problem

TOKEN = "correct-horse-battery"
SECRET = TOKEN.encode()
HOLDER = with_every_right("token", TOKEN)


def is_good(value: str, now: float, secret: bytes = SECRET, token: str = TOKEN) -> bool:
    """Whether a server with this secret and this token takes the cookie."""
    principals = Principals(replace(load({}), http_token=token), shop.app())
    return cookie_holder(secret, value, principals, now) is not None


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MemoryServer]:
    with MemoryServer(shop.app(), tmp_path_factory.mktemp("state"), TOKEN, answering=True) as server:
        yield server


@pytest.fixture
def browser(server: MemoryServer) -> Iterator[httpx.Client]:
    """It keeps its cookies, and follows nothing by itself."""
    with httpx.Client(base_url=server.http.base_url, headers=BROWSER) as found:
        yield found


def logged_in(browser: httpx.Client, back: str = "/") -> httpx.Response:
    return browser.post("/-/login", data={"token": TOKEN, "next": back})


def test_a_browser_is_sent_to_log_in_and_comes_back(browser: httpx.Client) -> None:
    """To the page that it asked for; a wrong token is told, and sets no cookie."""
    got = browser.get("/rows/order?status=paid")
    assert (got.status_code, got.headers["location"]) == (303, "/-/login?next=%2Frows%2Forder%3Fstatus%3Dpaid")
    [form] = HtmlPage(browser.get(got.headers["location"]).text).forms
    wrong = browser.post(form.action, data={**form.fields, "token": f"{TOKEN}x"})
    assert (wrong.status_code, "set-cookie" in wrong.headers) == (401, False)
    assert "no token of this server" in HtmlPage(wrong.text).text
    right = browser.post(form.action, data={**form.fields, "token": TOKEN})
    assert (right.status_code, right.headers["location"]) == (303, "/rows/order?status=paid")
    page = page_of(browser.get(right.headers["location"]))
    assert page.texts("h1") == ["order"]


def test_the_cookie_is_for_this_server_alone(browser: httpx.Client) -> None:
    """No script reads it, no other site's page sends it; from another machine it needs TLS."""
    assert "HttpOnly; SameSite=Strict" in logged_in(browser).headers["set-cookie"]
    far = browser.post("/-/login", data={"token": TOKEN}, headers={"Host": "shop.example"}).headers["set-cookie"]
    assert far.startswith("__Host-retold=")
    like = browser.post("/-/login", data={"token": TOKEN}, headers={"Host": "localhost:80@shop.example"}).headers["set-cookie"]
    assert like.startswith("__Host-retold="), "it is no name of this machine"
    assert far.endswith("; Secure")
    assert TOKEN not in far
    plain = {"Host": "shop.example", "Cookie": f"retold={cookie_value(SECRET, HOLDER, 2e9)}"}
    assert browser.get("/rows", headers=plain).status_code == 303, "without TLS it is this machine's alone"


def test_logging_out_ends_it(browser: httpx.Client) -> None:
    """And a button on each page does so."""
    logged_in(browser)
    forms = [it for it in page_of(browser.get("/rows")).forms if it.action == "/-/logout"]
    assert len(forms) == 1
    assert browser.post(forms[0].action, data={}).headers["location"] == "/-/login"
    assert browser.get("/rows").status_code == 303


def test_a_program_still_hears_401(server: MemoryServer, browser: httpx.Client) -> None:
    """Also for a form, and a stranger's browser sees no page of the application."""
    assert_problem(server.http.get("/rows/order"), 401, "Authorization")
    assert_problem(browser.post("/what-if", data={"remove": "x"}), 401, "Authorization")
    assert_problem(server.http.get("/rows", headers={"Authorization": "Bearer wrong", "Accept": "*/*"}), 401, "Authorization")
    assert browser.get("/-/health").headers["content-type"].startswith("application/")
    assert "shop" not in browser.get("/-/login").text.replace("shop.example", "")


def test_a_stranger_sees_no_more_of_a_probe_than_a_program(server: MemoryServer, browser: httpx.Client) -> None:
    """A page of the problem would name the application, and say how it stands."""
    server.model.waits = "the server has not read the tables yet"
    try:
        got = browser.get("/-/ready")
        assert (got.status_code, got.headers["content-type"]) == (503, "application/problem+json")
        logged_in(browser)
        assert "not ready" in page_of(browser.get("/-/ready")).text
    finally:
        server.model.waits = None


def test_a_decision_by_a_cookie_comes_from_own_pages_alone(browser: httpx.Client) -> None:
    """A page of another site is refused though the browser sent the cookie."""
    logged_in(browser)
    assert browser.post("/what-if", json={}).status_code == 422
    assert browser.post("/what-if", json={}, headers={"Sec-Fetch-Site": "cross-site"}).status_code == 403


def test_a_cookie_ends(server: MemoryServer) -> None:
    """After twelve hours, and with another token."""
    value = cookie_value(SECRET, HOLDER, 1_000.0)
    assert is_good(value, 1_000.0 + SECONDS - 1)
    assert not is_good(value, 1_000.0 + SECONDS)
    assert not is_good(value, 1_000.0, token="another token of 16")
    assert not is_good(value, 1_000.0, secret=b"another secret of 17")


@given(st.text(max_size=90))
def test_no_other_cookie_is_taken(text: str) -> None:
    """Whatever somebody makes up; nor one whose time was changed."""
    until, name, signature = cookie_value(SECRET, HOLDER, 1_000.0).split(".")
    assert not is_good(text, 1_000.0)
    assert not is_good(f"{int(until) + 1}.{name}.{signature}", 1_000.0)
    assert not is_good(f"{until}.{name}.{text}", 1_000.0) or text == signature


@pytest.mark.parametrize(
    "text",
    ["//elsewhere.example", "https://elsewhere.example", "/\\elsewhere.example", "javascript:alert(1)", "", "rows", "/a\nb", "//["],
)
def test_logging_in_leads_nowhere_else(text: str) -> None:
    """Only to a path of this server."""
    assert local_path(text) == "/"
    assert local_path("/rows/order/a%2Fb?status=paid") == "/rows/order/a%2Fb?status=paid"


def test_without_a_token_there_is_nothing_to_log_in_to(tmp_path_factory: pytest.TempPathFactory) -> None:
    """The page leads on, and no page has a button to log out."""
    with MemoryServer(shop.app(), tmp_path_factory.mktemp("state")) as server:
        assert server.http.get("/-/login", headers=BROWSER).headers["location"] == "/"
        assert "Log out" not in server.http.get("/", headers=BROWSER).text
