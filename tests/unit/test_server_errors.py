"""What the server refuses, and that every refusal has one shape and names what is wrong."""

from __future__ import annotations

import base64
import errno
import json
import os
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from streams import View
from streams.errors import ConfigError
from streams.listening import url_of
from streams.server.http import registry
from streams.server.http.registry import is_registry
from streams.server.http.route_table import ROUTES
from streams.server.listen import inherited, listen
from streams.server.readmodel.model import STARTING
from streams.server.readmodel.row_writer import UnreadableRow
from tests.applications import shop
from tests.support.memory_server import MemoryServer
from tests.support.workers import settings

TOKEN = "correct-horse-battery"
LINE = {"sku": "A1", "quantity": 1}
ORDER: dict[str, Any] = {"order": "o1", "customer": "c7", "lines": [LINE]}
KINDS = {"json": "application/json", "cloud": "application/cloudevents+json"}


def cursor(*parts: object) -> str:
    """The `next` of a page, as somebody might make it."""
    return base64.urlsafe_b64encode(json.dumps(parts).encode()).decode().rstrip("=")


def failing(tables: object) -> object:
    raise RuntimeError("not today")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MemoryServer]:
    app = shop.app()
    app = replace(app, views=[*app.views, View("failing", failing)])
    with MemoryServer(app, tmp_path_factory.mktemp("state"), answering=True) as server:
        yield server


@pytest.fixture
def http(server: MemoryServer) -> Iterator[httpx.Client]:
    yield server.http
    server.model.waits = None


def assert_problem(got: httpx.Response, status: int, *words: str, field: str = "") -> dict[str, Any]:
    """One shape: RFC 9457's members, a sentence, and the field if the fault is in one."""
    assert (got.status_code, got.headers["content-type"]) == (status, "application/problem+json")
    body: dict[str, Any] = got.json()
    assert {"type", "title", "status", "detail", "instance"} <= body.keys()
    assert (body["status"], body["detail"][-1] in ".?!") == (status, True)
    assert [word for word in words if word not in body["detail"]] == []
    assert [error["field"] for error in body.get("errors", [])] == ([field] if field else [])
    return body


@pytest.mark.parametrize(
    ("method", "url", "status", "words"),
    [
        ("POST", "/events/order.plaice", 404, ["order.plaice", "order.place"]),
        ("GET", "/rows/nowhere", 404, ["nowhere", "order, stock, payment"]),
        ("GET", "/rows/nowhere/k", 404, ["nowhere", "order, stock, payment"]),
        ("GET", "/rows/order/none/such", 404, ["none/such", "order-0:"]),
        ("GET", "/live/nowhere", 404, ["nowhere"]),
        ("GET", "/live/nowhere/k", 404, ["nowhere"]),
        ("GET", "/events/nowhere/0/0", 404, ["nowhere"]),
        ("GET", "/events/order/7/0", 404, ["partition 7"]),
        ("GET", "/events/order/0/999", 404, ["offset 999"]),
        ("GET", "/projections/nowhere", 404, ["nowhere", "orders_per_day"]),
        ("GET", "/projections/nowhere/k", 404, ["nowhere"]),
        ("GET", "/projections/charges/none", 404, ["none"]),
        ("GET", "/views/nowhere", 404, ["nowhere", "orders-of/{customer}"]),
        ("GET", "/views/orders-of/c7/more", 404, ["orders-of/{customer}"]),
        ("GET", "/views/failing", 500, ["the view failing raised RuntimeError"]),
        ("GET", "/schemas/ids/1", 404, ["id 1"]),
        ("GET", "/schemas/ids/one", 422, ["'one'"]),
        ("GET", "/subjects/nowhere/versions", 404, ["nowhere"]),
        ("GET", "/subjects/order.place/versions/9", 404, ["version '9'"]),
        ("GET", "/nothing", 404, ["/openapi.json"]),
        ("GET", "/events/order.place", 404, ["order.place", "order, stock, payment"]),
        ("GET", "/parked/nowhere/0/1", 404, ["nowhere"]),
        ("GET", "/parked/order/0/1", 404, ["nothing is set aside at order-0@1"]),
        ("GET", "/rows/order/", 404, ["no row ''"]),
        ("GET", "/rows/order/%FF%00", 400, ["%FF", "UTF-8"]),
        ("GET", "/projections/charges/a%80", 400, ["%80", "UTF-8"]),
        ("GET", "/live/order/%C3", 400, ["%C3", "UTF-8"]),
        ("GET", "/live/order/", 404, ["no key is empty", "/live/order"]),
        ("GET", "/projections/charges/", 404, ["no row ''"]),
        ("GET", "/views/orders-of/%FF/x", 400, ["%FF", "UTF-8"]),
        ("OPTIONS", "/rows/order", 405, ["OPTIONS", "GET"]),
        ("DELETE", "/rows/order/o1", 405, ["DELETE", "GET"]),
        ("PUT", "/events/order.place", 405, ["PUT", "POST"]),
        ("GET", "/-/nothing", 404, ["/-/nothing"]),
    ],
)
def test_what_is_not_there_is_said_with_what_is(
    http: httpx.Client, method: str, url: str, status: int, words: list[str]
) -> None:
    """Every route answers in one shape, with the value that was wrong and those that are right."""
    assert_problem(http.request(method, url), status, *words)


