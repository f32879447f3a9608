"""`POST /what-if`: the past with a change, over HTTP."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.applications import shop
from tests.applications.shop.events import Line, OrderPlace, StockReceive
from tests.support.memory_server import MemoryServer
from tests.support.stored_pasts import forget_schemas
from tests.unit.test_server_errors import assert_problem

CHARGED = {"payment.charge": {"type": "payment.charged", "data": {"receipt": "r"}}}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MemoryServer]:
    """The shop, with a delivery of five and an order of one."""
    with MemoryServer(shop.app(), tmp_path_factory.mktemp("state"), answering=True) as server:
        server.kafka.publish(StockReceive(sku="x", quantity=5, price=3), id="receive-x", source="depot")
        lines = (Line(sku="x", quantity=1),)
        server.kafka.publish(OrderPlace(order="o1", customer="c", lines=lines), id="place-o1", source="web")
        server.kafka.world.settle()
        server.kafka.show()
        yield server


def ask(server: MemoryServer, **change: Any) -> list[dict[str, Any]]:
    answer = server.http.post("/what-if", json=change)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/x-ndjson"
    return [json.loads(line) for line in answer.text.splitlines()]


def test_an_order_that_had_never_been(server: MemoryServer) -> None:
    """All that it led to is missing, the stock has what it held, and nobody would be charged."""
    *found, summary = ask(server, remove=["place-o1"], views=["orders-of/c"])
    [view] = [it for it in found if it["difference"] == "view"]
    assert ([*view["before"]], view["after"], [it["field"] for it in view["changes"]]) == (["o1"], {}, ["answer.o1"])
    assert (summary["difference"], summary["equal"], summary["missing"]) == ("summary", False, 6)
    rows = {(it["namespace"], it["key"]): it for it in found if it["difference"] == "row"}
    assert rows["stock", "x"]["changes"] == [{"field": "free", "before": 4, "after": 5}]
    assert rows["order", "o1"]["after"] is None
    projected = {(it["projection"], it["key"]): it for it in found if it["difference"] == "projection"}
    assert projected.keys() == {("orders_per_day", "2026-01-01"), ("charges", "o1")}
    assert projected["orders_per_day", "2026-01-01"]["changes"] == [{"field": "count", "before": 1}]
    assert summary["projections"] == 2
    assert [(it["call"], it["type"]) for it in found if it["difference"] == "call"] == [
        ("would not call", "payment.charge")
    ]


def test_one_more_order(server: MemoryServer) -> None:
    """What its gateway would answer is given; without that it waits. What is real stays as it is."""
    order = {
        "type": "order.place",
        "time": "2026-01-01T00:01:00Z",
        "data": {"order": "o2", "customer": "c", "lines": [{"sku": "x", "quantity": 2}]},
    }
    *found, summary = ask(server, insert=[order])
    assert [it["type"] for it in found if it["difference"] == "waiting"] == ["payment.charge"]
    *found, summary = ask(server, insert=[order], answers=CHARGED)
    assert (summary["missing"], summary["waiting"]) == (0, 0)
    [row] = [it for it in found if it["difference"] == "row" and it["namespace"] == "order"]
    assert (row["after"]["status"], row["after"]["total"]) == ("paid", 6)
    assert server.http.get("/rows/order/o2").status_code == 404
    assert server.http.get("/rows/stock/x").json()["row"]["free"] == 4


@pytest.mark.parametrize(
    ("change", "status", "sentence", "field"),
    [
        ({}, 422, "nothing is changed", "insert"),
        ({"remove": ["nowhere"]}, 404, "no event 'nowhere'", ""),
        ({"insert": [{"type": "order.plase", "data": {}}]}, 422, "did you mean order.place?", "type"),
        ({"rmove": []}, 422, "unknown field `rmove`", ""),
        ({"remove": ["stock-0:2"]}, 422, "it follows from order.place", ""),
        ({"answers": {"order.place": {"type": "order.paid"}}}, 422, "has no gateway", "answers"),
        ({"remove": ["order-0:1"], "views": ["nix/3"]}, 422, "no view 'nix/3'", "views"),
    ],
)
def test_what_makes_no_sense_is_a_problem(
    server: MemoryServer, change: dict[str, Any], status: int, sentence: str, field: str
) -> None:
    """With a sentence that says what is wrong."""
    assert_problem(server.http.post("/what-if", json=change), status, sentence, field=field)


def test_a_change_is_json_of_bounded_size(server: MemoryServer) -> None:
    """Another type, or a megabyte too many, is refused."""
    assert_problem(
        server.http.post("/what-if", content=b"{}", headers={"Content-Type": "text/plain"}),
        415,
        "content type",
        field="Content-Type",
    )
    large = json.dumps({"remove": ["x" * 2_000_000]})
    assert_problem(
        server.http.post("/what-if", content=large, headers={"Content-Type": "application/json"}), 413, "at most"
    )


def test_a_schema_that_the_server_has_not_met_is_learnt_from_the_file(server: MemoryServer) -> None:
    """Also where only the branch comes upon it, and no event that the change names."""
    forget_schemas(server.codec)
    stock = {"type": "stock.receive", "time": "2026-01-01T00:01:00Z", "data": {"sku": "x", "quantity": 1, "price": 3}}
    *_, summary = ask(server, insert=[stock])
    assert summary["surplus"] == 1
