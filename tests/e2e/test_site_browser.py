"""The demo's front end in Debian's Chromium: online, offline and back.

Skipped without it: `make browser` installs what it needs, beside Debian's package `chromium`.
"""

from __future__ import annotations

import shutil
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import httpx
import pytest

import processors
from processors.events import UserClose, UserSignup
from processors.mailers import FileMailer
from processors.settings import Settings
from tests.e2e.test_console_browser import CHROMIUM, MISSING, apart, browser, hindrances, publish_apart
from tests.support.memory_server import MemoryServer
from tests.support.site import Site
from tests.support.tokens import token_of, write_tokens
from tests.support.workers import until
from tests.unit.test_server_errors import TOKEN

__all__ = ["browser"]
pytestmark = pytest.mark.skipif(
    CHROMIUM is None or bool(MISSING), reason="these tests need Debian's package chromium and `make browser`"
)
FILES = Path(processors.__file__).parent / "site"
LARGEST = 14_500
"""Bytes of all files."""
KEYS = """() => new Promise((done) => {
  const asked = indexedDB.open("retold-sign-up");
  asked.onsuccess = () => {
    const all = asked.result.transaction("outbox").objectStore("outbox").getAll();
    all.onsuccess = () => { asked.result.close(); done(all.result.map((it) => it.key)); };
  };
})"""
"""The keys in the outbox, in order."""
CONTROLLED = """() => new Promise((done) => {
  const worker = navigator.serviceWorker;
  if (worker.controller) done();
  else worker.addEventListener("controllerchange", () => done());
})"""
"""Until the worker is beside the page."""
FOLLOWED = """() => new Promise((done) => {
  const source = new EventSource("/rows/user?_from=snapshot");
  source.addEventListener("ready", () => { source.close(); done("ready"); });
  setTimeout(done, 10_000, "nothing was told");
})"""
"""What becomes of a query that is followed."""


@contextmanager
def serving(state: Path, site: Path, token: str | None = None, **others: str) -> Iterator[MemoryServer]:
    """The demo with this front end."""
    app = processors.app(Settings(FileMailer(state.parent / f"{state.name}.mbox"), reminders=True))
    with ExitStack() as stack:
        server = apart(lambda: stack.enter_context(MemoryServer(app, state, token, site=str(site), answering=True, **others)))
        yield server


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A copy of the files, which a test may change."""
    return Path(shutil.copytree(FILES, tmp_path / "site"))


@pytest.fixture
def server(tmp_path: Path, site: Path) -> Iterator[MemoryServer]:
    with serving(tmp_path / "state", site) as found:
        yield found


@pytest.fixture
def window(browser: Any) -> Iterator[Any]:
    """A window of a browser without a past; it fails if a page of it has anything to complain of."""
    context = browser.new_context(viewport={"width": 390, "height": 800})
    context.set_default_timeout(60_000)
    context.add_init_script("addEventListener('unhandledrejection', (it) => console.error('unhandled', it.reason))")
    complaints: list[str] = []
    context.on("console", lambda it: complaints.append(it.text) if it.type == "error" and "ERR_INTERNET" not in it.text else None)
    context.on("weberror", lambda it: complaints.append(str(it.error)))
    yield context
    context.close()
    assert [it for it in complaints if "Failed to load resource" not in it] == []


def shown(window: Any, url: object, *, path: str = "/app/") -> Any:
    """The page, with its worker beside it."""
    page = window.new_page()
    page.goto(f"{str(url).rstrip('/')}{path}")
    page.evaluate(CONTROLLED)
    said(page, "online")
    return page


def said(page: Any, text: str) -> None:
    """Wait until the page says it of itself."""
    page.get_by_role("status").filter(has_text=text).wait_for()


def sign_up(page: Any, name: str) -> None:
    page.get_by_label("Your name").fill(name)
    page.get_by_label("E-mail").fill(f"{name}@example.org")
    page.get_by_role("button", name="Sign up").click()


def line(page: Any, name: str, state: str = "") -> None:
    """Wait for the line of this name in this state; none is the server's own."""
    page.locator(f"li[class='{state}']" if state else "li:not([class])").filter(has_text=f"{name} ·").first.wait_for()


