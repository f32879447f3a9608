"""The AsyncAPI of an application is valid, whole, and true of its topics, its events and who handles them."""

from __future__ import annotations

import gzip
import json
import os
import re
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from jsonschema import Draft7Validator, Draft202012Validator

import processors
from streams import App, View
from streams.config import Config, load
from streams.engine.attributes import attributes
from streams.server.http.asyncapi_document import HEADERS, asyncapi_document
from streams.server.http.web_sockets import SocketRequest
from tests.applications import bank, probe, shop
from tests.support.live import following
from tests.support.memory_server import MemoryServer
from tests.support.processes import retold
from tests.support.sse import watched
from tests.unit.test_server_errors import assert_problem

SCHEMA = Path(__file__).parents[1] / "data" / "asyncapi" / "schema-3.0.0.json.gz"
APPLICATIONS = {"shop": shop.app, "bank": bank.app, "probe": probe.app, "demo": processors.app}
every_application = pytest.mark.parametrize("make", APPLICATIONS.values(), ids=APPLICATIONS)


@pytest.fixture(scope="module")
def validator() -> Draft7Validator:
    with gzip.open(SCHEMA) as file:
        return Draft7Validator(json.load(file))


def config_of(folder: Path, **settings: str) -> Config:
    return load({f"RETOLD_{name.upper()}": value for name, value in settings.items()}, folder)


def document(app: App, folder: Path, **settings: str) -> dict[str, Any]:
    """As it is written."""
    found: dict[str, Any] = json.loads(json.dumps(asyncapi_document(app, config_of(folder, **settings))))
    return found


def at(whole: Any, pointer: str) -> Any:
    """What a reference leads to."""
    for part in pointer.removeprefix("#/").split("/"):
        whole = whole[part]
    return whole


@every_application
def test_it_is_valid_and_its_references_lead_somewhere(make: Any, tmp_path: Path, validator: Draft7Validator) -> None:
    """By the schema of AsyncAPI 3.0, for applications with and without gateways, and with a broker of several addresses."""
    for settings in ({}, {"broker": "a.example:9092,b.example:9092", "prefix": "test."}):
        found = document(make(), tmp_path, **settings)
        assert [f"{list(it.absolute_path)}: {it.message[:200]}" for it in validator.iter_errors(found)] == []
        for pointer in set(re.findall(r'"\$ref": "(#/[^"]+)"', json.dumps(found))):
            assert at(found, pointer) is not None


@every_application
def test_every_event_comes_in_is_handled_once_and_is_told(make: Any, tmp_path: Path) -> None:
    """In the topics of its namespace; each event that another leads to is sent."""
    app = make()
    found = document(app, tmp_path, prefix="test.")
    handled = [it for name, it in found["operations"].items() if name.startswith("handle-")]
    received = [at(found, it["$ref"])["$ref"].rpartition("/")[2] for operation in handled for it in operation["messages"]]
    assert sorted(received) == sorted(app.event_types())
    emitted = {name.removeprefix("emit-") for name in found["operations"] if name.startswith("emit-")}
    assert emitted == {effect for effects in app.flow().values() for effect in effects}
    for space in app.namespaces:
        addresses = [found["channels"][f"{space.name}-{kind}"]["address"] for kind in ("inbox", "log", "live")]
        assert addresses == [f"test.{space.name}", f"test.{space.name}-log", f"/live/{space.name}"]


@every_application
def test_its_examples_fit(make: Any, tmp_path: Path) -> None:
    """Payload and headers of every message."""
    found = document(make(), tmp_path)
    for message in found["components"]["messages"].values():
        for example in message["examples"]:
            for part in example.keys() & {"headers", "payload"}:
                schema = {**message[part], "components": found["components"]}
                assert [it.message for it in Draft202012Validator(schema).iter_errors(example[part])] == []


def test_its_headers_are_those_that_a_publisher_writes() -> None:
    """What retold's own publisher sends is described."""
    written = {name for name, _ in attributes("id", "source", datetime(2026, 1, 1, tzinfo=UTC), 3, None)}
    assert written - {"content-type"} <= HEADERS.keys()


