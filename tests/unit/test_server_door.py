"""What comes in at the server's door: large bodies, exact keys, and requests that say more than one thing."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import httpx
import pytest

from streams import App, Event, Namespace, Outcome
from streams.data import EventData
from streams.schemas.avro import parse
from streams.schemas.classes import structure_of
from tests.applications import shop
from tests.applications.bank.events import AccountRow
from tests.applications.shop.events import Line, OrderPlace
from tests.support.memory_server import MemoryServer
from tests.support.sse import watched
from tests.unit.test_server_errors import LINE, ORDER, assert_problem

MADE_BY: list[int | None] = []
"""The threads that made an AccountNote."""


class AccountNote(EventData, frozen=True, kw_only=True):
    event_type: ClassVar[str] = "account.note"
    key_field: ClassVar[str] = "account"
    schemas: ClassVar[tuple[str, ...]] = (
        '{"fields":[{"name":"account","type":"string"}],"key":"account","name":"account.note","type":"record"}',
    )

    account: str

    def __post_init__(self) -> None:
        MADE_BY.append(threading.get_ident())


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MemoryServer]:
    with MemoryServer(shop.app(), tmp_path_factory.mktemp("state")) as server:
        yield server


@pytest.fixture
def http(server: MemoryServer) -> httpx.Client:
    return server.http


def test_an_event_is_made_beside_the_thread_that_answers(tmp_path: Path) -> None:
    """A large one takes a while, in which everybody else is answered."""
    account = Namespace("account", row=AccountRow)

    @account.handles(AccountNote)
    def note(row: AccountRow | None, event: Event[AccountNote]) -> Outcome[AccountRow]:
        return Outcome(AccountRow(balance=0))

    MADE_BY.clear()
    with MemoryServer(App(name="notes", namespaces=[account]), tmp_path) as server:
        assert server.http.post("/events/account.note", json={"account": "a"}).status_code == 202
        assert MADE_BY
        assert server._thread.ident not in MADE_BY


def test_the_annotations_of_a_class_are_read_once() -> None:
    """An event may hold 35 000 records of one class; another schema of the class is another structure."""
    first, other = parse(OrderPlace.schemas[-1]), parse(OrderPlace.schemas[-1])
    line = first.fields[2].type.item
    assert line is not None
    assert line.record is not None
    assert structure_of(line.record, Line) is structure_of(line.record, Line)
    assert structure_of(first, OrderPlace) is not structure_of(other, OrderPlace)


@pytest.mark.parametrize("inside", [False, True])
def test_a_long_name_is_not_sent_back(http: httpx.Client, inside: bool) -> None:
    """Of what is no field 100 characters are repeated, wherever it stands."""
    body = {**ORDER, "lines": [{**LINE, "x" * 500_000: 1}]} if inside else {**ORDER, "x" * 500_000: 1}
    got = http.post("/events/order.place", json=body)
    field = "x" * 100 + "…"
    assert_problem(got, 422, field, field=f"lines.1.{field}" if inside else field)
    assert len(got.content) < 1_000


def test_a_key_is_all_of_the_rest_of_the_path(tmp_path: Path) -> None:
    """Also with a newline, which a pattern may leave out: it never leads to another key's row, events or answer."""
    with MemoryServer(shop.app(), tmp_path) as server:
        for order in ("a", "a\n", "x\ny"):
            body = {**ORDER, "order": order, "customer": order}
            assert server.http.post("/events/order.place", json=body).status_code == 202
        for order, escaped in (("a", "a"), ("a\n", "a%0A"), ("x\ny", "x%0Ay")):
            assert server.http.get(f"/rows/order/{escaped}").json()["row"]["customer"] == order
            [(_, told)] = watched(server.http, f"/live/order/{escaped}?_from=beginning", 1)
            assert told["key"] == order
            assert list(server.http.get(f"/views/orders-of/{escaped}").json()["answer"]) == [order]
        for url in ("/rows/order/x%0A", "/rows/order/a%0A%0A", "/projections/orders_per_day/2026-01-31%0A"):
            assert "\\n" in assert_problem(server.http.get(url), 404, "no row")["detail"]


def test_methods_that_somebody_invents_are_one_figure(tmp_path: Path) -> None:
    """Else anyone could fill the memory, also without a token: each label is kept for ever."""
    with MemoryServer(shop.app(), tmp_path, "correct-horse-battery") as server:
        for n in range(20):
            assert server.http.request(f"M{n}", "/rows/order").status_code == 401
        text = server.http.get("/-/metrics", headers={"Authorization": "Bearer correct-horse-battery"}).text
    assert 'retold_http_requests_total{method="other",route="none",status="401"} 20.0' in text
    assert 'method="M' not in text