def versions(server: MemoryServer, *names: str) -> list[int | None]:
    """Of rows of the server; None: it has none."""
    found = [server.http.get(f"/rows/user/{name}") for name in names]
    return [it.json()["version"] if it.status_code == 200 else None for it in found]


def sign_ups(server: MemoryServer) -> list[tuple[str, str]]:
    """Those in the event log with their outcomes, in order."""
    events = server.http.get("/events/user?type=user.signup&_limit=1000").json()["events"]
    return [(it["key"], it["outcome"]) for it in reversed(events)]


def test_all_files_are_small() -> None:
    """No library, no build."""
    assert sum(it.stat().st_size for it in FILES.iterdir()) <= LARGEST


def test_what_is_accepted_is_shown_as_the_server_has_it(window: Any, server: MemoryServer) -> None:
    """The form is free for the next; the line is the page's own until rows are read that are as new as the outcome."""
    page = shown(window, server.http.base_url)
    asked: list[str] = []
    page.on("request", lambda it: asked.append(it.url))
    sign_up(page, "ada")
    line(page, "ada")
    assert any("/rows/user" in url and url.endswith("&_min_position=user-0:1") for url in asked), asked
    assert page.get_by_label("Your name").input_value() == ""
    assert (versions(server, "ada"), sign_ups(server)) == ([1], [("ada", "accepted")])
    assert page.evaluate(KEYS) == []


def test_offline_it_waits_and_then_is_handled_in_order(window: Any, server: MemoryServer) -> None:
    """It is shown at once, also by a page that is loaded again offline; what the handler rejects is struck, with its reason."""
    page = shown(window, server.http.base_url)
    sign_up(page, "ada")
    line(page, "ada")
    window.set_offline(True)
    for name in ("bob", "ada", "cyd"):
        sign_up(page, name)
        line(page, name, "queued")
    said(page, "offline, 3 on the way")
    page.reload()
    for name in ("bob", "ada", "cyd"):
        line(page, name, "queued")
    said(page, "offline, 3 on the way, as of ")
    assert versions(server, "bob", "cyd") == [None, None]
    window.set_offline(False)
    for name in ("bob", "cyd"):
        line(page, name)
    line(page, "ada", "rejected")
    assert "rejected: this user has already signed up" in page.locator("#list").inner_text()
    said(page, "online")
    assert sign_ups(server) == [("ada", "accepted"), ("bob", "accepted"), ("ada", "rejected"), ("cyd", "accepted")]
    page.get_by_role("button", name="Dismiss").click()
    page.locator("li.rejected").wait_for(state="detached")
    assert page.evaluate(KEYS) == []


def test_a_page_follows_a_query_beside_its_worker(window: Any, server: MemoryServer) -> None:
    """A stream passes it: an answer that it waited for the end of would never come."""
    page = shown(window, server.http.base_url)
    assert page.evaluate(FOLLOWED) == "ready"


def test_what_others_do_is_shown(window: Any, server: MemoryServer) -> None:
    """Their rows come and go, without the page being loaded again."""
    page = shown(window, server.http.base_url)
    publish_apart(server, UserSignup(user="eve", email="eve@example.org"))
    line(page, "eve")
    publish_apart(server, UserClose(user="eve"))
    page.locator("li").filter(has_text="eve").wait_for(state="detached")


