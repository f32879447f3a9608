"""Whatever runs the application's own code to answer over HTTP has a limit, and may end its process: the server goes on."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from streams import App, Event, Namespace, Outcome, Projection, Tables, View
from streams.engine.times import to_micros
from streams.server.http.questions import AT_ONCE, KINDS
from streams.server.readmodel.store_high_water import fill_high_water, put_frontier
from streams.testing.world import START
from tests.applications import probe
from tests.applications.probe.events import EchoHear, EchoRow, ProbeDo, ProbeRow
from tests.support.memory_server import MemoryServer
from tests.support.processes import descendants
from tests.support.workers import until
from tests.unit.test_server_errors import assert_problem

TESTS = os.getpid()
FRONTIER = START + timedelta(hours=1)
PAST = f"?_known={quote(str(FRONTIER))}"


def hang_elsewhere() -> None:
    """In the process of the tests, the World handles events."""
    if os.getpid() != TESTS:
        time.sleep(60)


def hanging() -> App:
    """The probe, whose handler and fold hang where questions are answered."""
    space, folded = Namespace("probe", row=ProbeRow), Projection("folded", row=EchoRow)

    @space.handles(ProbeDo, emits=[EchoHear])
    def do(row: ProbeRow | None, event: Event[ProbeDo]) -> Outcome[Any]:
        if event.data.how != "count":
            hang_elsewhere()
        return Outcome(ProbeRow(count=(row.count if row else 0) + 1))

    @folded.folds(ProbeDo, key=lambda event: event.key)
    def fold(row: EchoRow | None, event: Event[ProbeDo]) -> EchoRow:
        hang_elsewhere()
        return EchoRow(heard=1)

    views = [
        View("hang", lambda _: time.sleep(60)),
        View("rows", lambda tables: {key: row.count for key, row in tables.of(space).items()}),
        View("seven", lambda _: 7),
        View("exit", lambda _: os._exit(3)),
        View("fault", lambda _: os.kill(os.getpid(), signal.SIGSEGV)),
        View("memory", memory),
    ]
    return App(name="probe", namespaces=[space, probe.echo], projections=[folded], views=views)


def memory(_: Tables) -> int:
    raise MemoryError


@pytest.fixture
def server(tmp_path: Path) -> Iterator[MemoryServer]:
    """With a row that is told, and one of which the handler hangs."""
    with MemoryServer(hanging(), tmp_path, past_seconds="0.5", view_seconds="0.5", answering=True) as server:
        server.kafka.publish(ProbeDo(name="quick"), id="quick")
        server.kafka.publish(ProbeDo(name="slow", how="hang"), id="slow")

        def write(db: Any) -> None:
            while fill_high_water(db, to_micros(FRONTIER)):
                pass
            put_frontier(db, to_micros(FRONTIER))

        server.kafka.store.completed()
        server.kafka.store.write(write)
        yield server


def change(name: str) -> dict[str, Any]:
    return {"replace": {name: {"name": name, "how": "hang"}}}


def in_time(server: MemoryServer, path: str) -> httpx.Response:
    """The first answer that a busy machine gives within the limit."""
    got: list[httpx.Response] = []

    def is_given() -> bool:
        got.append(server.http.get(path))
        return got[-1].status_code != 503

    until(is_given, "it is never answered within 0.5 s")
    return got[-1]


@pytest.mark.parametrize(
    ("method", "path", "body", "what"),
    [
        ("POST", "/what-if", change("quick"), "what-if"),
        ("POST", "/corrections", {**change("quick"), "why": "wrong"}, "the plan of a correction"),
        ("GET", f"/rows/probe/slow{PAST}", None, "the table probe as of a time"),
        ("GET", f"/rows/probe{PAST}&_sort=count", None, "probe as of a time"),
        ("GET", f"/projections/folded/quick{PAST}", None, "the projection folded as of a time"),
        ("GET", f"/projections/folded{PAST}", None, "folded as of a time"),
        ("GET", "/rows/probe/slow/story", None, "the story of probe slow"),
        ("GET", "/events/slow/story", None, "the story of slow"),
    ],
)
def test_a_question_about_the_past_that_does_not_end_is_ended(
    server: MemoryServer, method: str, path: str, body: object, what: str
) -> None:
    """All that folds, decides or projects, by the handlers and folds of the application; and the next is told."""
    problem = assert_problem(server.http.request(method, path, json=body), 503, f"{what} has not answered within 0.5 s")
    assert problem["type"] == "/-/problems/past-too-slow"
    assert in_time(server, f"/rows/probe/quick{PAST}").json()["row"]["count"] == 1


@pytest.mark.parametrize("path", ["hang", f"hang{PAST}", f"rows{PAST}"])
def test_a_view_that_does_not_end_is_ended(server: MemoryServer, path: str) -> None:
    """Now and then, also where the handlers behind its rows hang and not the view."""
    problem = assert_problem(server.http.get(f"/views/{path}"), 503, "has not answered within 0.5 s (RETOLD_VIEW_SECONDS)")
    assert problem["type"] == "/-/problems/view-too-slow"


def test_the_ninth_of_nine_that_hang_has_its_turn(server: MemoryServer) -> None:
    """Each gives its place back, so a question that ends is answered behind them."""
    base = str(server.http.base_url)

    def ask(_: int) -> httpx.Response:
        return httpx.post(f"{base}/what-if", json=change("quick"), timeout=60, verify=False)

    with ThreadPoolExecutor(AT_ONCE + 1) as pool:
        for got in pool.map(ask, range(AT_ONCE + 1)):
            assert_problem(got, 503, "what-if has not answered within 0.5 s")
    assert in_time(server, f"/rows/probe/quick{PAST}").json()["row"]["count"] == 1
    assert server.parts.connections.refused["past"] > AT_ONCE


@pytest.mark.parametrize("then", ["", PAST], ids=["now", "then"])
@pytest.mark.parametrize(("view", "how"), [("exit", "ended with the exit code 3"), ("fault", "was ended by SIGSEGV")])
def test_a_view_that_ends_its_process_ends_no_server(
    server: MemoryServer, view: str, how: str, then: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It is said, to who asked and in the log."""
    problem = assert_problem(in_time(server, f"/views/{view}{then}"), 500, f"the process that answered the view {view} {how}")
    assert problem["type"] == "/-/problems/answer-lost"
    assert how in caplog.text
    assert in_time(server, "/views/seven").json()["answer"] == 7