@pytest.mark.parametrize(
    ("url", "field", "word"),
    [
        ("/rows/order?colour=red", "colour", "customer"),
        ("/parked/order/0/x", "place", "'x'"),
        ("/parked/order/x/1", "partition", "'x'"),
        ("/parked?status=lost", "status", "quarantined"),
        ("/rows/order?status=lost", "status", "lost"),
        ("/rows/order?total=many", "total", "many"),
        ("/rows/order?placed=yesterday", "placed", "yesterday"),
        ("/rows/order?placed=0", "placed", "with a zone"),
        ("/rows/order?placed=2026-01-01T00:00:00", "placed", "with a zone"),
        ("/rows/order?held=A1", "held", "more than one value"),
        ("/rows/order?customer=a&customer=b", "customer", "twice"),
        ("/rows/order?_limit=-1", "_limit", "from 0 to 1000"),
        ("/rows/order?_limit=1001", "_limit", "from 0 to 1000"),
        ("/rows/order?_limit=ten", "_limit", "'ten'"),
        ("/rows/order?_limit=000000001999999", "_limit", "from 0 to 1000"),
        (f"/rows/order?_limit=1{'0' * 5000}", "_limit", "from 0 to 1000"),
        ("/rows/order?_sort=colour", "_sort", "customer"),
        ("/rows/order?_sort=held", "_sort", "held"),
        ("/rows/order?_next=xyz", "_next", "xyz"),
        ("/rows/order?_next=WyItdG90YWwiLDEsIm8xIl0&_sort=total", "_next", "filters and _sort"),
        (f"/rows/order?_sort=placed&_next={cursor('placed', '2026-01-01T00:00:00', 'o1')}", "_next", "filters and _sort"),
        (f"/rows/order?_sort=total&_next={cursor('total', '1', 'o1')}", "_next", "filters and _sort"),
        ("/rows/order?_min_position=7", "_min_position", "user-3:977"),
        ("/rows/order?_min_position=order-9:1", "_min_position", "order-9:1"),
        ("/rows/order/o1?_min_position=x", "_min_position", "'x'"),
        ("/views/orders-of/c7?_min_position=x", "_min_position", "'x'"),
        ("/projections/charges?count=many", "count", "many"),
        ("/projections/charges?_min_position=x", "_min_position", "'x'"),
        ("/live/order?_from=then", "_from", "beginning"),
        ("/events/order/zero/0", "partition", "zero"),
        ("/events/order/0/-1", "offset", "-1"),
    ],
)
def test_a_wrong_parameter_is_named(http: httpx.Client, url: str, field: str, word: str) -> None:
    """With its value and what was expected."""
    assert_problem(http.get(url), 422, word, field=field)


