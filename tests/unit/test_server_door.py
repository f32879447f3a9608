"""What comes in at the server's door: large bodies, exact keys, and events that say more than one thing."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import httpx
import pytest

from streams import App, Event, Namespace, Outcome
from streams.data import EventData
from streams.engine.attributes import attributes
from streams.engine.envelope_reader import EnvelopeReader
from streams.errors import InvalidEvent
from streams.schemas.avro import parse
from streams.schemas.classes import structure_of
from streams.server.http.write import SMALL
from streams.testing import START
from tests.applications import shop
from tests.applications.bank.events import AccountRow
from tests.applications.shop.events import Line, OrderPlace
from tests.support.memory_server import MemoryServer
from tests.support.sse import watched
from tests.unit.test_server_errors import KINDS, LINE, ORDER, assert_problem

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
        large = b'{"account": "a"}' + b" " * SMALL
        done = server.http.post("/events/account.note", content=large, headers={"Content-Type": "application/json"})
        assert done.status_code == 202
        assert MADE_BY[0] != server._thread.ident, "others of them are made where it is handled"


def test_the_annotations_of_a_class_are_read_once() -> None:
    """An event may hold 35 000 records of one class; another schema of the class is another structure, and a text is read once."""
    first, other = parse(OrderPlace.schemas[-1]), parse(OrderPlace.schemas[-1], written=True)
    line = first.fields[2].type.item
    assert line is not None
    assert line.record is not None
    assert structure_of(line.record, Line) is structure_of(line.record, Line)
    assert structure_of(first, OrderPlace) is not structure_of(other, OrderPlace)
    assert parse(OrderPlace.schemas[-1]) is first


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
    with MemoryServer(shop.app(), tmp_path, answering=True) as server:
        for order in ("a", "a\n", "x\ny"):
            body = {**ORDER, "order": order, "customer": order}
            assert server.http.post("/events/order.place", json=body).status_code == 202
        for order, escaped in (("a", "a"), ("a\n", "a%0A"), ("x\ny", "x%0Ay")):
            assert server.http.get(f"/rows/order/{escaped}").json()["row"]["customer"] == order
            [(_, told)] = watched(server.http, f"/live/order/{escaped}?_from=beginning", 1)
            assert told["key"] == order
            assert list(server.http.get(f"/views/orders-of/{escaped}").json()["answer"]) == [order]
            assert list(server.http.get(f"/%76iews/orders%2Dof/{escaped}").json()["answer"]) == [order]
        for url in ("/rows/order/x%0A", "/rows/order/a%0A%0A", "/projections/orders_per_day/2026-01-31%0A"):
            assert "\\n" in assert_problem(server.http.get(url), 404, "no row")["detail"]


def test_methods_that_somebody_invents_are_one_figure(tmp_path: Path) -> None:
    """Else anyone could fill the memory, also without a token: each label is kept for ever."""
    with MemoryServer(shop.app(), tmp_path, "correct-horse-battery") as server:
        for n in range(20):
            assert server.http.request(f"M{n}", "/rows/order").status_code == 400
            assert server.http.request("REPORT", "/rows/order").status_code == 401
        text = server.http.get("/-/metrics", headers={"Authorization": "Bearer correct-horse-battery"}).text
    assert 'retold_http_requests_total{method="other",route="none",status="401"} 20.0' in text
    assert 'retold_http_refused_total{why="malformed"} 20.0' in text
    assert 'method="M' not in text


CLOUD = {"Content-Type": "application/cloudevents+json"}
PLACE = {"specversion": "1.0", "type": "order.place", "source": "//till/7", "id": "e-1", "data": ORDER}


@pytest.mark.parametrize(
    ("body", "kind", "field"),
    [
        (json.dumps(ORDER)[:-1] + ', "customer": "c8"}', KINDS["json"], "customer"),
        (
            json.dumps({**ORDER, "lines": ["?"]}).replace('"?"', '{"sku": "a", "quantity": 1, "sku": "b"}'),
            KINDS["json"],
            "sku",
        ),
        (json.dumps(PLACE)[:-1] + ', "id": "e-2"}', KINDS["cloud"], "id"),
        (json.dumps(ORDER)[:-1] + f', "{"x" * 5000}": 1, "{"x" * 5000}": 1}}', KINDS["json"], "x" * 100),
    ],
)
def test_a_name_that_is_there_twice_is_refused(
    http: httpx.Client, server: MemoryServer, body: str, kind: str, field: str
) -> None:
    """The last one would win, in silence: nobody knows which one was meant."""
    before = len(server.kafka.published)
    got = http.post("/events/order.place", content=body, headers={"Content-Type": kind})
    assert_problem(got, 400, f"{field!r} is there twice", field=field)
    assert len(server.kafka.published) == before


@pytest.mark.parametrize("name", ["ce-id", "CE-Type", "ce-specversion", "ce-colour"])
def test_a_cloud_event_in_binary_mode_is_refused(http: httpx.Client, name: str) -> None:
    """Without its attributes it would be another event; the answer says how to send it."""
    got = http.post("/events/order.place", json=ORDER, headers={name: "1"})
    assert_problem(got, 400, "structured mode", KINDS["cloud"], field=name.lower())


@pytest.mark.parametrize(
    ("name", "values"), [("If-Match", ['"1"', '"9"']), ("If-None-Match", ["*", "*"]), ("Idempotency-Key", ["a", "b"])]
)
def test_a_header_that_is_there_twice_is_refused(http: httpx.Client, name: str, values: list[str]) -> None:
    """One of them would be left out, in silence."""
    got = http.post("/events/order.place", json=ORDER, headers=[(name, value) for value in values])
    assert_problem(got, 400, "2 times", field=name)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("source", "s" * 1025),
        ("source", "ß" * 513),
        ("id", "i" * 1025),
        ("time", "0001-01-01T00:00:00+14:00"),
        ("time", "9999-12-31T23:59:59-00:01"),
        ("expectedversion", 10**18),
    ],
)
def test_what_a_worker_would_quarantine_is_refused_at_the_door(http: httpx.Client, name: str, value: object) -> None:
    """The publisher is still there to hear it; a worker's reader of headers refuses the same."""
    got = http.post("/events/order.place", content=json.dumps({**PLACE, name: value}), headers=CLOUD)
    assert_problem(got, 422, "expected", field=name)
    with pytest.raises(InvalidEvent):
        EnvelopeReader().read([(f"ce_{name}", str(value).encode())])


