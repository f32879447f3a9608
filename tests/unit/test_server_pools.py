"""Who waits for one thing takes no thread from who waits for another."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest

from streams import Tables, View
from streams.engine.times import from_micros
from streams.errors import BrokerError
from streams.server.http.pools import THREADS
from streams.server.http.view_calls import AT_ONCE
from streams.server.readmodel.store_high_water import fill_high_water, put_frontier
from streams.server.readmodel.timed_cache import TimedCache
from tests.applications import bank
from tests.applications.bank.events import AccountOpen
from tests.support.live import following
from tests.support.memory_server import MemoryServer
from tests.support.workers import until
from tests.unit.test_server_errors import assert_problem

MANY = THREADS + 10


class Busy:
    """A server whose broker is slow and whose view hangs, until the block ends."""

    def __init__(self, path: Path, **settings: str) -> None:
        self.go, self.called, self.once = threading.Event(), 0, 0

        def hang(tables: Tables) -> int:
            self.called += 1
            assert self.go.wait(60)
            return 1

        def once(tables: Tables) -> int:
            self.once += 1
            return 1 if self.once == 1 else hang(tables)

        views = [View("hang", hang), View("once", once), View("quick", lambda _: 7)]
        self.server = MemoryServer(replace(bank.app(), views=views), path, **settings)

    def __enter__(self) -> Busy:
        self.server.__enter__()
        self.server.kafka.publish(AccountOpen(account="a", balance=1))
        self.pool = ThreadPoolExecutor(MANY)
        return self

    def __exit__(self, *args: object) -> None:
        self.go.set()
        self.server.kafka.answers.set()
        self.pool.shutdown()
        self.server.__exit__(None, None, None)

    def ask(self, method: str, url: str, times: int) -> None:
        """So many requests at once, whose answers nobody reads here."""
        base = str(self.server.http.base_url)
        for n in range(times):
            body = {"account": f"b{n}", "balance": 1}
            sent = {"json": body} if method == "POST" else {}
            self.pool.submit(httpx.request, method, base + url, timeout=60, verify=False, **sent)

    def assert_answers(self, *urls: str) -> None:
        for url in urls:
            assert self.server.http.get(url, timeout=45).status_code == 200, url


@pytest.fixture
def busy(tmp_path: Path) -> Iterator[Busy]:
    with Busy(tmp_path) as busy:
        yield busy


def test_publishing_that_waits_for_the_broker_starves_no_reader(busy: Busy) -> None:
    """Lists, rows and what memory knows are answered while more events than there are threads wait for the broker."""
    busy.server.kafka.answers.clear()
    busy.ask("POST", "/events/account.open", MANY)
    until(lambda: len(busy.server.kafka.published) > THREADS, "they are not under way")
    busy.assert_answers("/rows/account", "/rows/account/a", "/-/health", "/-/status", "/-/metrics")


def test_reading_kafka_starves_no_list(busy: Busy) -> None:
    """Outcomes that memory has forgotten take long while the broker is slow; lists do not."""
    busy.server.kafka.forget_outcomes()
    busy.server.kafka.answers.clear()
    busy.ask("GET", "/events/account/0/0", MANY)
    kafka = busy.server.parts.pools.kafka
    until(lambda: kafka.borrowed_tokens == THREADS, "they are not under way")
    busy.assert_answers("/rows/account", "/-/metrics")


def test_a_view_that_never_returns_is_said(tmp_path: Path) -> None:
    """Who asks hears it in time, also on a stream; other views answer while there is room; the health names it until it ends."""
    with Busy(tmp_path, view_seconds="0.3") as busy:
        http = busy.server.http
        problem = assert_problem(http.get("/views/hang"), 503, "the view hang has not answered within 0.3 s")
        assert problem["type"] == "/-/problems/view-too-slow"
        with following(http, "/views/once") as stream:
            assert stream.next()[1]["answer"] == 1
            busy.server.kafka.publish(AccountOpen(account="b", balance=1))
            name, problem = stream.next()
            assert (name, problem["type"], problem["status"]) == ("problem", "/-/problems/view-too-slow", 503)
        assert http.get("/views/quick").json()["answer"] == 7
        [check] = [it for it in http.get("/-/health").json()["checks"] if it["name"] == "views"]
        assert (check["state"], "2 calls of views have not returned" in check["detail"]) == ("warn", True)
        busy.ask("GET", "/views/hang", AT_ONCE)
        until(lambda: busy.called == AT_ONCE, "they are not under way")
        assert_problem(http.get("/views/quick"), 503, f"{AT_ONCE} calls of views go on (hang, once)")
        assert http.get("/rows/account").status_code == 200
        assert http.get("/-/health").json()["state"] == "bad"
        busy.go.set()
        until(lambda: http.get("/views/quick").status_code == 200, "no place was given back")
        until(lambda: "views" not in [it["name"] for it in http.get("/-/health").json()["checks"]], "they still count as overdue")


def test_a_view_of_the_past_that_never_returns_is_said(tmp_path: Path) -> None:
    """As one of now: in time, by the health, and other questions about the past are answered."""
    with Busy(tmp_path, view_seconds="0.3") as busy:
        now = time.time_ns() // 1_000

        def fill(db: sqlite3.Connection) -> None:
            fill_high_water(db, now)
            put_frontier(db, now)

        busy.server.kafka.store.write(fill)
        http, then = busy.server.http, f"?_as_of={quote(from_micros(now).isoformat())}"
        assert http.get(f"/views/quick{then}").json()["answer"] == 7
        busy.ask("GET", f"/views/hang{then}", AT_ONCE)
        until(lambda: busy.called == AT_ONCE, "they are not under way")
        busy.assert_answers(f"/rows/account/a{then}", f"/rows/account{then}")
        assert_problem(http.get(f"/views/hang{then}"), 503, f"{AT_ONCE} calls of views go on (hang)")
        [check] = [it for it in http.get("/-/health").json()["checks"] if it["name"] == "views"]
        assert check["state"] == "bad"


def test_a_view_that_hangs_starves_no_list(busy: Busy) -> None:
    """A view is the application's own function."""
    busy.ask("GET", "/views/hang", MANY)
    until(lambda: busy.called > 1, "they are not under way")
    busy.assert_answers("/rows/account", "/-/status", "/-/metrics")


def test_an_error_holds_for_a_while_too() -> None:
    """So who asks again in an outage does not queue up behind who asked before."""
    calls: list[int] = []

    def look() -> int:
        calls.append(1)
        if len(calls) == 1:
            raise BrokerError("the broker is gone")
        return 7

    lately = TimedCache(look, 60.0)
    for _ in range(3):
        with pytest.raises(BrokerError, match="the broker is gone"):
            lately.get()
    assert len(calls) == 1
    fresh = TimedCache(look, 0.0)
    assert ([fresh.get(), fresh.get()], len(calls)) == ([7, 7], 3)
