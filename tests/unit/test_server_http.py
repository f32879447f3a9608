"""How the server keeps to HTTP: parameters, streams that are resumed, HEAD, preferences and ETags."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from streams.errors import UnsupportedSchema
from streams.kafka.messages import LogEvent
from streams.server.readmodel.model import STARTING
from streams.server.readmodel.store_readers import StoreAway
from tests.applications import shop
from tests.applications.shop.events import Line, OrderPlace
from tests.support.memory_server import MemoryServer
from tests.support.sse import watched
from tests.support.workers import until
from tests.unit.test_server_errors import ORDER, assert_problem

TIMES = {"date", "server-timing"}


@pytest.fixture(scope="module")
def http(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    with MemoryServer(shop.app(), tmp_path_factory.mktemp("state"), answering=True) as server:
        yield server.http


@pytest.mark.parametrize(
    ("method", "url"),
    [
        ("GET", "/rows/order?{}"),
        ("GET", "/rows/order/o1?{}"),
        ("GET", "/projections/charges?{}"),
        ("GET", "/projections/charges/o1?{}"),
        ("GET", "/views/orders-of/c7?{}"),
        ("GET", "/live/order?{}"),
        ("GET", "/live/order/o1?{}"),
        ("GET", "/events/order/0/0?{}"),
        ("GET", "/-/health?{}"),
        ("GET", "/-/status?{}"),
        ("GET", "/-/metrics?{}"),
        ("POST", "/events/order.place?{}"),
    ],
)
def test_a_parameter_that_is_misspelt_is_refused(http: httpx.Client, method: str, url: str) -> None:
    """Left out, another question would be answered."""
    got = http.request(method, url.format("_fom=beginning"), json=ORDER if method == "POST" else None)
    assert_problem(got, 422, "'_fom' is no parameter here; there", field="_fom")


def test_the_clients_of_a_registry_may_send_what_they_like(http: httpx.Client) -> None:
    """They send parameters that this one does not have, and would give up."""
    assert http.get("/subjects?deleted=false").status_code == 200


@pytest.mark.parametrize("known", ["0:1", "1:1", "0:1,1:1,2:1", "0:1,0:2", "0:1,1:1,1:2", "0:1,01:1,1:1"])
def test_the_id_of_another_stream_is_refused(tmp_path: Path, known: str) -> None:
    """A partition that it does not name would be streamed from its beginning, all over again."""
    with MemoryServer(shop.app(), tmp_path) as server:
        server.kafka.begin(2)
        server.kafka.tell(waits=None)
        got = server.http.get("/live/order", headers={"Last-Event-ID": known})
    assert_problem(got, 422, known, "its partitions, 0, 1", field="Last-Event-ID")


def test_a_stream_does_not_go_on_behind_events_that_are_not_kept(tmp_path: Path) -> None:
    """By the setting `history`: a gap would go unnoticed."""
    with MemoryServer(shop.app(), tmp_path) as server:
        for number in range(2):
            server.kafka.publish(OrderPlace(order=f"o{number}", customer="c", lines=(Line(sku="A1", quantity=1),)))
        server.kafka.store._db.execute("insert into left_out_log values('order', 0, 2, 0)")
        got = server.http.get("/live/order", headers={"Last-Event-ID": "0:1"})
    assert_problem(got, 422, "0:1", "not kept here any more", field="Last-Event-ID")


def test_an_id_beyond_the_end_is_refused_unless_this_server_lags(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a log that was made again, nothing would come for long; a server that lags or stands still has not read so far."""
    monkeypatch.setattr("streams.server.http.live.CATCH_UP_TIMEOUT", 0.1)
    beyond = {"Last-Event-ID": "0:99"}
    with MemoryServer(shop.app(), tmp_path) as server:
        got = server.http.get("/live/order", headers=beyond)
        assert_problem(got, 422, "0:99", "the log ends at 0:0", field="Last-Event-ID")
        server.model.lags["log", "order", 0] = 7
        with server.http.stream("GET", "/live/order", headers=beyond) as lagging:
            assert lagging.status_code == 200
        server.model.lags.clear()
        server.model.faults["order-log-0"] = "order-log-0 is not read beyond offset 0"
        with server.http.stream("GET", "/live/order", headers=beyond) as still:
            assert still.status_code == 200


def test_a_stream_goes_on_at_a_server_that_is_a_moment_behind(tmp_path: Path) -> None:
    """It waits until it is where the client has been; then comes what follows, and nothing twice."""
    found: list[int] = []
    with MemoryServer(shop.app(), tmp_path) as server:

        def watch() -> None:
            [(_, told)] = watched(server.http, "/live/order", 1, **{"Last-Event-ID": "0:2"})
            found.append(told["sequence"])

        watching = threading.Thread(target=watch, daemon=True)
        watching.start()
        until(lambda: bool(server.model.notifier._subscriptions), "nobody waits")
        for n in range(3):
            server.kafka.publish(OrderPlace(order=f"o{n}", customer="c7", lines=(Line(sku="A1", quantity=1),)))
        watching.join(60)
    assert found == [3]


@pytest.mark.parametrize("error", [UnsupportedSchema("not known yet"), StoreAway(), sqlite3.DatabaseError("malformed")], ids=repr)
def test_a_stream_outlives_what_cannot_be_read_for_a_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """While the broker is away, too: it goes on once the events can be read."""
    with MemoryServer(shop.app(), tmp_path) as server:
        server.kafka.publish(OrderPlace(order="o1", customer="c7", lines=(Line(sku="A1", quantity=1),)))
        whole, errors = server.model.events, [error]

        def events(*asked: Any) -> list[LogEvent]:
            if errors:
                raise errors.pop()
            return whole(*asked)

        monkeypatch.setattr(server.model, "events", events)
        server.kafka.broken = True
        [(_, told)] = watched(server.http, "/live/order?_from=beginning", 1)
        assert (told["sequence"], errors) == (1, [])