def test_a_view_that_lacks_memory_is_reported_like_one_that_raises(server: MemoryServer) -> None:
    """As Python says it; where the system ends its process, that is lost."""
    assert_problem(in_time(server, "/views/memory"), 500, "the view memory raised MemoryError")
    assert in_time(server, "/views/seven").json()["answer"] == 7


def test_a_client_that_goes_away_leaves_nothing_behind(server: MemoryServer) -> None:
    """Its question is ended when the time is over, and its place is free."""
    url, questions = httpx.URL(str(server.http.base_url)), server.questions
    forker = questions._processes._forker.pid
    with socket.create_connection((url.host, url.port)) as client:
        client.sendall(b"GET /views/hang HTTP/1.1\r\nHost: localhost\r\n\r\n")
        until(lambda: len(descendants(forker)) == 1, "it is not asked")
    until(lambda: not any(questions._running[it] for it in KINDS), "its place is not free")
    assert not descendants(forker)


def test_a_server_that_cannot_answer_any_more_says_so(server: MemoryServer) -> None:
    """Should somebody end the process that starts the others."""
    assert server.http.get("/views/seven").status_code == 200
    os.kill(server.questions._processes._forker.pid, signal.SIGKILL)
    until(lambda: server.http.get("/views/seven").status_code == 503, "it is not seen")
    assert_problem(server.http.get("/views/seven"), 503, "is to be started again")
    [check] = [it for it in server.http.get("/-/health").json()["checks"] if it["name"] == "questions"]
    assert check["state"] == "bad"
    assert server.http.get("/rows/probe/quick").status_code == 200