def test_a_server_answers_as_on_other_routes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is made once; an unknown parameter is refused, and the overview leads to it."""
    with MemoryServer(shop.app(), tmp_path) as server:
        assert_problem(server.http.get("/asyncapi.json?x=1"), 422, "'x' is no parameter here", field="x")
        monkeypatch.delattr("streams.server.http.asyncapi_document.asyncapi_document")  # nothing can make it again
        got = server.http.get(server.http.get("/").json()["links"]["asyncapi"])
    assert got.headers["content-type"] == "application/json"
    assert got.json() | {"servers": 0} == document(shop.app(), tmp_path) | {"servers": 0}


def test_a_stream_tells_events_as_it_says(tmp_path: Path) -> None:
    """The message of the channel `live`, of an event that was really handled."""
    with MemoryServer(shop.app(), tmp_path, broker="kafka.example:9092") as server:
        server.http.post("/events/stock.receive", json={"sku": "y", "quantity": 1, "price": 1})
        found = server.http.get("/asyncapi.json").json()
        [(_, data)] = watched(server.http, "/live/stock?_from=beginning", 1)
    assert "kafka.example" not in json.dumps(found)  # a browser's token need not know it
    message = found["components"]["messages"]["live.stock.receive"]
    schema = {**message["payload"], "components": found["components"]}
    assert [it.message for it in Draft202012Validator(schema).iter_errors(data)] == []


def test_streams_of_rows_tell_what_it_says(tmp_path: Path) -> None:
    """Each address of a query is a channel, and what is really told fits one of its messages, by its name."""
    with MemoryServer(shop.app(), tmp_path, answering=True) as server:
        server.http.post("/events/stock.receive", json={"sku": "y", "quantity": 1, "price": 1})
        server.http.post("/events/order.place", json={"order": "o1", "customer": "c", "lines": [{"sku": "y", "quantity": 1}]})
        found = server.http.get("/asyncapi.json").json()
        over_http = {it["address"] for it in found["channels"].values() if it["servers"] == [{"$ref": "#/servers/http"}]}
        assert {f"/rows/{space.name}" for space in shop.app().namespaces} <= over_http
        assert {f"/projections/{it.name}" for it in shop.app().projections} <= over_http
        for name, url, count in (
            ("stock-rows", "/rows/stock?_from=snapshot", 2),
            ("orders_per_day-projection", "/projections/orders_per_day?_from=snapshot", 2),
            ("view-orders-of-customer", "/views/orders-of/c", 1), ("stock-events", "/events/stock?_from=beginning", 1),
        ):  # fmt: skip
            channel = found["channels"][name]
            messages = {it["name"]: it for pointer in channel["messages"].values() for it in [at(found, pointer["$ref"])]}
            with following(server.http, url) as stream:
                for told, data in stream.some(count):
                    payload = messages[data["type"] if told == "message" else told]["payload"]
                    schema = {**payload, "components": found["components"]}
                    assert [it.message for it in Draft202012Validator(schema).iter_errors(data)] == []


def test_each_view_is_a_channel_of_its_own(tmp_path: Path, validator: Draft7Validator) -> None:
    """Also where the paths of two differ only in what no name of a channel may have."""
    paths = ["top/{day}", "top-day", "top/day", "größte", "grö-te"]
    app = replace(bank.app(), views=[View(path, lambda _tables, **_: 1) for path in paths])
    found = document(app, tmp_path)
    told = [it["address"] for it in found["channels"].values() if it["address"].startswith("/views/")]
    assert told == [f"/views/{path}" for path in paths]
    assert [it.message for it in validator.iter_errors(found)] == []
    assert sum(name.startswith("watch-view-") for name in found["operations"]) == len(paths)


def test_the_messages_of_a_websocket_are_those_that_it_takes(tmp_path: Path) -> None:
    """Each example of what a client sends is read, and no other operation is."""
    found = document(shop.app(), tmp_path)
    channel = found["channels"]["websocket"]
    assert (channel["address"], channel["bindings"]["ws"]["method"]) == ("/ws", "GET")
    asked = [at(found, at(found, it["$ref"])["$ref"]) for it in found["operations"]["websocket-asked"]["messages"]]
    for message in asked:
        sent = msgspec.json.decode(msgspec.json.encode(message["examples"][0]["payload"]), type=SocketRequest)
        assert sent.op == message["name"]
        assert message["payload"]["properties"].keys() <= {*SocketRequest.__struct_fields__}
    assert {it["name"] for it in asked} == {"hello", "watch", "publish", "stop"}


def test_it_has_no_secret(tmp_path: Path) -> None:
    """Whoever reads it may not read more than the names of things."""
    secret = "correct-horse-battery"
    found = document(shop.app(), tmp_path, http_token=secret, kafka_sasl_password=secret)
    assert secret not in json.dumps(found)


def test_the_command_prints_the_same() -> None:
    """Without a broker; it can be read by a program."""
    done = retold("asyncapi", env={**os.environ, "RETOLD_APP": "processors:app"})
    assert done.returncode == 0, done.stderr
    printed = json.loads(done.stdout)
    assert printed["channels"].keys() == document(processors.app(), Path.cwd())["channels"].keys()