def test_a_server_that_begins_again_refuses_no_id(tmp_path: Path) -> None:
    """While it reads everything again it knows no end: 503, and the client comes back."""
    found: list[httpx.Response] = []
    with MemoryServer(shop.app(), tmp_path) as server:
        ask = threading.Thread(
            target=lambda: found.append(server.http.get("/live/order", headers={"Last-Event-ID": "0:2"})), daemon=True
        )
        ask.start()
        until(lambda: bool(server.model.notifier._subscriptions), "nobody waits")
        server.kafka.begin(1)
        ask.join(60)
    assert_problem(found[0], 503, STARTING)


@pytest.mark.parametrize(
    "url",
    [
        "/rows/order",
        "/rows/order/none",
        "/projections/charges",
        "/views/orders-of/c7",
        "/events/order/0/999",
        "/-/health",
        "/subjects",
        "/openapi.json",
        "/nothing",
    ],
)
def test_head_gives_the_headers_of_get_alone(http: httpx.Client, url: str) -> None:
    """With the same status, and no body that the next answer of the connection would be taken for."""
    got, head = http.get(url), http.head(url)
    assert (head.status_code, head.content) == (got.status_code, b"")
    kept = [{name: value for name, value in it.headers.items() if name not in TIMES} for it in (got, head)]
    assert kept[0] == kept[1]
    assert http.get("/-/health").json()["status"] == "ready"


def test_where_head_is_possible_is_said(http: httpx.Client) -> None:
    """A stream does not end, so its headers come with it; what there is instead stands in `Allow`."""
    assert_problem(http.delete("/rows/order"), 405, "GET, HEAD is")
    for path, methods in (("/events", "GET, HEAD, POST"), ("/events/order.place", "POST"), ("/events/order", "GET, HEAD"),
                          ("/openapi.json", "GET, HEAD")):  # fmt: skip
        assert (path, http.delete(path).headers["allow"]) == (path, methods)
    head, other = http.head("/live/order"), http.delete("/live/order")
    assert (head.status_code, head.headers["allow"], other.headers["allow"]) == (405, "GET", "GET")
    assert http.head("/rows/order").status_code == 200
    assert 'method="HEAD",route="/rows/{namespace}",status="200"' in http.get("/-/metrics").text


@pytest.mark.parametrize(
    ("lines", "applied"),
    [
        (["wait=5"], "wait=5"),
        (["Wait=5"], "wait=5"),
        (['wait="5"'], "wait=5"),
        (["wait = 5"], "wait=5"),
        (["respond-async, wait=5;x=1"], "wait=5"),
        (["return=minimal", "WAIT=7"], "wait=7"),
        (["wait=5, wait=7"], "wait=5"),
        (["wait=100000"], "wait=60"),
        ([f"wait={'9' * 5000}"], "wait=60"),
        (['note="a, wait=5"'], None),
        (["respond-async; wait=5"], None),
        (["wait=soon"], None),
        (["wait=-1"], None),
        (["wait=\u0665"], None),
        (["await=5"], None),
        (["wait"], None),
    ],
)
def test_a_preference_is_read_as_its_standard_says(http: httpx.Client, lines: list[str], applied: str | None) -> None:
    """RFC 7240: several lines, any case, spaces and quotes; the first one counts, what is not understood does not."""
    headers = [(b"prefer", line.encode()) for line in lines]
    got = http.post("/events/payment.refund", json={"order": "o", "receipt": "r"}, headers=headers)
    assert got.headers.get("preference-applied") == applied
    assert (got.status_code == 202) is (applied is None)


def test_a_strong_etag_stands_on_the_same_bytes(tmp_path: Path) -> None:
    """Whatever happens to other rows: the position of the answer is in its header."""
    with MemoryServer(shop.app(), tmp_path) as server:
        server.http.post("/events/order.place", json=ORDER)
        before = server.http.get("/rows/order/o1")
        server.http.post("/events/order.place", json={**ORDER, "order": "o2"})
        after = server.http.get("/rows/order/o1")
        tag = after.headers["etag"]
        assert (before.headers["etag"], before.content) == (tag, after.content)
        assert before.headers["retold-position"] != after.headers["retold-position"]
        lines = [("If-None-Match", '"0"'), ("If-None-Match", tag)]
        assert server.http.get("/rows/order/o1", headers=lines).status_code == 304


def test_health_is_bad_while_an_error_has_ended_a_namespace(tmp_path: Path) -> None:
    """What the server answers from stands still then; to a stranger it does not say more."""
    with MemoryServer(shop.app(), tmp_path, "correct-horse-battery") as server:
        server.parts.states.ended = {"order": "its handlers raise"}
        answer = server.http.get("/-/health")
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
        assert "order" not in answer.text
        server.parts.states.ended = {}
        assert server.http.get("/-/health").status_code == 200


@pytest.mark.parametrize(
    ("method", "url", "near"),
    [
        ("GET", "/rows/ordr/o1", "order"),
        ("GET", "/projections/charge", "charges"),
        ("GET", "/views/order-of/c7", "orders-of/{customer}"),
        ("GET", "/live/ordr", "order"),
        ("POST", "/events/order.plce", "order.place"),
        ("GET", "/rows/order?_limt=1", "_limit"),
    ],
)
def test_a_mistyped_name_is_refused_with_the_nearest(http: httpx.Client, method: str, url: str, near: str) -> None:
    """As by the command line."""
    answer = http.request(method, url, json={} if method == "POST" else None)
    assert answer.status_code in (404, 422)
    assert f"(did you mean {near}?)" in answer.json()["detail"]
