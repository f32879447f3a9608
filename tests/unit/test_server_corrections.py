"""A server whose past was corrected: its rows are the corrected ones, and its projections say that they are not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.applications import shop
from tests.applications.shop.events import Line, OrderPlace, StockReceive
from tests.support.memory_server import MemoryServer


@pytest.fixture
def server(tmp_path: Path) -> Any:
    """Two orders, of which the first is taken out."""
    with MemoryServer(shop.app(), tmp_path) as server:
        kafka = server.kafka
        kafka.publish(StockReceive(sku="A1", quantity=5, price=300), id="receive")
        for number in (1, 2):
            kafka.publish(OrderPlace(order=f"o{number}", customer="c", lines=(Line(sku="A1", quantity=1),)), id=f"place-{number}")
            kafka.world.settle()
        kafka.show()
        yield server


def corrected(server: Any) -> None:
    world = server.kafka.world
    world.apply(world.history().correct(remove=["place-1"], by="ann", why="a test order"))
    server.kafka.show()


def test_rows_are_the_corrected_ones(server: Any) -> None:
    """With the version that the step gave them; a row that should not be is gone."""
    before = server.http.get("/rows/stock/A1")
    assert before.json()["row"]["free"] == 3
    corrected(server)
    after = server.http.get("/rows/stock/A1")
    assert after.json()["row"]["free"] == 4
    assert after.headers["ETag"] != before.headers["ETag"]
    assert server.http.get("/rows/order/o1").status_code == 404


def test_a_projection_says_that_it_is_not_corrected(server: Any) -> None:
    """In each answer that is made from it, and in no other; before, nothing is said."""
    addresses = ("/projections/orders_per_day", "/projections/orders_per_day/2026-01-01", "/rows/stock")
    assert [server.http.get(it).headers.get("Retold-Uncorrected") for it in addresses] == [None] * 3
    corrected(server)
    names = [server.http.get(it).headers.get("Retold-Uncorrected") for it in addresses]
    assert names == ["orders_per_day", "orders_per_day", None]


def test_the_story_and_the_events_have_the_step(server: Any) -> None:
    """Who has corrected, and why."""
    corrected(server)
    story = server.http.get("/rows/stock/A1/story").json()
    [step] = [it for it in story["events"] if it["kind"] == "step"]
    assert (step["type"], step["data"]["who"], step["data"]["why"]) == ("stock.correction-step", "ann", "a test order")
    listed = server.http.get("/events?_limit=100")
    assert listed.status_code == 200
    assert "stock.correction-step" in {it["type"] for it in listed.json()["events"]}