@pytest.mark.parametrize(
    ("body", "status", "field", "words"),
    [
        (b"", 400, "", ["no JSON"]),
        (b"{", 400, "", ["begins with '{'", "no JSON", "an object with the event's fields was expected"]),
        (b'{"order": NaN}', 400, "", ["NaN", "no JSON", "byte 10"]),
        (b'{"order": "\xff"}', 400, "", ["no JSON"]),
        (b'{"order": "\\ud800"}', 400, "", ["no JSON"]),
        (b"[" * 100_000, 400, "", []),
        (b"[]", 422, "", ["a list"]),
        (b"7", 422, "", ["a number"]),
        (b"{}", 422, "order", ["missing"]),
        (json.dumps({**ORDER, "colour": "red"}).encode(), 422, "colour", ["order, customer, lines"]),
        (json.dumps({**ORDER, "customer": 7}).encode(), 422, "customer", ["7", "a text"]),
        (json.dumps({**ORDER, "customer": None}).encode(), 422, "customer", ["None"]),
        (json.dumps({**ORDER, "lines": [{"sku": "A1"}]}).encode(), 422, "lines.1.quantity", ["missing"]),
        (json.dumps({**ORDER, "lines": [{**LINE, "x": 1}]}).encode(), 422, "lines.1.x", ["quantity, sku"]),
        (
            json.dumps({**ORDER, "lines": [{**LINE, "quantity": 2**70}]}).encode(),
            422,
            "lines.1.quantity",
            ["whole number"],
        ),
        (json.dumps({**ORDER, "order": ""}).encode(), 422, "order", ["key"]),
        (json.dumps({**ORDER, "order": "x" * 513}).encode(), 422, "order", ["512"]),
    ],
)
def test_a_wrong_body_names_its_field(
    http: httpx.Client, server: MemoryServer, body: bytes, status: int, field: str, words: list[str]
) -> None:
    """400 for what is no JSON, 422 for JSON that is no such event; nothing is published."""
    before = len(server.kafka.published)
    got = http.post("/events/order.place", content=body, headers={"Content-Type": KINDS["json"]})
    assert_problem(got, status, *words, field=field)
    assert len(server.kafka.published) == before


@pytest.mark.parametrize("kind", ["", "text/plain", "application/xml", "application/json; charset=latin-1"])
def test_a_wrong_content_type_is_refused(http: httpx.Client, kind: str) -> None:
    """415: also what a page of another origin could send without asking first."""
    headers = {"Content-Type": kind} if kind else {}
    got = http.post("/events/order.place", content=json.dumps(ORDER).encode(), headers=headers)
    assert_problem(got, 415, repr(kind) if kind else "missing", "application/cloudevents+json", field="Content-Type")


@pytest.mark.parametrize("told", [True, False])
def test_a_body_of_2_mb_is_refused(http: httpx.Client, told: bool) -> None:
    """413, whether its size was declared in advance or not."""
    content = b'{"order": "' + b"x" * 2_000_000 + b'"}'
    parts = (content[at : at + 65_536] for at in range(0, len(content), 65_536))
    got = http.post("/events/order.place", content=content if told else parts, headers={"Content-Type": KINDS["json"]})
    assert_problem(got, 413, str(len(content)), "1048576", "RETOLD_MAX_EVENT_BYTES")


@pytest.mark.parametrize(
    ("headers", "status", "field"),
    [
        ({"If-Match": "7"}, 400, "If-Match"),
        ({"If-Match": 'W/"7"'}, 400, "If-Match"),
        ({"If-Match": "*"}, 400, "If-Match"),
        ({"If-None-Match": '"7"'}, 400, "If-None-Match"),
        ({"If-Match": '"7"', "If-None-Match": "*"}, 400, "If-None-Match"),
        ({"Idempotency-Key": ""}, 400, "Idempotency-Key"),
        ({"Idempotency-Key": "x" * 300}, 400, "Idempotency-Key"),
    ],
)
def test_a_wrong_header_is_named(http: httpx.Client, headers: dict[str, str], status: int, field: str) -> None:
    """A condition that cannot be kept is refused, and not left out."""
    assert_problem(http.post("/events/order.place", json=ORDER, headers=headers), status, field=field)


def test_a_wrong_last_event_id_is_named(http: httpx.Client) -> None:
    """Else a stream would begin somewhere else than the client believes."""
    assert_problem(http.get("/live/order", headers={"Last-Event-ID": "seven"}), 422, "seven", field="Last-Event-ID")


@pytest.mark.parametrize(
    "url",
    [
        "/rows/order",
        "/rows/order/o1",
        "/projections/charges",
        "/views/orders-of/c7",
        "/live/order",
        "/events/order/0/0",
    ],
)
def test_before_everything_is_read_there_is_no_answer(server: MemoryServer, http: httpx.Client, url: str) -> None:
    """503 with the reason and when to ask again: half a table would be a wrong answer."""
    server.model.waits = STARTING
    got = http.get(url)
    assert_problem(got, 503, STARTING)
    assert got.headers["retry-after"] == "1"
    assert http.get("/-/health").status_code == 503


def test_without_a_broker_the_server_still_tells_of_itself(server: MemoryServer, http: httpx.Client) -> None:
    """503 for the status of the application, with the server's own part; an event is not taken."""
    server.kafka.broken = True
    try:
        body = assert_problem(http.get("/-/status"), 503, "the broker is gone")
        assert_problem(http.post("/events/order.place", json=ORDER), 503, "the broker is gone")
    finally:
        server.kafka.broken = False
    assert (body["server"]["waits"], body["server"]["rows"]["payment"]) == (None, 0)


