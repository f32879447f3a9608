"""The list of what was handled: the latest first, chosen by its fields, a page at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from streams.server.readmodel.event_listing import EventQuery, event_page
from tests.applications import shop
from tests.applications.shop.events import Line, OrderPlace, StockReceive
from tests.support.memory_server import MemoryServer
from tests.unit.test_server_errors import assert_problem


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MemoryServer]:
    with MemoryServer(shop.app(), tmp_path_factory.mktemp("state")) as server:
        server.kafka.publish(StockReceive(sku="x", quantity=5, price=3), id="receive-x", source="depot")
        for key in ("o1", "o1", "o2"):
            server.kafka.publish(OrderPlace(order=key, customer="c", lines=(Line(sku="x", quantity=1),)))
            server.kafka.world.settle()
        server.kafka.show()
        yield server


def listed(server: MemoryServer, url: str) -> list[dict[str, Any]]:
    got = server.http.get(url)
    assert got.status_code == 200, got.text
    found: list[dict[str, Any]] = got.json()["events"]
    return found


def test_the_latest_come_first(server: MemoryServer) -> None:
    """Of all namespaces, or of one, with what became of each."""
    found = listed(server, "/events")
    assert [it["recorded"] for it in found] == sorted((it["recorded"] for it in found), reverse=True)
    assert {it["namespace"] for it in found} == {"order", "stock", "payment"}
    assert {it["namespace"] for it in listed(server, "/events/stock")} == {"stock"}
    assert listed(server, "/events/stock")[-1]["id"] == "receive-x"
    again = listed(server, "/events?outcome=rejected")
    assert [(it["key"], it["reason"], it["by"]) for it in again] == [("o1", "this order was already placed", "handler")]


def test_they_are_chosen_by_their_fields(server: MemoryServer) -> None:
    """All of them at once."""
    assert {it["type"] for it in listed(server, "/events?type=order.paid")} == {"order.paid"}
    assert {it["key"] for it in listed(server, "/events?key=o2")} == {"o2"}
    assert [it["key"] for it in listed(server, "/events?id=receive-x")] == ["x"]
    assert len(listed(server, "/events?type=order.place&key=o1")) == 2
    assert listed(server, "/events/stock?key=o2") == []


@pytest.mark.parametrize("query", ["", "&type=order.place", "&key=o1", "&outcome=accepted"])
def test_pages_have_each_event_once(server: MemoryServer, query: str) -> None:
    """In the same order as in one."""
    whole = listed(server, f"/events?_limit=1000{query}")
    found, following = [], ""
    while True:
        body = server.http.get(f"/events?_limit=2{query}{following}").json()
        assert len(body["events"]) <= 2
        found += body["events"]
        if body["next"] is None:
            break
        following = f"&_next={body['next']}"
    assert found == whole


def test_a_page_looks_through_some_events_only(server: MemoryServer) -> None:
    """Of a filter that few pass a page may be empty, and the next one goes on where it stopped."""
    found, before, pages = [], None, 0
    with server.model.reading() as db:
        while True:
            page = event_page(db, EventQuery(10, event_id="receive-x", before=before), 3)
            found, before, pages = [*found, *page.events], page.last, pages + 1
            if before is None:
                break
    assert ([it.id for it in found], pages) == (["receive-x"], pages)
    assert pages > 3


@pytest.mark.parametrize(
    ("query", "field", "words"),
    [
        ("outcome=lost", "outcome", "accepted, rejected or corrected"),
        ("_limit=0", "_limit", "from 1 to 1000"), ("_next=x", "_next", "'x'"),
        ("_next=WzEsIm9yZGVyIiwxLDFlMjBd", "_next", "of a page"), ("colour=red", "colour", "no parameter"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(server: MemoryServer, query: str, field: str, words: str) -> None:
    """With what was expected."""
    assert_problem(server.http.get(f"/events?{query}"), 422, words, field=field)
