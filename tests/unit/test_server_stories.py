"""Stories over HTTP: what led to an event or a row, and what followed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.applications import shop
from tests.applications.shop.events import Line, OrderPlace, StockReceive
from tests.support.memory_server import MemoryServer
from tests.unit.test_server_errors import assert_problem


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MemoryServer]:
    """The shop, with an order of a key that has a slash."""
    with MemoryServer(shop.app(), tmp_path_factory.mktemp("state"), answering=True) as server:
        server.kafka.publish(StockReceive(sku="x", quantity=5, price=3), id="receive-x", source="depot")
        for key in ("o1", "o1/story"):
            server.kafka.publish(
                OrderPlace(order=key, customer="c", lines=(Line(sku="x", quantity=1),)), id=f"place-{key}", source="web"
            )
        server.kafka.world.settle()
        server.kafka.show()
        yield server


def story(server: MemoryServer, url: str) -> dict[str, Any]:
    answer = server.http.get(url)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def types(step: dict[str, Any]) -> list[str]:
    return [step["type"], *(of for effect in step["effects"] for of in types(effect))]


def test_an_event_tells_what_followed(server: MemoryServer) -> None:
    """By its id or its position, through all namespaces, with the rows' changes and the timer that waits."""
    found = story(server, "/events/place-o1/story")
    assert found["causes"] == []
    assert types(found["event"]) == [
        "order.place", "stock.reserve", "order.line_reserved", "payment.charge", "payment.charged", "order.paid",
    ]  # fmt: skip
    [reserve] = found["event"]["effects"]
    assert reserve["changes"] == [{"field": "free", "before": 5, "after": 4}]
    assert story(server, f"/events/{found['event']['position']}/story")["event"] == found["event"]
    assert found["positions"]


def test_an_event_tells_what_led_to_it(server: MemoryServer) -> None:
    """From the root down, each with the number of its other effects."""
    paid = story(server, "/rows/order/o1/story")["events"][-1]
    found = story(server, f"/events/{paid['id']}/story")
    causes = ["order.place", "stock.reserve", "order.line_reserved", "payment.charge", "payment.charged"]
    assert [it["type"] for it in found["causes"]] == causes
    assert paid["cause"]["type"] == "payment.charged"


def test_consequences_are_told_as_deep_as_asked(server: MemoryServer) -> None:
    """And what is left out is counted."""
    found = story(server, "/events/place-o1/story?_depth=1")["event"]
    assert types(found) == ["order.place", "stock.reserve"]
    assert found["effects"][0]["left_out"] == 1


def test_a_row_tells_its_last_events(server: MemoryServer) -> None:
    """With the row as it is now."""
    found = story(server, "/rows/order/o1/story?_last=1")
    assert ([it["type"] for it in found["events"]], found["earlier"]) == (["order.paid"], 2)
    assert found["row"]["status"] == "paid"
    assert found["version"] == server.http.get("/rows/order/o1").json()["version"]


def test_a_key_may_end_like_the_address_of_a_story(server: MemoryServer) -> None:
    """With its slash escaped it is a row; and that row has a story too."""
    assert server.http.get("/rows/order/o1%2Fstory").json()["key"] == "o1/story"
    assert story(server, "/rows/order/o1%2Fstory/story")["key"] == "o1/story"
    assert story(server, "/rows/order/o1/story")["key"] == "o1"


@pytest.mark.parametrize(
    ("url", "status", "words"),
    [
        ("/events/nothing/story", 404, "has no event 'nothing'"),
        ("/events/order-0:99/story", 404, "has no event 'order-0:99'"),
        ("/events/%1B%5B2J/story", 404, "has no event"),
        ("/rows/order/nobody/story", 404, "nothing ever happened to it"),
        ("/rows/nowhere/o1/story", 404, "no namespace 'nowhere'"),
        ("/rows/order/o1/story?_depth=many", 422, "a whole number from 0 to 1000"),
        ("/rows/order/o1/story?_last=0", 422, "a whole number from 1 to 200"),
        ("/events/place-o1/story?_depht=1", 422, "did you mean _depth?"),
    ],
)
def test_what_has_no_story_is_a_problem(server: MemoryServer, url: str, status: int, words: str) -> None:
    """With a sentence; control characters are spelt out."""
    answer = server.http.get(url)
    assert "\x1b" not in answer.json()["detail"]
    assert_problem(answer, status, words, field={422: url.partition("?")[2].partition("=")[0]}.get(status, ""))
