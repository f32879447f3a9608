"""Who waits for one thing takes no thread from who waits for another."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote
from uuid import uuid4

import httpx
import pytest

from streams import Tables, View
from streams.engine.times import from_micros
from streams.errors import BrokerError
from streams.server.http.pools import THREADS
from streams.server.http.questions import AT_ONCE, VIEW
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
    """A server whose broker is slow and whose view hangs: each call leaves a file, since it is in another process."""

    def __init__(self, path: Path, **settings: str) -> None:
        self.calls = path / "calls"
        self.calls.mkdir(parents=True)

        def hang(tables: Tables) -> int:
            (self.calls / uuid4().hex).touch()
            time.sleep(60)
            return 1

        views = [View("hang", hang), View("once", lambda _: hang(_) if self.called else 1), View("quick", lambda _: 7)]
        self.server = MemoryServer(replace(bank.app(), views=views), path / "state", answering=True, **settings)

    @property
    def called(self) -> int:
        return sum(1 for _ in self.calls.iterdir())

    def __enter__(self) -> Busy:
        self.server.__enter__()
        self.server.kafka.publish(AccountOpen(account="a", balance=1))
        self.pool = ThreadPoolExecutor(MANY)
        return self

    def __exit__(self, *args: object) -> None:
        self.server.kafka.answers.set()
        self.server.__exit__(None, None, None)
        self.pool.shutdown()

    def ask(self, method: str, url: str, times: int) -> list[Future[httpx.Response]]:
        """So many requests at once."""
        base, asked = str(self.server.http.base_url), []
        for n in range(times):
            body = {"account": f"b{n}", "balance": 1}
            sent = {"json": body} if method == "POST" else {}
            asked.append(self.pool.submit(httpx.request, method, base + url, timeout=60, verify=False, **sent))
        return asked

    def wait_until_called(self, url: str, times: int) -> None:
        """Until the view hangs in so many calls. Before it is called, one may be ended on a busy machine: it is asked for again."""
        asked = self.ask("GET", url, times)

        def are_called() -> bool:
            nonlocal asked
            if self.called < times and all(it.done() for it in asked):
                asked = self.ask("GET", url, times - self.called)
            return self.called >= times

        until(are_called, "they are not under way")

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


def test_a_view_that_never_returns_is_ended(tmp_path: Path) -> None:
    """Who asks hears it in time, also on a stream."""
    with Busy(tmp_path, view_seconds="0.5") as busy:
        http = busy.server.http
        with following(http, "/views/once") as stream:
            assert stream.next()[1]["answer"] == 1
            problem = assert_problem(http.get("/views/hang"), 503, "the view hang has not answered within 0.5 s", "was ended")
            assert problem["type"] == "/-/problems/view-too-slow"
            busy.server.kafka.publish(AccountOpen(account="b", balance=1))
            name, problem = stream.next()
            assert (name, problem["type"], problem["status"]) == ("problem", "/-/problems/view-too-slow", 503)
        assert http.get("/views/quick").json()["answer"] == 7
        assert busy.server.parts.connections.refused["view"] == 2


@pytest.mark.parametrize("then", [False, True], ids=["now", "as of a time"])
def test_views_that_hang_stop_no_others(tmp_path: Path, then: bool) -> None:
    """All places are taken: the next one waits for one, which each gives back; and the past is told meanwhile."""
    with Busy(tmp_path, view_seconds="1.5") as busy:
        now = time.time_ns() // 1_000

        def fill(db: sqlite3.Connection) -> None:
            fill_high_water(db, now)
            put_frontier(db, now)

        busy.server.kafka.store.write(fill)
        past = f"?_as_of={quote(from_micros(now).isoformat())}"
        busy.wait_until_called(f"/views/hang{past if then else ''}", AT_ONCE)
        busy.assert_answers(f"/rows/account/a{past}", "/rows/account", f"/views/quick{past if then else ''}")


def test_who_waits_too_long_for_a_place_is_told_to_come_again(tmp_path: Path) -> None:
    """Where as many that hang wait before it as go on."""
    with Busy(tmp_path, view_seconds="2") as busy:
        places = busy.server.questions._places[VIEW]
        busy.ask("GET", "/views/hang", 2 * AT_ONCE)
        until(lambda: places.statistics().tasks_waiting == AT_ONCE, "they do not wait")
        got = busy.server.http.get("/views/quick")
        assert_problem(got, 503, f"{AT_ONCE} calls of views go on (the view hang)", "no place was free for 3 s")
        assert got.headers["retry-after"] == "1"


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