def test_two_tabs_send_each_event_once_and_show_the_same(window: Any, server: MemoryServer) -> None:
    """Both come back at the same time, with one outbox between them."""
    tabs = [shown(window, server.http.base_url), shown(window, server.http.base_url)]
    window.set_offline(True)
    for at, name in enumerate(("ada", "bob", "cyd", "dan")):
        sign_up(tabs[at % 2], name)
        line(tabs[1 - at % 2], name, "queued")
    window.set_offline(False)
    for tab in tabs:
        for name in ("ada", "bob", "cyd", "dan"):
            line(tab, name)
    assert sign_ups(server) == [(name, "accepted") for name in ("ada", "bob", "cyd", "dan")]
    assert len(server.kafka.published) == 4


def test_a_key_that_is_sent_again_by_hand_is_the_same_event(window: Any, server: MemoryServer) -> None:
    """Before the page sends it itself: it learns what became of it, and nothing happens twice."""
    page = shown(window, server.http.base_url)
    window.set_offline(True)
    sign_up(page, "ada")
    line(page, "ada", "queued")
    [key] = page.evaluate(KEYS)
    data = {"user": "ada", "email": "ada@example.org"}
    sent = server.http.post("/events/user.signup", json=data, headers={"Idempotency-Key": key, "Prefer": "wait=5"})
    assert sent.json()["outcome"] == "accepted"
    window.set_offline(False)
    line(page, "ada")
    assert (sign_ups(server), page.evaluate(KEYS), page.locator("li.rejected").count()) == ([("ada", "accepted")], [], 0)


def renewed(page: Any, title: str) -> None:
    """Load it again: the open page tells of the new version, unless a slow look after an earlier load has found that before."""
    page.reload()
    button, heading = page.get_by_role("button", name="Reload"), page.get_by_role("heading", name=title)
    button.or_(heading).first.wait_for()
    if button.is_visible():
        button.click()
    heading.wait_for()


def test_a_new_version_is_shown_when_the_page_is_loaded_again(window: Any, server: MemoryServer, site: Path) -> None:
    """All of its files at once; the open page says that it is there. Offline it is kept."""
    page = shown(window, server.http.base_url)
    html, script = site / "index.html", site / "app.js"
    html.write_text(html.read_text().replace("The latest users", "Everyone"))
    script.write_text(script.read_text().replace('"waits here"', '"waits in this browser"'))
    renewed(page, "Everyone")
    said(page, "online")
    window.set_offline(True)
    page.reload()
    page.get_by_role("heading", name="Everyone").wait_for()
    sign_up(page, "ada")
    line(page, "ada", "queued")
    assert "waits in this browser" in page.locator("#list").inner_text()


