"""The OpenAPI is valid, and its examples are: what it says may be sent is taken, and answered as it says."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

import processors
from streams import App
from streams.server.http.spec_examples import TIME, Samples, event_sample
from tests.applications import bank, probe, shop
from tests.support.memory_server import MemoryServer

APPLICATIONS = {"shop": shop.app, "bank": bank.app, "probe": probe.app, "demo": processors.app}
every_application = pytest.mark.parametrize("make", APPLICATIONS.values(), ids=APPLICATIONS)


@contextmanager
def described(app: App, folder: Path) -> Iterator[tuple[httpx.Client, dict[str, Any]]]:
    with MemoryServer(app, folder, answering=True) as server:
        yield server.http, server.http.get("/openapi.json").json()


def operations(spec: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    """Each with its path in which the examples stand."""
    return [
        (method, path_of(path, operation), operation)
        for path, methods in spec["paths"].items()
        for method, operation in methods.items()
    ]


def path_of(path: str, operation: dict[str, Any]) -> str:
    for it in operation.get("parameters", []):
        if it["in"] == "path":
            path = path.replace(f"{{{it['name']}}}", it["example"])
    return path


def wrong(value: Any, schema: dict[str, Any], spec: dict[str, Any]) -> list[str]:
    """What of a value does not fit."""
    whole = {**schema, "components": spec["components"]}
    return [it.message for it in Draft202012Validator(whole).iter_errors(value)]


@every_application
def test_it_is_valid(make: Any, tmp_path: Path) -> None:
    """By the rules of OpenAPI 3.1, for applications with and without projections, gateways and views."""
    with described(make(), tmp_path) as (_, spec):
        assert spec["openapi"] == "3.1.1"
        assert [str(it) for it in OpenAPIV31SpecValidator(spec).iter_errors()] == []


@every_application
def test_every_example_fits_its_schema(make: Any, tmp_path: Path) -> None:
    """Every operation has one of what it takes and answers, where that is JSON."""
    with described(make(), tmp_path) as (_, spec):
        for _, path, operation in operations(spec):
            bodies = [operation.get("requestBody", {}), *operation["responses"].values()]
            media = [(kind, it) for body in bodies for kind, it in body.get("content", {}).items()]
            for kind, it in media:
                if it.get("schema") and kind == "application/json":
                    assert "example" in it, path
                if "example" in it:
                    assert (path, wrong(it["example"], it["schema"], spec)) == (path, [])


@every_application
def test_every_example_is_taken_and_answered_as_described(make: Any, tmp_path: Path) -> None:
    """Events are published, whatever the form; the rest is an answer or a problem of the described form."""
    with described(make(), tmp_path) as (http, spec):
        for method, path, operation in operations(spec):
            for kind, media in operation.get("requestBody", {}).get("content", {}).items():
                body = media["example"] if isinstance(media["example"], str) else msgspec.json.encode(media["example"])
                answer = http.request(method, path, content=body, headers={"Content-Type": kind})
                nobodys = path.startswith(("/parked", "/corrections/"))
                assert answer.status_code in ((404, 409) if nobodys else (200, 201, 202)), (path, kind, answer.text)
                assert_described(answer, operation, spec)
        for method, path, operation in operations(spec):
            if method == "get" and not path.startswith("/live"):
                answer = http.get(path)
                assert answer.status_code < 500, (path, answer.text)
                assert_described(answer, operation, spec)


def assert_described(answer: httpx.Response, operation: dict[str, Any], spec: dict[str, Any]) -> None:
    """Its status, its form, and what is in it."""
    found = operation["responses"].get(str(answer.status_code), {})
    found = spec["components"]["responses"].get(found.get("$ref", "").rpartition("/")[2], found)
    assert found, (str(answer.url), answer.status_code, "is a status that is not described")
    if "content" not in found:
        return
    kind = answer.headers["content-type"].partition(";")[0]
    media = found["content"][kind]
    values = [answer.json()] if kind.endswith("json") and "ndjson" not in kind else [answer.text]
    if "x-line-schema" in media:
        values, media = [msgspec.json.decode(line) for line in answer.text.splitlines()], {"schema": media["x-line-schema"]}
    for value in values:
        assert (str(answer.url), wrong(value, media["schema"], spec)) == (str(answer.url), [])


@pytest.mark.parametrize(
    ("path", "name", "right", "refused"),
    [
        ("/rows/order", "_limit", [0, 1000], [-1, 1001]),
        ("/rows/order", "_count", ["exact", "capped"], ["", "all"]),
        ("/rows/order", "_form", ["json", "ndjson", "csv"], ["xml"]),
        ("/rows/order", "_min_position", ["order-0:0"], ["", "order", "order-0:x"]),
        ("/rows/order/{key}", "_as_of", [TIME, f"{TIME}/{TIME}"], []),
        ("/rows/order/{key}/story", "_last", [1, 200], [0, 201]),
        ("/rows/order/{key}/story", "_depth", [0, 1000], [-1, 1001]),
        ("/events", "outcome", ["accepted", "rejected", "corrected"], ["", "parked"]),
        ("/events", "_limit", [1, 1000], [0, 1001]),
        ("/parked", "status", ["parked", "unanswered", "quarantined"], ["", "pending"]),
        ("/waiting/timers", "_limit", [1, 1000], [0, 1001]),
    ],
)  # fmt: skip
def test_a_parameter_takes_what_is_described(path: str, name: str, right: list[Any], refused: list[Any], tmp_path: Path) -> None:
    """Values that fit its schema are taken, and others are neither described nor taken."""
    with described(shop.app(), tmp_path) as (http, spec):
        operation = spec["paths"][path]["get"]
        http.post("/events/order.place", json=event_sample(shop.app().event_types()["order.place"]))
        [schema] = [it["schema"] for it in operation["parameters"] if it["name"] == name]
        for value, is_right in [*((it, True) for it in right), *((it, False) for it in refused)]:
            answer = http.get(path_of(path, operation), params={name: value})
            assert (value, wrong(value, schema, spec) == []) == (value, is_right)
            assert (value, answer.status_code == 422) == (value, not is_right), answer.text


@pytest.mark.parametrize("path", ["/rows/order", "/rows/stock", "/projections/orders_per_day"])
def test_every_filter_that_is_described_is_taken(path: str, tmp_path: Path) -> None:
    """Each field with each of its operators, and a value that fits; so that a client made from it sends nothing that is refused."""
    with described(shop.app(), tmp_path) as (http, spec):
        parameters = {it["name"]: it["schema"] for it in spec["paths"][path]["get"]["parameters"] if it["in"] == "query"}
        first = next(iter(parameters))
        given: dict[str, str | None] = {"_sort": f"-{first},_key", "_select": first, "_facet": first}
        given |= dict.fromkeys(("_next", "_min_position", "_as_of", "_known"))  # which depend on what has happened
        for name, schema in parameters.items():
            field, _, operator = name.rpartition("__")
            lists = operator in ("in", "notin")
            value = given.get(name, str(Samples({}).of(parameters[field])) if lists else Samples({}).of(schema))
            if value is not None:
                assert (name, value, wrong(value, schema, spec)) == (name, value, [])
                answer = http.get(path, params={name: value})
                assert (name, answer.status_code) == (name, 200), answer.text
        assert {f"{first}__in", f"{first}__isnull", "_key__startswith"} <= parameters.keys()


def test_a_filter_of_another_table_is_not_described(tmp_path: Path) -> None:
    """Nor is it taken."""
    with described(shop.app(), tmp_path) as (http, spec):
        names = {path: {it["name"] for it in spec["paths"][path]["get"]["parameters"]} for path in ("/rows/order", "/rows/stock")}
        others = names["/rows/order"] - names["/rows/stock"]
        assert "customer" in others
        assert {http.get("/rows/stock", params={name: "x"}).status_code for name in others} == {422}


def test_the_rows_that_examples_lead_to_are_found(tmp_path: Path) -> None:
    """The example of the first event makes the row, the story and the view that the examples of paths name."""
    with described(shop.app(), tmp_path) as (http, spec):
        by_path = {path: operation for path, methods in spec["paths"].items() for operation in methods.values()}
        event = by_path["/events/order.place"]["requestBody"]["content"]["application/json"]["example"]
        http.post("/events/order.place", json=event)
        for path in ("/rows/order/{key}", "/rows/order/{key}/story", "/events/{event}/story", "/views/orders-of/{customer}",
                     "/schemas/ids/{schema_id}", "/subjects/{subject}/versions/{version}"):  # fmt: skip
            assert (path, http.get(path_of(path, by_path[path])).status_code) == (path, 200)


def test_a_schema_that_contains_itself_has_an_example() -> None:
    """It ends, and fits: lists end empty, and what may be nothing is nothing."""
    node = {"type": "object", "required": ["children", "next"], "properties": {
        "children": {"type": "array", "items": {"$ref": "#/components/schemas/node"}},
        "next": {"anyOf": [{"$ref": "#/components/schemas/node"}, {"type": "null"}]}}}  # fmt: skip
    found = Samples({"node": node}).of({"$ref": "#/components/schemas/node"})
    assert wrong(found, node, {"components": {"schemas": {"node": node}}}) == []


@every_application
def test_the_key_of_an_example_is_named_after_its_field(make: Any) -> None:
    """So that the examples of events of a namespace are about one entity."""
    for data in make().event_types().values():
        assert event_sample(data)[data.key_field] in (f"{data.key_field}-1", "ada@example.org")
