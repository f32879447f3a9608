"""What the OpenAPI says is what the server does: its parts fit together, and answers are as it describes them."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest

from streams.server.http.openapi import plain_path
from streams.server.http.operations import OPERATIONS
from streams.server.http.route_table import NOT_TOLD, ROUTES
from tests.applications import shop
from tests.support.live import following
from tests.support.memory_server import MemoryServer
from tests.support.sse import watched
from tests.unit.test_server_errors import ORDER

TOKEN = "correct-horse-battery"
WAIT = {"Prefer": "wait=5"}
TYPES: dict[str, type | tuple[type, ...]] = {
    "object": dict, "array": list, "string": str, "integer": int, "boolean": bool, "number": (int, float), "null": type(None),
}  # fmt: skip
LISTS = {"/rows/order", "/projections/charges"}


@pytest.fixture(scope="module")
def http(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """The shop, with an order that was placed twice."""
    with MemoryServer(shop.app(), tmp_path_factory.mktemp("state"), answering=True) as server:
        for _ in range(2):
            server.http.post("/events/order.place", json=ORDER)
        yield server.http


@pytest.fixture(scope="module")
def spec(http: httpx.Client) -> dict[str, Any]:
    found: dict[str, Any] = http.get("/openapi.json").json()
    return found


def operations(spec: Mapping[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in spec["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def told(response: dict[str, Any], spec: Mapping[str, Any]) -> dict[str, Any]:
    """A response that may be told of elsewhere."""
    found: dict[str, Any] = spec["components"]["responses"].get(response.get("$ref", "").rpartition("/")[2], response)
    return found


def parameters(operation: Mapping[str, Any], kind: str) -> set[str]:
    return {it["name"] for it in operation.get("parameters", []) if it["in"] == kind}


def test_every_route_is_told_of_or_is_none_of_the_api() -> None:
    """A new route without a word about it fails here, and so does a word about one that is gone."""
    routes = {f"{it.method} {plain_path(it.path)}" for it in ROUTES if it.path not in NOT_TOLD}
    assert routes == OPERATIONS.keys()


def test_its_parts_fit_together(spec: dict[str, Any]) -> None:
    """References lead somewhere; the names in a path are parameters; nothing is described twice."""
    references = set(re.findall(r'"\$ref": "#/components/schemas/([^"]+)"', json.dumps(spec)))
    assert references - spec["components"]["schemas"].keys() == set()
    for path, _, operation in operations(spec):
        assert parameters(operation, "path") == set(re.findall(r"{(\w+)}", path)), path
        assert all(it["required"] for it in operation.get("parameters", []) if it["in"] == "path"), path
        twice = Counter((it["name"], it["in"]) for it in operation.get("parameters", []))
        assert set(twice.values()) <= {1}, path
        assert all("description" in told(it, spec) for it in operation["responses"].values()), path
    names = Counter(operation["operationId"] for _, _, operation in operations(spec))
    assert set(names.values()) == {1}


@pytest.mark.parametrize(
    ("path", "url"),
    [
        ("/rows/order", "/rows/order"),
        ("/rows/order/{key}", "/rows/order/o1"),
        ("/projections/charges", "/projections/charges"),
        ("/projections/charges/{key}", "/projections/charges/o1"),
        ("/views/orders-of/{customer}", "/views/orders-of/c7"),
        ("/live/order", "/live/order"),
        ("/live/order/{key}", "/live/order/o1"),
        ("/events/order/{partition}/{offset}", "/events/order/0/0"),
        ("/events/{event}/story", "/events/order-0:1/story"),
        ("/rows/order/{key}/story", "/rows/order/o1/story"),
        ("/-/status", "/-/status"),
        ("/", "/"),
        ("/rows", "/rows"),
        ("/projections", "/projections"),
        ("/events", "/events"),
        ("/events/order", "/events/order"),
        ("/parked", "/parked"),
        ("/waiting/timers", "/waiting/timers"),
        ("/waiting/calls", "/waiting/calls"),
        ("/live", "/live"),
    ],
)
def test_every_parameter_that_a_route_takes_is_described(
    http: httpx.Client, spec: dict[str, Any], path: str, url: str
) -> None:
    """And no other: the refusal of an unknown one lists those that there are. A field of a list has its operators beside it."""
    told = http.get(f"{url}?zzz=1").json()["detail"].rstrip(".").partition("; there ")[2]
    taken = set() if told == "is none" else set(told.removeprefix("are ").split(", "))
    described = parameters(spec["paths"][path]["get"], "query")
    assert taken - described == set()
    assert {it for it in described - taken if path not in LISTS or it.rpartition("__")[0] not in described} == set()


@pytest.mark.parametrize(
    ("path", "names"),
    [
        ("/events/order.place", {"Idempotency-Key", "If-Match", "If-None-Match", "Prefer", "traceparent"}),
        ("/rows/order", {"If-None-Match", "Last-Event-ID"}),
        ("/views/orders-of/{customer}", {"If-None-Match", "Last-Event-ID"}),
        ("/live/order", {"Last-Event-ID"}),
        ("/live/order/{key}", {"Last-Event-ID"}),
    ],
)
def test_headers_of_requests_are_described(spec: dict[str, Any], path: str, names: set[str]) -> None:
    """Those that change the answer, or what becomes of the event."""
    [operation] = spec["paths"][path].values()
    assert parameters(operation, "header") == names


def fits(value: Any, schema: Mapping[str, Any], spec: Mapping[str, Any]) -> bool:
    """As much of JSON Schema as is used here. An object has no members but those that are described."""
    if "$ref" in schema:
        return fits(value, spec["components"]["schemas"][schema["$ref"].rpartition("/")[2]], spec)
    if "anyOf" in schema:
        return any(fits(value, one, spec) for one in schema["anyOf"])
    kinds = schema.get("type", [])
    if kinds and not isinstance(value, tuple(TYPES[kind] for kind in ([kinds] if isinstance(kinds, str) else kinds))):  # type: ignore[arg-type]  # isinstance takes tuples inside of tuples
        return False
    if isinstance(value, list):
        return all(fits(one, schema.get("items", {}), spec) for one in value)
    if isinstance(value, dict) and "properties" in schema:
        members = schema["properties"]
        there = set(schema.get("required", ())) <= value.keys() <= members.keys()
        return there and all(fits(one, members[name], spec) for name, one in value.items())
    return "enum" not in schema or value in schema["enum"]


@pytest.mark.parametrize(
    ("path", "url"),
    [
        ("/rows/order", "/rows/order?_limit=1"),
        ("/rows/order/{key}", "/rows/order/o1"),
        ("/projections/orders_per_day", "/projections/orders_per_day"),
        ("/projections/orders_per_day/{key}", "/projections/orders_per_day/{day}"),
        ("/views/orders-of/{customer}", "/views/orders-of/c7"),
        ("/events/order/{partition}/{offset}", "/events/order/0/0"),
        ("/events/order/{partition}/{offset}", "/events/order/0/1"),
        ("/events/{event}/story", "/events/order-0:1/story"),
        ("/rows/order/{key}/story", "/rows/order/o1/story"),
        ("/", "/"),
        ("/rows", "/rows"),
        ("/projections", "/projections"),
        ("/events", "/events?_limit=2"),
        ("/events/order", "/events/order?outcome=rejected"),
        ("/parked", "/parked"),
        ("/waiting/timers", "/waiting/timers"),
        ("/waiting/calls", "/waiting/calls"),
    ],
)
def test_answers_are_as_described(http: httpx.Client, spec: dict[str, Any], path: str, url: str) -> None:
    """With all of their members and no other."""
    [day] = [row["key"] for row in http.get("/projections/orders_per_day").json()["rows"]]
    got = http.get(url.format(day=day))
    assert got.status_code == 200, got.text
    described = spec["paths"][path]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
    assert fits(got.json(), described, spec), got.text


@pytest.mark.parametrize(
    ("order", "headers", "status"),
    [("o7", {}, 202), ("o8", WAIT, 200), ("o1", WAIT, 409), ("o1", {**WAIT, "If-Match": '"9"'}, 412)],
)
def test_answers_to_publishing_are_as_described(
    http: httpx.Client, spec: dict[str, Any], order: str, headers: dict[str, str], status: int
) -> None:
    """Errors are problems, which may say more than their common members."""
    got = http.post("/events/order.place", json={**ORDER, "order": order}, headers=headers)
    assert got.status_code == status
    [(kind, content)] = spec["paths"]["/events/order.place"]["post"]["responses"][str(status)]["content"].items()
    assert got.headers["content-type"] == kind
    body = got.json()
    common = (
        body if status < 400 else {name: body[name] for name in spec["components"]["schemas"]["Problem"]["required"]}
    )
    assert fits(common, content["schema"], spec), got.text


def test_events_of_a_stream_are_as_described(http: httpx.Client, spec: dict[str, Any]) -> None:
    """Accepted and rejected ones; and rows, as they change."""
    stream = spec["paths"]["/live/order"]["get"]["responses"]["200"]["content"]["text/event-stream"]
    described = stream["x-event-schema"]["properties"]["data"]["contentSchema"]
    found = watched(http, "/live/order/o1?_from=beginning", 2)
    assert {data["outcome"] for _, data in found} == {"accepted", "rejected"}
    assert [fits(data, described, spec) for _, data in found] == [True, True]
    rows = spec["paths"]["/rows/order"]["get"]["responses"]["200"]["content"]["text/event-stream"]
    with following(http, "/rows/order?_from=snapshot") as following_rows:
        [(name, put)] = following_rows.some(1)
    assert (name, fits(put, rows["x-event-schema"]["properties"]["data"]["contentSchema"], spec)) == ("put", True)
    assert [it["name"] for it in rows["x-parameters"]] == ["_from", "_after"]


def test_the_token_is_described_where_one_is_needed(tmp_path: Path, spec: dict[str, Any]) -> None:
    """Health alone needs none."""
    assert ("security" in spec, "securitySchemes" in spec["components"]) == (False, False)
    with MemoryServer(shop.app(), tmp_path, TOKEN) as server:
        told = server.http.get("/openapi.json", headers={"Authorization": f"Bearer {TOKEN}"}).json()
    assert told["components"]["securitySchemes"] == {"token": {"type": "http", "scheme": "bearer"}}
    assert told["security"] == [{"token": []}]
    assert [path for path, _, operation in operations(told) if operation.get("security") == []] == [
        "/-/live",
        "/-/ready",
        "/-/health",
    ]
