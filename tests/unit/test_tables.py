"""`Table.where`: rows by the filters of addresses, in a World as on a server."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from streams import Tables, View
from streams.errors import InvalidQuery
from streams.testing import World, given
from streams.view import Table
from tests.applications import shop
from tests.applications.shop.events import Line, OrderPlace, OrderRow, StockReceive
from tests.support.memory_server import MemoryServer

HISTORY = [
    StockReceive(sku="A1", quantity=9, price=300),
    *(OrderPlace(order=f"o{n}", customer=f"c{n % 2}", lines=(Line(sku="A1", quantity=n + 1),)) for n in range(4)),
]
QUESTIONS: list[dict[str, Any]] = [
    {"customer": "c1"},
    {"total__gte": 600},
    {"customer": "c0", "total__gte": 300, "status__in": ["paid", "cancelled"]},
    {"_key__startswith": "o", "receipt": None},
    {"receipt__isnull": False},
    {"customer__ne": "c1", "_key__gt": "o0"},
    {},
]


@pytest.fixture(scope="module")
def world() -> World:
    return given(shop.app(), *HISTORY)


def keys(table: Table[OrderRow], **asked: Any) -> list[str]:
    return sorted(table.where(**asked))


@pytest.mark.parametrize("asked", QUESTIONS, ids=str)
def test_a_table_is_asked_by_what_its_rows_hold(world: World, asked: dict[str, Any]) -> None:
    """As a view and a test see it."""
    table = world.table(shop.order)
    expected = {key for key, row in table.items() if all(_holds(key, row, *each) for each in asked.items())}
    assert set(table.where(**asked)) == expected
    assert all(row == table[key] for key, row in table.where(**asked).items())


def _holds(key: str, row: OrderRow, name: str, wanted: Any) -> bool:
    """Written out once more, for what is asked here."""
    field, _, operator = (name, "", "") if name == "_key" else name.rpartition("__") if "__" in name else (name, "", "")
    value = key if field == "_key" else getattr(row, field)
    checks = {
        "": lambda: value == wanted, "gte": lambda: value >= wanted, "in": lambda: value in wanted, "ne": lambda: value != wanted,
        "gt": lambda: value > wanted, "isnull": lambda: (value is None) is wanted, "startswith": lambda: value.startswith(wanted),
    }  # fmt: skip
    return checks[operator]()


@pytest.mark.parametrize("wrong", [{"custmer": "c"}, {"total__gte": "5"}, {"held": {}}, {"status": "lost"}], ids=str)
def test_what_no_row_can_have_is_refused(world: World, wrong: dict[str, Any]) -> None:
    """Also if there is no row; a table without a class of rows has none to refuse it by."""
    for table in (world.table(shop.order), World(shop.app()).table(shop.order)):
        with pytest.raises(InvalidQuery):
            table.where(**wrong)
    assert Table({}).where(**wrong) == {}


def test_a_server_finds_the_same_rows(tmp_path: Path) -> None:
    """A view asks its file, and a row that is not asked for need not even decode."""

    def found(tables: Tables) -> list[list[str]]:
        return [keys(tables.of(shop.order), _key__ne="torn", **asked) for asked in QUESTIONS]

    with MemoryServer(replace(shop.app(), views=[View("all", found)]), tmp_path, answering=True) as server:
        for data in HISTORY:
            server.kafka.publish(data)
        server.kafka.world.settle()
        server.kafka.show()
        server.kafka.writer._db.execute("insert into r_order(key, version, body) values('torn', 1, '{')")
        expected = [keys(server.kafka.world.table(shop.order), **asked) for asked in QUESTIONS]
        assert server.http.get("/views/all").json()["answer"] == expected