def test_half_a_new_version_is_not_taken(window: Any, server: MemoryServer, site: Path) -> None:
    """A file of it is not there yet: the version before is shown."""
    page = shown(window, server.http.base_url)
    html, sheet = site / "index.html", site / "style.css"
    sheet.rename(site / "later.css")  # first: the worker may look at any moment
    html.write_text(html.read_text().replace("The latest users", "Everyone"))
    for _ in range(2):
        page.reload()
        said(page, "online")
    assert page.get_by_role("heading", name="The latest users").count() == 1
    (site / "later.css").rename(sheet)
    renewed(page, "Everyone")


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_everyone_can_use_it(browser: Any, server: MemoryServer, width: int, scheme: str) -> None:
    """Axe finds nothing with lines in every state, nothing is wider than the window, and long names do not break it."""
    context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
    page = shown(context, server.http.base_url)
    sign_up(page, "ada")
    line(page, "ada")
    context.set_offline(True)
    for name in ("ada", "x" * 60):
        sign_up(page, name)
        line(page, name, "queued")
    assert hindrances(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    context.set_offline(False)
    line(page, "ada", "rejected")
    assert hindrances(page) == []
    context.close()


def test_it_works_as_a_plain_form(browser: Any, server: MemoryServer) -> None:
    """Without a script, the form leads to the page of its event."""
    context = browser.new_context(base_url=str(server.http.base_url), java_script_enabled=False)
    page = context.new_page()
    page.goto("/app/")
    sign_up(page, "ada")
    page.wait_for_url("**/story")
    assert "user.signup ada" in page.locator("h1").inner_text()
    assert sign_ups(server) == [("ada", "accepted")]
    page.goto("/app/")
    page.get_by_role("link", name="All users").click()
    assert page.get_by_role("link", name="ada", exact=True).count() == 1
    context.close()


def test_without_a_worker_it_works_as_long_as_it_is_open(browser: Any, server: MemoryServer) -> None:
    """As over a network without TLS, where browsers have none."""
    context = browser.new_context(service_workers="block")
    page = context.new_page()
    page.goto(f"{server.http.base_url}/app/")
    said(page, "online")
    context.set_offline(True)
    sign_up(page, "ada")
    line(page, "ada", "queued")
    context.set_offline(False)
    line(page, "ada")
    assert sign_ups(server) == [("ada", "accepted")]
    context.close()


def test_a_token_is_taken_from_the_fragment_and_kept_nowhere(window: Any, tmp_path: Path, site: Path) -> None:
    """It is gone from the address; what waits needs it again after the page was loaded anew, and is not lost."""
    with serving(tmp_path / "state", site, TOKEN) as server:
        server.http.headers["Authorization"] = f"Bearer {TOKEN}"
        page = shown(window, server.http.base_url, path=f"/app/#token={TOKEN}")
        assert page.evaluate("location.href").endswith("/app/")
        sign_up(page, "ada")
        line(page, "ada")
        stored = page.evaluate("() => JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie])")
        assert stored == "[{},{},\"\"]"
        [worker] = window.service_workers
        kept = worker.evaluate("async () => JSON.stringify([await outbox(), await within('seen', (it) => it.getAll())])")
        assert ("ada@example.org" in kept, TOKEN in kept) == (True, False)
        stranger = page.context.browser.new_context()
        other = stranger.new_page()
        other.goto(f"{server.http.base_url}/app/")
        said(other, "Open it with #token=")
        sign_up(other, "bob")
        line(other, "bob", "queued")
        other.goto("about:blank")
        other.goto(f"{server.http.base_url}/app/#token={TOKEN}")
        line(other, "bob")
        assert sign_ups(server) == [("ada", "accepted"), ("bob", "accepted")]
        stranger.close()


def test_what_a_token_may_not_send_is_shown_with_the_right_that_is_missing(window: Any, tmp_path: Path, site: Path) -> None:
    """It does not hold up the rest; and a page that may not read asks for another token."""
    rights = {"reader": {"read": ["rows/user", "events/user"]}, "other": {"read": ["rows/folder"]}}
    tokens = write_tokens(tmp_path / "tokens.toml", rights)
    with serving(tmp_path / "state", site, http_tokens=str(tokens)) as server:
        page = shown(window, server.http.base_url, path=f"/app/#token={token_of('reader')}")
        sign_up(page, "ada")
        line(page, "ada", "rejected")
        assert "publish user.signup" in page.locator("#list").inner_text()
        page.goto("about:blank")
        page.goto(f"{server.http.base_url}/app/#token={token_of('other')}")
        said(page, "Open it with #token=")
        assert server.kafka.published == []


def test_it_may_be_served_by_another_origin(window: Any, tmp_path: Path, site: Path) -> None:
    """By any server of files, with the API's address in one line of it; offline and back as at home."""
    files = ThreadingHTTPServer(("127.0.0.1", 0), partial(QuietFiles, directory=str(site)))
    Thread(target=files.serve_forever, daemon=True).start()
    home = f"http://localhost:{files.server_port}"
    try:
        with serving(tmp_path / "state", site, http_origins=home) as server:
            html = site / "index.html"
            address = str(server.http.base_url).rstrip("/")
            html.write_text(html.read_text().replace('name="api" content=""', f'name="api" content="{address}"'))
            page = shown(window, home, path="/")
            sign_up(page, "ada")
            line(page, "ada")
            window.set_offline(True)
            sign_up(page, "bob")
            line(page, "bob", "queued")
            page.reload()
            line(page, "ada")
            window.set_offline(False)
            line(page, "bob")
            assert sign_ups(server) == [("ada", "accepted"), ("bob", "accepted")]
    finally:
        files.shutdown()
        files.server_close()


class QuietFiles(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Nothing."""


def test_what_a_full_browser_cannot_keep_stays_in_the_form(window: Any, server: MemoryServer) -> None:
    """The page says so, and nothing was sent that a second try would send twice."""
    page = shown(window, server.http.base_url)
    full = "() => { IDBObjectStore.prototype.put = () => { throw new DOMException('full', 'QuotaExceededError'); }; }"
    [worker] = window.service_workers
    worker.evaluate(full)
    sign_up(page, "ada")
    said(page, "This browser has no room to keep it. Nothing was sent.")
    assert page.get_by_label("Your name").input_value() == "ada"
    assert server.kafka.published == []


@pytest.mark.slow
def test_what_nobody_handles_does_not_hold_up_the_rest(window: Any, server: MemoryServer) -> None:
    """It is published, once however often it is asked for, and the page says that it is not handled yet."""
    server.kafka.held = True
    page = shown(window, server.http.base_url)
    for name in ("ada", "bob"):
        sign_up(page, name)
    for name in ("ada", "bob"):
        line(page, name, "sent")
    window.set_offline(True)
    said(page, "offline, 2 on the way")
    window.set_offline(False)
    said(page, "online, 2 on the way")
    assert [data.key for data, _ in server.kafka.published] == ["ada", "bob"]


@pytest.mark.slow
def test_a_server_that_is_killed_while_it_waits_loses_nothing(window: Any, broker: str, prefix: str, tmp_path: Path) -> None:
    """It had published the event, and no outcome was known: sent again under its key, the event is in the log once."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    site = Site.make(broker, tmp_path, prefix, RETOLD_HTTP_PORT=str(port), DEMO_REMINDERS="off")
    url = f"http://127.0.0.1:{port}"
    with site.start("worker"):
        site.wait_until_owned()
    with site.start("server") as first:
        until(lambda: answers(f"{url}/-/ready"), "the server is not ready")
        page = shown(window, url)
        sign_up(page, "ada")
        until(lambda: len(site.foreign.read("user")) == 1, "the event is not published")
        first.process.kill()
        first.ended(10)
    said(page, "offline, 1 on the way")
    with site.start("server"), site.start("worker"):
        until(lambda: answers(f"{url}/rows/user/ada"), "the event is not handled")
        line(page, "ada")
    logged = [message for message in site.logs()["user"] if message.value()]
    assert (len(logged), page.evaluate(KEYS)) == (1, [])


def answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5.0).status_code == 200
    except httpx.TransportError:
        return False


PORTAL = {"status": 200, "content_type": "text/html", "body": "<!doctype html><title>Log in</title><p>Welcome to our network"}
"""What a network answers in place of all servers, until somebody has logged in there."""


def test_a_network_that_answers_in_place_of_the_server_is_as_none(window: Any, server: MemoryServer) -> None:
    """What was seen is shown, what is sent waits, the page's files stay, and all goes on once the network lets it through."""
    page = shown(window, server.http.base_url)
    sign_up(page, "ada")
    line(page, "ada")
    window.route("**/*", lambda route: route.fulfill(**PORTAL))
    page.reload()
    said(page, "offline")
    line(page, "ada")
    sign_up(page, "bob")
    line(page, "bob", "queued")
    page.reload()
    assert page.get_by_role("heading", name="The latest users").count() == 1
    assert page.get_by_role("button", name="Reload").count() == 0, "no newer version is told of"
    window.unroute("**/*")
    said(page, "online")
    line(page, "bob")
    assert sign_ups(server) == [("ada", "accepted"), ("bob", "accepted")]
