"""Many events in one request: all are checked before one is published, and each has its own result, in order."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.applications import shop
from tests.support.memory_server import MemoryServer
from tests.unit.test_server_errors import assert_problem

LINES = {"Content-Type": "application/x-ndjson"}
CLOUD = {"Content-Type": "application/cloudevents-batch+json"}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[MemoryServer]:
    with MemoryServer(shop.app(), tmp_path) as server:
        yield server


def order(number: int, **more: Any) -> dict[str, Any]:
    data = {"order": f"o{number}", "customer": "c7", "lines": [{"sku": "A1", "quantity": 1}]}
    return {"type": "order.place", "data": data, **more}


def stock(quantity: object = 5) -> dict[str, Any]:
    return {"type": "stock.receive", "data": {"sku": "A1", "quantity": quantity, "price": 300}}


def lines(*events: object) -> bytes:
    return b"".join(event if isinstance(event, bytes) else json.dumps(event).encode() + b"\n" for event in events)


def send(server: MemoryServer, body: bytes, question: str = "", **headers: str) -> httpx.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return server.http.post(f"/events{question}", content=body, headers={**LINES, **named})


def results(got: httpx.Response, status: int) -> list[dict[str, Any]]:
    assert (got.status_code, got.headers["content-type"]) == (status, "application/x-ndjson"), got.text
    return [json.loads(line) for line in got.text.splitlines()]


def published(server: MemoryServer) -> list[str]:
    return [f"{data.event_type} {data.key}" for data, _ in server.kafka.published]


def test_events_of_several_types_are_published_in_order(server: MemoryServer) -> None:
    """Each has its result, with its line and its receipt; empty lines count, and are none."""
    found = results(send(server, lines(stock(), b"\n", order(1, id="e-1"), order(2, key="o2"))), 202)
    assert [(it["line"], it["status"], it["key"]) for it in found] == [(1, 202, "A1"), (3, 202, "o1"), (4, 202, "o2")]
    assert published(server) == ["stock.receive A1", "order.place o1", "order.place o2"]
    assert found[1]["id"] == "e-1"
    assert server.http.get(found[1]["url"]).json()["outcome"] == "accepted"


def test_outcomes_are_waited_for(server: MemoryServer) -> None:
    """A rejected event has its reason, and the others are accepted all the same."""
    got = send(server, lines(order(1), order(1), order(2)), Prefer="wait=5")
    assert [(it["status"], it["outcome"]) for it in results(got, 200)] == [(200, "accepted"), (409, "rejected"), (200, "accepted")]
    assert "reason" in got.text
    assert got.headers["Preference-Applied"] == "wait=5"


def test_what_is_not_handled_in_time_is_published(server: MemoryServer) -> None:
    """All wait together, so many events take no longer than one."""
    server.kafka.held = True
    [one, other] = results(send(server, lines(order(1), order(2)), Prefer="wait=0.1"), 200)
    assert (one["status"], other["status"]) == (504, 504)
    assert other["url"] in other["detail"]
    assert len(server.kafka.published) == 2


@pytest.mark.parametrize(
    ("line", "field", "detail"),
    [
        (stock("x"), "quantity", "field 'quantity' is 'x'"),
        ({"type": "stock.recieve", "data": {}}, "type", "did you mean stock.receive?"),
        ({"type": 3, "data": {}}, "type", "the type is a number"),
        ({"data": {}}, "type", "the type is null"),
        ([1], "", "the line is a list"),
        ({"type": "stock.receive"}, "data", "the data are null"),
        ({"type": "stock.receive", "data": [1]}, "data", "the data are a list"),
        (order(1, source="x"), "source", "a line has no member 'source'; it has type, data, id, key"),
        (order(1, key="o2"), "key", "the key is 'o2'; the event's is 'o1'"),
        (order(1, id=""), "id", "the id is ''; a text was expected"),
        (order(1, id="x" * 2000), "id", "id"),
        (b'{"type": "stock.receive", "data": {"sku": "A1", "sku": "B1"}}\n', "sku", "there twice"),
        (b'{"type"\n', "", "is no JSON"),
        (b"\xff\n", "", "is no JSON"),
        ({"type": "stock.receive", "data": {"sku": "", "quantity": 1, "price": 1}}, "sku", "expected 1 to 512 bytes"),
        ({"type": "order.place", "data": {"order": "o1", "customer": "c" * 1_100_000, "lines": []}}, "", "RETOLD_MAX_EVENT_BYTES"),
    ],
)  # fmt: skip
def test_nothing_is_published_if_a_line_is_wrong(server: MemoryServer, line: object, field: str, detail: str) -> None:
    """The answer has the line, the field and a sentence; with `_bad=skip` the rest is published."""
    got = send(server, lines(stock(), line, order(2)))
    body = got.json()
    assert (got.status_code, body["type"], published(server)) == (422, "/-/problems/invalid-lines", [])
    [error] = body["errors"]
    assert (error["line"], error["field"], detail in error["detail"]) == (2, field, True), error
    assert "line 2" in body["detail"]
    first, bad, last = results(send(server, lines(stock(), line, order(2)), "?_bad=skip"), 202)
    assert (first["status"], bad["status"], last["status"]) == (202, 422, 202)
    assert bad == {**error, "status": 422}
    assert published(server) == ["stock.receive A1", "order.place o2"]


def test_all_lines_that_are_wrong_are_named(server: MemoryServer) -> None:
    """So that they are corrected at once."""
    body = send(server, lines(stock("x"), stock(), stock("y"))).json()
    assert [error["line"] for error in body["errors"]] == [1, 3]
    assert body["detail"].startswith("nothing was published, since 2 lines are no event; line 1: ")


def test_a_batch_of_cloud_events_keeps_what_they_say(server: MemoryServer) -> None:
    """Their ids, sources and times; a wrong one is named by its place in the list."""
    event = {"specversion": "1.0", "id": "e-1", "source": "till-4", "time": "2026-01-01T00:00:00Z", **stock()}
    got = server.http.post("/events", content=json.dumps([event, {**event, "id": "e-2"}]), headers=CLOUD)
    assert [it["id"] for it in results(got, 202)] == ["e-1", "e-2"]
    assert [given["source"] for _, given in server.kafka.published] == ["till-4", "till-4"]
    wrong = server.http.post("/events", content=json.dumps([event, {**event, "source": ""}]), headers=CLOUD).json()
    assert [(it["line"], it["field"]) for it in wrong["errors"]] == [(2, "source")]
    assert_problem(server.http.post("/events", content=json.dumps(event), headers=CLOUD), 422, "a list of CloudEvents")
    assert_problem(server.http.post("/events", content=b"[", headers=CLOUD), 400, "a list of CloudEvents was expected")


def test_a_repeated_batch_publishes_nothing_again(server: MemoryServer) -> None:
    """With its Idempotency-Key: each line has an id of the key and its number, so equal lines are different events."""
    body = lines(stock(), stock(), order(1))
    first = results(send(server, body, Idempotency_Key="k1"), 202)
    assert results(send(server, body, Idempotency_Key="k1"), 202) == first
    assert (len(server.kafka.published), len({it["id"] for it in first})) == (3, 3)
    other = results(send(server, lines(stock(), stock(7), order(1)), Idempotency_Key="k1"), 202)
    assert [it["status"] for it in other] == [202, 422, 202]
    assert "came before with another event" in other[1]["detail"]
    assert len(server.kafka.published) == 3
    assert_problem(
        send(server, lines(order(1, id="e")), Idempotency_Key="k2"), 400, "has an id of its own", field="Idempotency-Key"
    )


def test_nothing_is_published_if_a_line_cannot_have_the_key(server: MemoryServer) -> None:
    """Also not the lines before it: sent again without the key, as the answer says, they would be there twice."""
    got = send(server, lines(stock(), order(1, id="e")), Idempotency_Key="k2")
    assert_problem(got, 400, "has an id of its own", field="Idempotency-Key")
    assert published(server) == []


def test_what_kafka_does_not_take_is_said_line_by_line(server: MemoryServer) -> None:
    """503, and the others are published; what is not confirmed in time may still arrive."""
    server.kafka.broken = True
    assert [it["status"] for it in results(send(server, lines(stock(), order(1))), 202)] == [503, 503]
    server.kafka.broken, server.kafka.silent = False, True
    [found] = results(send(server, lines(stock())), 202)
    assert (found["status"], "may still arrive" in found["detail"]) == (503, True)


@pytest.mark.parametrize(
    ("body", "question", "headers", "status", "words"),
    [
        (b"", "", {}, 422, "the batch has 0 events; 1 to 1000 were expected"),
        (b"\n \n", "", {}, 422, "the batch has 0 events"),
        (lines(*[stock()] * 1_001), "", {}, 422, "the batch has 1001 events; 1 to 1000 were expected"),
        (lines(stock()), "?_bad=drop", {}, 422, "_bad is 'drop'; skip"),
        (lines(stock()), "?_bda=skip", {}, 422, "did you mean _bad?"),
        (lines(stock()), "", {"If-Match": '"1"'}, 400, "is about the row of one event"),
        (lines(stock()), "", {"Content-Type": "text/csv"}, 415, "application/x-ndjson or application/cloudevents-batch+json"),
        (b"x" * (8 * 1024 * 1024 + 1), "", {}, 413, "at most 8388608 are taken in a batch"),
    ],
)  # fmt: skip
def test_a_batch_that_is_none_is_refused_whole(
    server: MemoryServer, body: bytes, question: str, headers: dict[str, str], status: int, words: str
) -> None:
    """With what was expected."""
    got = server.http.post(f"/events{question}", content=body, headers={**LINES, **headers})
    assert got.status_code == status
    assert words in got.json()["detail"]
    assert server.kafka.published == []