@pytest.mark.parametrize(
    ("headers", "again"), [({}, None), ({"Prefer": "wait=1"}, None), ({"Idempotency-Key": "unconfirmed"}, "1")]
)
def test_an_event_that_kafka_does_not_confirm_may_still_arrive(
    headers: dict[str, str], again: str | None, server: MemoryServer, http: httpx.Client
) -> None:
    """503 in words, whether its outcome is waited for or not; only a client that repeats the same id gets a Retry-After."""
    server.kafka.silent = server.kafka.held = True
    try:
        got = http.post("/events/order.place", json=ORDER, headers=headers)
    finally:
        server.kafka.silent = server.kafka.held = False
    body = assert_problem(got, 503, "order.place of ", "is not confirmed by Kafka, and may still arrive")
    assert "<" not in body["detail"]
    assert got.headers.get("Retry-After") == again


def test_a_position_that_is_not_reached_is_said(http: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """503 with where the server stands."""
    monkeypatch.setattr("streams.server.http.answers.POSITION_TIMEOUT", 0.1)
    assert_problem(http.get("/rows/order?_min_position=order-0:99"), 503, "order-0:99", field="_min_position")


def test_a_row_that_does_not_read_is_not_shown_as_missing(server: MemoryServer, http: httpx.Client) -> None:
    """A newer deployment wrote it: 503 and why."""
    server.kafka.put_row("order", "new", UnreadableRow("nobody here knows the schema id 7"), 1)
    got = http.get("/rows/order/new")
    assert_problem(got, 503, "schema id 7")
    assert got.headers["retry-after"] == "1"


@pytest.mark.parametrize("shown", [None, "", "Bearer", "Bearer wrong-horse-battery", f"Basic {TOKEN}", TOKEN])
def test_without_the_token_nothing_is_shown(tmp_path: Path, shown: str | None) -> None:
    """401 in one shape for every address, known or not; health alone answers, and says no more than that."""
    with MemoryServer(shop.app(), tmp_path, TOKEN) as server:
        headers = {} if shown is None else {"Authorization": shown}
        for url in ("/rows/order", "/-/status", "/openapi.json", "/nothing"):
            got = server.http.get(url, headers=headers)
            body = assert_problem(got, 401, "Authorization: Bearer")
            assert TOKEN not in json.dumps(body)
        assert server.http.get("/-/health").json()["status"] == "ready"
        right = {"Authorization": f"Bearer {TOKEN}"}
        assert server.http.get("/rows/order", headers={**right, "Host": "example.org"}).status_code == 200


@pytest.mark.parametrize(
    ("url", "status"),
    [("/subjects", 200), ("/config", 200), ("/associations/resources/-/order", 404), ("/mode", 404), ("/rows/order", 401)],
)
def test_a_registrys_client_shows_the_token_as_a_password(tmp_path: Path, url: str, status: int) -> None:
    """It knows HTTP Basic alone: any user, the token as password. It gives access to nothing but schemas.

    The stock Avro deserializer asks for associations first, and takes a 404 for "there are none".
    """
    with MemoryServer(shop.app(), tmp_path, TOKEN) as server:
        assert server.http.get(url, auth=("kafka-ui", TOKEN)).status_code == status
        assert server.http.post("/events/order.cancel", json={}, auth=("kafka-ui", TOKEN)).status_code == 401


@pytest.mark.parametrize("shown", ["", "kafka-ui", "kafka-ui:wrong", f"{TOKEN}:", f":x{TOKEN}", f":{TOKEN} ", "no base64"])
def test_a_wrong_password_is_refused_and_no_browser_asks_for_one(tmp_path: Path, shown: str) -> None:
    """401, whatever is wrong; Basic is taken and never offered, since a browser would keep what it asked for."""
    with MemoryServer(shop.app(), tmp_path, TOKEN) as server:
        text = shown if shown == "no base64" else base64.b64encode(shown.encode()).decode()
        got = server.http.get("/subjects", headers={"Authorization": f"Basic {text}".strip()})
        assert (got.status_code, got.headers["www-authenticate"]) == (401, "Bearer")


@pytest.mark.parametrize("path", ["/subjectsx", "//subjects", "/rows/subjects/config", "/configs", "*", ""])
def test_what_lies_beside_the_registry_takes_no_password(path: str) -> None:
    """The routes for schemas are recognised by whole steps of the path."""
    assert not is_registry(path)


def test_every_route_of_the_registry_takes_the_password() -> None:
    """A new one cannot be forgotten."""
    paths = [route.path for route in ROUTES if route.handler.__module__ == registry.__name__]
    assert [path for path in paths if not is_registry(path)] == []
    assert len(paths) > 7


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1", 200), ("localhost:8080", 200), ("LocalHost:", 200), ("[::1]:80", 200), ("evil.example", 421), ("", 421),
        ("localhost:80@evil", 421), ("localhost:evil", 421), ("localhost:80:1", 421), ("[::1]x", 421),
    ],
)  # fmt: skip
def test_a_page_cannot_lead_its_own_name_here(http: httpx.Client, host: str, status: int) -> None:
    """Without a token, only names of loopback are answered to; and no other origin is let in."""
    got = http.get("/rows/order", headers={"Host": host, "Origin": "http://evil.example"})
    assert (got.status_code, got.headers.get("access-control-allow-origin")) == (status, None)