@pytest.mark.parametrize(
    ("name", "value"),
    [("source", "s" * 1024), ("id", "i" * 1024), ("time", "0001-01-01T00:00:00Z"), ("expectedversion", 10**18 - 1)],
)
def test_what_the_door_takes_a_worker_takes(http: httpx.Client, server: MemoryServer, name: str, value: object) -> None:
    """Up to the last byte and the first year."""
    got = http.post("/events/order.place", content=json.dumps({**PLACE, name: value}), headers=CLOUD)
    assert got.status_code == 202, got.text
    given = server.kafka.published[-1][1]
    EnvelopeReader().read(attributes(given["id"], given["source"], given["time"] or START, given["version"]))


@pytest.mark.parametrize(
    "change",
    [
        {"datacontenttype": "application/json; charset=utf-8"},
        {"datacontenttype": "Application/JSON;charset=UTF-8"},
        {"datacontenttype": None, "time": None, "subject": None, "expectedversion": None, "colour": None},
    ],
)
def test_an_attribute_may_be_null_and_json_may_name_its_encoding(http: httpx.Client, change: dict[str, Any]) -> None:
    """Null stands for an absent attribute in the JSON of a CloudEvent."""
    got = http.post("/events/order.place", content=json.dumps({**PLACE, **change}), headers=CLOUD)
    assert got.status_code == 202, got.text


@pytest.mark.parametrize(
    ("headers", "field"),
    [({"If-Match": '"3"'}, "expectedversion"), ({"Idempotency-Key": "k"}, "Idempotency-Key")],
)
def test_a_cloud_event_and_a_header_that_contradict_each_other(
    http: httpx.Client, headers: dict[str, str], field: str
) -> None:
    """The answer names which of the two is too much."""
    event = {**PLACE, "expectedversion": 2}
    got = http.post("/events/order.place", content=json.dumps(event), headers={**CLOUD, **headers})
    assert_problem(got, 400, field=field)


TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
OTHER = TRACE.replace("0af7", "1af7")


@pytest.mark.parametrize(
    ("lines", "attribute", "carried"),
    [
        ([TRACE], None, TRACE),
        ([], TRACE, TRACE),
        ([OTHER], TRACE, TRACE),
        ([], None, None),
        ([TRACE, OTHER], None, None),
        (["00-1-2-00"], None, None),
        ([TRACE.upper()], None, None),
        ([TRACE.replace("0af7651916cd43dd8448eb211c80319c", "0" * 32)], None, None),
    ],
)
def test_the_trace_of_a_request_goes_with_its_event(
    http: httpx.Client, server: MemoryServer, lines: list[str], attribute: str | None, carried: str | None
) -> None:
    """A header that is none begins a new trace, as W3C says; the attribute of a CloudEvent is what its publisher means."""
    body, kind = ({**PLACE, "traceparent": attribute}, CLOUD) if attribute else (ORDER, {"Content-Type": "application/json"})
    headers = [*kind.items(), *(("traceparent", line) for line in lines)]
    got = http.post("/events/order.place", content=json.dumps(body), headers=headers)
    assert got.status_code == 202, got.text
    assert server.kafka.published[-1][1]["traceparent"] == carried


@pytest.mark.parametrize("value", ["00-1-2-00", 7, ""])
def test_a_cloud_events_trace_that_is_none_is_refused(http: httpx.Client, value: object) -> None:
    """Its publisher chose it."""
    got = http.post("/events/order.place", content=json.dumps({**PLACE, "traceparent": value}), headers=CLOUD)
    assert_problem(got, 422, field="traceparent")


@pytest.mark.parametrize("source", ["retold/shop/order", "retold/server", "retold/"])
def test_a_source_of_retolds_is_refused(http: httpx.Client, server: MemoryServer, source: str) -> None:
    """An event under it could take the place of one that a handler emits, or of one with an Idempotency-Key."""
    before = len(server.kafka.published)
    got = http.post("/events/order.place", content=json.dumps({**PLACE, "source": source}), headers=CLOUD)
    assert_problem(got, 422, "written by retold alone", field="source")
    assert len(server.kafka.published) == before
