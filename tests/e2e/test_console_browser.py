"""The console in Debian's Chromium: what only a browser can tell.

Skipped without it: `make browser` installs what it needs, beside Debian's package `chromium`.
"""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from streams.data import EventData
from tests.applications.shop import app as shop_app
from tests.applications.shop.events import Line, OrderPlace, StockReceive
from tests.support.memory_server import MemoryServer
from tests.support.tokens import token_of, write_tokens
from tests.support.troubled_shop import Trouble, publish, troubled_server
from tests.support.workers import until

CHROMIUM = shutil.which("chromium")
NEEDED = ("playwright", "axe_playwright_python")
MISSING = [name for name in NEEDED if importlib.util.find_spec(name) is None]
pytestmark = pytest.mark.skipif(
    CHROMIUM is None or bool(MISSING),
    reason="these tests need Debian's package chromium and `make browser`",
)
ORDER = OrderPlace(order="o1", customer="c", lines=(Line(sku="A1", quantity=1),))
FIRST_PAGE = 40 * 1024
"""Bytes of the first page with all that it loads."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright  # late: it may not be there

    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield found
        found.close()


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[tuple[MemoryServer, Trouble]]:
    with ExitStack() as stack:
        server, trouble = apart(stack.enter_context, troubled_server(tmp_path))
        publish_apart(server, OrderPlace(order="o2", customer="c", lines=(Line(sku="none", quantity=1),)))
        yield server, trouble


def apart(function: Callable[..., Any], *arguments: Any) -> Any:
    """In a thread: in this one runs Playwright's event loop, and a World has one of its own."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(function, *arguments).result()


def publish_apart(server: MemoryServer, data: EventData) -> None:
    apart(publish, server, data)


def opened(browser: Any, server: MemoryServer, **options: Any) -> Any:
    """A page of a window of its own."""
    context = browser.new_context(base_url=str(server.http.base_url), **options)
    context.set_default_timeout(60_000)
    return context.new_page()


def all_pages(server: MemoryServer) -> list[str]:
    aside = {it["status"]: it for it in reversed(server.http.get("/parked").json()["events"])}
    parked, unanswered = (f"/parked/{it['namespace']}/0/{it['place']}" for it in (aside["parked"], aside["unanswered"]))
    planned = server.http.post("/corrections", json={"why": "a test order", "remove": ["order-0:1"]}).headers["Location"]
    return [
        "/", "/rows", "/corrections", "/corrections/calls", planned,
        "/rows/order", "/rows/order?status=cancelled", "/rows/order/o1", "/rows/stock/y", "/projections",
        "/projections/charges", "/projections/charges/o1", "/views/orders-of/c", "/events", "/events/order-0:1/story", "/parked",
        parked, f"{parked}/retry", f"{parked}/reject", unanswered, f"{unanswered}/answer", "/waiting/timers", "/waiting/calls",
        "/live", "/-/problems", "/-/problems/unknown-field", "/-/status", "/-/docs", "/rows/ordr",
    ]  # fmt: skip


def hindrances(page: Any) -> list[tuple[str, str]]:
    """What axe finds: the rule, and the first place."""
    axe = importlib.util.find_spec("axe_playwright_python")
    assert axe is not None
    assert axe.origin is not None
    page.evaluate(Path(axe.origin).with_name("axe.min.js").read_text(encoding="utf-8"))
    return [(it["id"], it["nodes"][0]["html"]) for it in page.evaluate("axe.run()")["violations"]]


@pytest.mark.slow
@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_everyone_can_use_every_page(browser: Any, shop: tuple[MemoryServer, Trouble], width: int, scheme: str) -> None:
    """Axe finds nothing, nothing is wider than the window, and the browser has nothing to complain of."""
    server, _ = shop
    page = opened(browser, server, viewport={"width": width, "height": 800}, color_scheme=scheme)
    complaints: list[str] = []
    page.on("console", lambda it: complaints.append(it.text) if it.type in ("error", "warning") and "404" not in it.text else None)
    page.on("pageerror", lambda it: complaints.append(str(it)))
    for path in all_pages(server):
        page.goto(path)
        assert hindrances(page) == [], path
        assert page.evaluate("document.documentElement.scrollWidth") <= width, path
    assert complaints == []


def test_the_first_page_is_small_and_asks_nobody_else(browser: Any, shop: tuple[MemoryServer, Trouble]) -> None:
    """All of it, with the sheet and the script."""
    server, _ = shop
    page = opened(browser, server)
    asked: list[str] = []
    page.on("request", lambda it: asked.append(it.url))
    page.goto("/", wait_until="load")
    assert [url for url in asked if not url.startswith(str(server.http.base_url))] == []
    kinds = "[...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')]"
    sizes = page.evaluate(f"{kinds}.map((it) => it.decodedBodySize)")
    assert (len(sizes) >= 3, 5_000 < sum(sizes) <= FIRST_PAGE) == (True, True), sizes