def test_a_port_in_use_is_a_sentence(tmp_path: Path) -> None:
    """With the setting that names another one."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=rf"the port {port} of 127.0.0.1 is in use.*RETOLD_HTTP_PORT"):
            listen(settings(tmp_path, "", http_port=str(port)))


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7", "example.org"])
def test_an_address_that_others_reach_needs_a_token(tmp_path: Path, host: str) -> None:
    """Else everyone could read and publish."""
    with pytest.raises(ConfigError, match="RETOLD_HTTP_TOKEN"):
        listen(settings(tmp_path, "", http_host=host))


def test_an_address_that_is_not_ours_is_a_sentence(tmp_path: Path) -> None:
    """Also with a token."""
    config = settings(tmp_path, "", http_host="192.0.2.7", http_port="0", http_token=TOKEN)
    with pytest.raises(ConfigError, match=r"cannot listen at 192\.0\.2\.7") as caught:
        listen(config)
    assert isinstance(caught.value.__cause__, OSError)
    assert caught.value.__cause__.errno == errno.EADDRNOTAVAIL


def test_a_token_is_never_shown(tmp_path: Path) -> None:
    """Neither by the settings nor by a message about it."""
    assert TOKEN not in repr(settings(tmp_path, "", http_token=TOKEN))
    with pytest.raises(ConfigError) as caught:
        settings(tmp_path, "", http_token="short secret")
    assert "short secret" not in str(caught.value)
    assert "RETOLD_HTTP_TOKEN" in str(caught.value)


def test_a_socket_may_be_inherited(tmp_path: Path) -> None:
    """From the program that began the server; its address is that socket's, whatever the settings say."""
    config = settings(tmp_path, "")
    with listen(replace(config, http_port=0)) as listening, inherited(config, os.dup(listening.fileno())) as ours:
        assert (url_of(ours), ours.proto) == (url_of(listening), socket.IPPROTO_TCP)


@pytest.mark.parametrize("kind", ["nothing", "a file", "a socket that does not listen", "a socket of this machine alone"])
def test_what_is_no_socket_that_listens_is_named(tmp_path: Path, kind: str) -> None:
    """And it stays open: it belongs to the program that began the server."""
    with (tmp_path / "file").open("wb") as file, socket.socket() as deaf, socket.socket(socket.AF_UNIX) as local:
        local.bind(str(tmp_path / "socket"))
        local.listen()
        open_files = {"a file": file, "a socket that does not listen": deaf, "a socket of this machine alone": local}
        tried = open_files[kind].fileno() if kind in open_files else 9999
        with pytest.raises(ConfigError, match=f"--fd is {tried}; the number of an open TCP socket that listens"):
            inherited(settings(tmp_path, ""), tried)
        for one in open_files.values():
            os.fstat(one.fileno())


def test_an_inherited_address_that_others_reach_needs_a_token_too(tmp_path: Path) -> None:
    """The settings do not say where such a socket listens."""
    with socket.create_server(("0.0.0.0", 0)) as open_to_all:
        number = open_to_all.fileno()
        with pytest.raises(ConfigError, match=rf"--fd {number} is '0\.0\.0\.0', which other.*RETOLD_HTTP_TOKEN"):
            inherited(settings(tmp_path, ""), number)
        inherited(settings(tmp_path, "", http_token=TOKEN), number).detach()