def test_a_page_shows_what_has_changed(browser: Any, shop: tuple[MemoryServer, Trouble]) -> None:
    """It says how many rows are new, and leaves the focus where it was; paused it stays as it is, and then catches up."""
    server, trouble = shop
    trouble.broken = False
    page = opened(browser, server)
    page.goto("/rows/stock")
    page.get_by_role("link", name="x", exact=True).focus()
    until(lambda: len(server.parts.watching) > 0, "the page does not watch")
    publish_apart(server, StockReceive(sku="z", quantity=1, price=1))
    page.get_by_role("link", name="z", exact=True).wait_for()
    assert page.get_by_role("status").inner_text() == "1 new row"
    assert page.evaluate("document.activeElement.textContent") == "x"
    page.get_by_role("button", name="Pause").click()
    publish_apart(server, StockReceive(sku="zz", quantity=1, price=1))
    page.wait_for_timeout(700)
    assert page.get_by_role("link", name="zz", exact=True).count() == 0
    page.get_by_role("button", name="Go on").click()
    page.get_by_role("link", name="zz", exact=True).wait_for()


def test_what_is_parked_is_freed_without_a_script_or_a_mouse(browser: Any, shop: tuple[MemoryServer, Trouble]) -> None:
    """From the first page on, by the keyboard alone."""
    server, trouble = shop
    trouble.broken = False
    page = opened(browser, server, java_script_enabled=False)
    page.goto("/rows/stock/y")
    for name in ("Look and decide", "Retry…", "Retry it now"):
        press(page, name)
    assert "accepted" in page.content()
    assert server.http.get("/rows/stock/y").json()["row"]["free"] == 12


def press(page: Any, name: str) -> None:
    """Walk to what has this name with the Tab key, and press Enter there."""
    for _ in range(60):
        page.keyboard.press("Tab")
        focused = page.locator(":focus")
        if focused.count() and focused.first.inner_text() == name:
            with page.expect_navigation():
                page.keyboard.press("Enter")
            return
    raise AssertionError(f"the Tab key does not come to {name!r}")


def test_a_correction_is_planned_and_applied_without_a_script(browser: Any, tmp_path: Path) -> None:
    """On the event's page; the plan is read by axe as it is before and after."""

    def begun() -> MemoryServer:
        server = MemoryServer(shop_app(), tmp_path, answering=True)
        server.__enter__()
        for data, name in ((StockReceive(sku="A1", quantity=5, price=300), "receive"), (ORDER, "place-1")):
            server.kafka.publish(data, id=name)
        server.kafka.world.settle()
        server.kafka.show()
        return server

    server = apart(begun)
    try:
        page = opened(browser, server, java_script_enabled=False, viewport={"width": 390, "height": 800}, color_scheme="dark")
        page.goto("/events/place-1/story")
        page.get_by_text("It should not have happened").click()
        page.get_by_label("Why").first.fill("a test order")
        page.get_by_role("button", name="Plan to take it out").click()
        assert "Nothing has happened yet" in page.content()
        page.get_by_role("button", name="Apply it now").click()
        until(lambda: server.http.get("/rows/order/o1").status_code == 404, "it is not applied")
        page.reload()
        assert "that were set" in page.content()
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
    finally:
        apart(server.__exit__, None, None, None)


def test_a_browser_logs_in(browser: Any, tmp_path: Path) -> None:
    """And comes to the page that it asked for; a cookie of this machine needs no TLS."""
    token = "correct-horse-battery"
    with MemoryServer(shop_app(), tmp_path, token, answering=True) as server:
        page = opened(browser, server)
        page.goto("/rows/stock")
        assert hindrances(page) == []
        page.get_by_label("token").fill(token)
        page.keyboard.press("Enter")
        page.wait_for_url("**/rows/stock")
        assert page.get_by_role("heading", level=1).inner_text().startswith("stock")
        page.get_by_role("button", name="Log out").click()
        page.wait_for_url("**/-/login")
        assert page.goto("/rows/stock").url.endswith("/-/login?next=%2Frows%2Fstock")


def test_a_form_of_another_site_changes_nothing(browser: Any, shop: tuple[MemoryServer, Trouble]) -> None:
    """The browser itself says where it comes from."""
    server, _ = shop
    page = opened(browser, server)
    [place] = {f"/parked/stock/0/{it['place']}" for it in server.http.get("/parked?namespace=stock").json()["events"][:1]}
    url = f"{server.http.base_url}{place}/retry"
    page.set_content(f'<form method="post" action="{url}"><input name="decision"><button>Win</button></form>')
    with page.expect_navigation() as told:
        page.get_by_role("button").click()
    assert told.value.status == 403
    assert server.kafka.commands == []


def test_a_page_whose_token_ends_says_that_it_is_old(browser: Any, tmp_path: Path) -> None:
    """What it shows stays, and is not taken for the present."""
    file = write_tokens(tmp_path / "tokens.toml", {"one": {"read": ["*"]}, "two": {"read": ["*"]}})
    with MemoryServer(shop_app(), tmp_path / "state", http_tokens=str(file), answering=True) as server:
        publish_apart(server, StockReceive(sku="z", quantity=1, price=1))
        page = opened(browser, server)
        page.goto("/rows/stock")
        page.get_by_label("token").fill(token_of("one"))
        page.keyboard.press("Enter")
        page.get_by_role("link", name="z", exact=True).wait_for()
        until(lambda: len(server.parts.watching) > 0, "the page does not watch")
        write_tokens(file, {"two": {"read": ["*"]}})
        page.get_by_role("status").filter(has_text="You are logged out").wait_for()
        assert page.get_by_role("link", name="z", exact=True).count() == 1
